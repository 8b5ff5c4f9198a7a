"""TCP ports that stay ours while the server that uses them is started, killed and started again."""

from __future__ import annotations

import socket
import sys

__all__ = ["HOST", "Port"]

HOST = "127.0.0.1"


class Port:
    """A free port of the loopback interface, chosen by the kernel and held by a bound socket that never listens.

    On Linux a server whose listening socket has SO_REUSEADDR, as all have, can bind the port beside it, and nobody else is
    given it: no other search for a free port, and no outgoing connection. So there is no race at the start, and none while
    the server is down; a client that reconnects then cannot be connected to itself, as it can be to a port that nobody holds.
    Elsewhere two sockets cannot share a port: there it is let go, and a server that does not get it says so.

    Args:
        number: a certain port; 0 for any.

    Raises:
        OSError: somebody else has it.
    """

    def __init__(self, number: int = 0) -> None:
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, number))
            self.number: int = self._socket.getsockname()[1]
        except BaseException:
            self._socket.close()
            raise
        if sys.platform != "linux":
            self._socket.close()

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()
