"""`python -m taskq_testing.ironmq_server --port N`: the server in the foreground, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from taskq_testing.ironmq_server.driver import Driver, ManualClock
from taskq_testing.ironmq_server.server import HOST, Listener
from taskq_testing.ironmq_server.service import Service

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, and return the exit status: 0 when it was stopped, 1 if it cannot listen."""
    parser = argparse.ArgumentParser(prog="python -m taskq_testing.ironmq_server", description="An IronMQ v3 server in memory.")
    parser.add_argument("--port", type=int, default=8080, help="where to listen; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default=HOST, help="the interface; anything but loopback lets others in (default: %(default)s)")
    parser.add_argument("--token", help="what clients have to say (default: anything)")
    parser.add_argument("--project", help="the only project there is (default: any)")
    parser.add_argument("--clock", choices=("real", "manual"), default="real",
                        help='manual: time passes by POST /clock {"advance": seconds} alone')  # fmt: skip
    parser.add_argument("--seed", type=int, help="where ids begin, to have the same ones again")
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        sys.stderr.write(f"the server cannot listen on {arguments.host}:{arguments.port}: {error}; give another --port\n")
        return 1
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    service = Service(token=arguments.token, project=arguments.project, seed=arguments.seed)
    listener = Listener(Driver(service, ManualClock() if arguments.clock == "manual" else None))
    port = await listener.start(arguments.host, arguments.port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write(f"IronMQ listens on http://{arguments.host}:{port}/3/projects/{arguments.project or '{project_id}'}\n")
    sys.stdout.flush()
    await stop.wait()
    await listener.stop()


if __name__ == "__main__":
    raise SystemExit(main())
