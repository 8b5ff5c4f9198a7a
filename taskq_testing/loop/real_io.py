"""What the virtual loop refuses: real sockets, processes and signals live in real time, and would hang or break a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["NoRealIO", "RealIO"]

_FAKE = "use a client on an in-memory fake (fakeredis, moto, a taskq backend), or run this test on a real loop"
_PROCESS = "replace the call by a function in the test, or run this test on a real loop"
_SIGNAL = "call the function that the signal would call, or run this test on a real loop"


class RealIO(RuntimeError):  # noqa: N818 - named for what it reports
    """Something asked the virtual loop for real I/O, or touched it from a thread that it does not schedule."""


def _refused(name: str, advice: str) -> Any:
    def refuse(self: object, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG001 - refused whatever it is given
        raise RealIO(f"{name}() is real I/O, which does not follow virtual time: {advice}.")

    refuse.__name__ = name
    refuse.__doc__ = f"Raise RealIO: {advice}."
    refused: Callable[..., Any] = refuse
    return refused


class NoRealIO(asyncio.AbstractEventLoop):
    """The part of the event loop interface that is refused, at the call and not when it would be awaited."""

    getaddrinfo: Any = _refused("getaddrinfo", _FAKE)
    getnameinfo: Any = _refused("getnameinfo", _FAKE)
    create_connection: Any = _refused("create_connection", _FAKE)
    create_server: Any = _refused("create_server", _FAKE)
    create_unix_connection: Any = _refused("create_unix_connection", _FAKE)
    create_unix_server: Any = _refused("create_unix_server", _FAKE)
    create_datagram_endpoint: Any = _refused("create_datagram_endpoint", _FAKE)
    connect_accepted_socket: Any = _refused("connect_accepted_socket", _FAKE)
    start_tls: Any = _refused("start_tls", _FAKE)
    sendfile: Any = _refused("sendfile", _FAKE)
    add_reader: Any = _refused("add_reader", _FAKE)
    remove_reader: Any = _refused("remove_reader", _FAKE)
    add_writer: Any = _refused("add_writer", _FAKE)
    remove_writer: Any = _refused("remove_writer", _FAKE)
    sock_recv: Any = _refused("sock_recv", _FAKE)
    sock_recv_into: Any = _refused("sock_recv_into", _FAKE)
    sock_recvfrom: Any = _refused("sock_recvfrom", _FAKE)
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into", _FAKE)
    sock_sendall: Any = _refused("sock_sendall", _FAKE)
    sock_sendto: Any = _refused("sock_sendto", _FAKE)
    sock_connect: Any = _refused("sock_connect", _FAKE)
    sock_accept: Any = _refused("sock_accept", _FAKE)
    sock_sendfile: Any = _refused("sock_sendfile", _FAKE)
    connect_read_pipe: Any = _refused("connect_read_pipe", _FAKE)
    connect_write_pipe: Any = _refused("connect_write_pipe", _FAKE)
    subprocess_shell: Any = _refused("subprocess_shell", _PROCESS)
    subprocess_exec: Any = _refused("subprocess_exec", _PROCESS)
    add_signal_handler: Any = _refused("add_signal_handler", _SIGNAL)
    remove_signal_handler: Any = _refused("remove_signal_handler", _SIGNAL)
