"""One queue of the service: where it is, and what it takes. Made when it is first needed, if that is allowed.

All of it happens in threads. Errors are boto3's own, but for a queue that has to exist and does not.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore.exceptions import ClientError

from taskq.backends.sqs.errors import code_of, is_missing
from taskq.backends.sqs.service import Service
from taskq.backends.sqs.settings import is_fifo
from taskq.errors import BackendError

__all__ = ["RETENTION", "Place"]

logger = logging.getLogger("taskq")

RETENTION = 14 * 86400
"""Seconds that SQS keeps a message at most; queues made here keep them for so long."""

_SAFE_SIZE = 256 * 1024
"""Bytes of a message, and of a batch, that every SQS takes."""

_LARGEST = 1024 * 1024


class Place:
    """One queue of the service.

    Attributes:
        name: its name in SQS.
        where: the same, for people.
        fifo: whether it keeps order.
        largest: bytes that one message may have there.
        roomiest: bytes that one batch of messages may have there.
    """

    def __init__(self, service: Service, name: str, visibility: int) -> None:
        self._service = service
        self._visibility = visibility
        self._url: str | None = None
        self.name = name
        self.where = f"SQS queue {name!r}"
        self.fifo = is_fifo(name)
        self.largest = self.roomiest = _SAFE_SIZE

    def ask(self, operation: str, *, polling: bool = False, **parameters: Any) -> Any:
        """Do a call about this queue; one that was deleted meanwhile is made anew."""
        url = self.find()
        try:
            return self._service.call(operation, polling=polling, QueueUrl=url, **parameters)
        except ClientError as error:
            if not is_missing(error):
                raise
        self._forget(url)
        return self._service.call(operation, polling=polling, QueueUrl=self.find(), **parameters)

    def find(self) -> str:
        """Return where it is; make it if it is nowhere.

        Raises:
            BackendError: it does not exist, and is not to be made.
        """
        with self._service.lock_of(self.name):
            if self._url is None:
                url = self._look_up()
                if url is None:
                    url = self._make()
                self._learn(url)
                self._url = url
            return self._url

    def find_if_made(self) -> str | None:
        """Return where it is; None if it does not exist."""
        with self._service.lock_of(self.name):
            if self._url is None:
                self._url = self._look_up()
            return self._url

    def _forget(self, url: str) -> None:
        with self._service.lock_of(self.name):
            if self._url == url:
                self._url = None

    def _look_up(self) -> str | None:
        owner = self._service.settings.owner
        whose: dict[str, Any] = {} if owner is None else {"QueueOwnerAWSAccountId": owner}
        try:
            return str(self._service.call("get_queue_url", QueueName=self.name, **whose)["QueueUrl"])
        except ClientError as error:
            if not is_missing(error):
                raise
        return None

    def _make(self) -> str:
        settings = self._service.settings
        if not settings.create or settings.owner is not None:
            raise BackendError(f"{self.where} does not exist; make it, or leave create=no and owner out of the sqs:// URL")
        attributes = {"VisibilityTimeout": str(self._visibility), "MessageRetentionPeriod": str(RETENTION)}
        if self.fifo:
            attributes["FifoQueue"] = "true"
        try:
            url = str(self._service.call("create_queue", QueueName=self.name, Attributes=attributes)["QueueUrl"])
        except ClientError as error:
            url = self._made_by_others(error)
        logger.info("%s was made", self.where)
        return url

    def _made_by_others(self, error: ClientError) -> str:
        """Return where a queue is that others made at the same time, with other attributes."""
        if code_of(error) not in ("QueueNameExists", "QueueAlreadyExists"):
            raise error
        url = self._look_up()
        if url is None:
            raise error
        return url

    def _learn(self, url: str) -> None:
        wanted = ["MaximumMessageSize", "RedrivePolicy"]
        try:
            facts = self._service.call("get_queue_attributes", QueueUrl=url, AttributeNames=wanted).get("Attributes", {})
        except ClientError as error:
            if not code_of(error).startswith("AccessDenied"):
                raise
            return  # who may only send need not know; what every SQS takes is taken here
        self.largest = min(_LARGEST, int(facts.get("MaximumMessageSize", _SAFE_SIZE)))
        self.roomiest = max(_SAFE_SIZE, self.largest)
        if "RedrivePolicy" in facts:
            policy = json.loads(facts["RedrivePolicy"])
            logger.info("%s has a redrive policy: SQS itself moves a message after %s deliveries to %s", self.where,
                        policy.get("maxReceiveCount"), policy.get("deadLetterTargetArn"))  # fmt: skip
