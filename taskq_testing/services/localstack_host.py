"""LocalStack's SQS on the loopback interface, without docker: a program for LocalStack's own environment.

Nothing of this project is imported here. The stock runtime would listen on all interfaces. The argument is the port; the
environment says SERVICES=sqs and a FILESYSTEM_ROOT. Its clock ticks each second for delays and expiries; here each 50 ms.
"""

from __future__ import annotations

import os
import sys
from typing import Any

PORT = sys.argv[1] if len(sys.argv) > 1 else "4566"
SETTINGS = {
    "EAGER_SERVICE_LOADING": "1",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "OVERRIDE_IN_DOCKER": "0",
    "DNS_ADDRESS": "0",
    "SQS_ENDPOINT_STRATEGY": "path",
    "GATEWAY_LISTEN": f"127.0.0.1:{PORT}",
    "LOCALSTACK_HOST": f"127.0.0.1:{PORT}",
}
TICK = 0.05


def main() -> None:
    """Serve until the process is killed."""
    os.environ.update(SETTINGS)
    from localstack.aws.app import LocalstackAwsGateway  # noqa: PLC0415 - it reads the environment when it is imported
    from localstack.services.plugins import SERVICE_PLUGINS  # noqa: PLC0415 - the same
    from localstack.services.sqs import provider  # noqa: PLC0415 - the same
    from rolo.gateway.wsgi import WsgiGateway  # noqa: PLC0415 - the same
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415 - the same

    class Scheduler(provider.Scheduler):  # type: ignore[misc]
        def schedule(self, *args: Any, **kwargs: Any) -> Any:
            return super().schedule(*args, **{**kwargs, "period": TICK})

    class Quiet(WSGIRequestHandler):
        def log_request(self, *args: Any, **kwargs: Any) -> None:
            pass

    provider.Scheduler = Scheduler
    gateway = WsgiGateway(LocalstackAwsGateway(SERVICE_PLUGINS))
    make_server("127.0.0.1", int(PORT), gateway, threaded=True, request_handler=Quiet).serve_forever()


if __name__ == "__main__":
    main()
