"""The SQS backend: boto3 in threads, with the bodies of Go taskq v3.

`settings` says which account, `service` makes clients and runs their calls in threads, `errors` what they may come back
with. `texts` is how a message is written, `receipts` who owns one, `places` finds or makes the queue itself, `lanes` lets
calls share trips, `trips` are those trips. `queue` is the backend, `fifo` what is different where order is kept, `polls`
reserves, `letters` looks after dead letters, `broker` holds it together.
"""

from __future__ import annotations

from taskq.backends.sqs.broker import SqsBroker
from taskq.backends.sqs.service import access_for, from_client
from taskq.backends.sqs.texts import in_group

__all__ = ["SqsBroker", "access_for", "from_client", "in_group"]
