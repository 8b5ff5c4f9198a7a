"""What a handler may ask about its own run: `Context`. It is handed to handlers whose first parameter is annotated so."""

from __future__ import annotations

from typing import Protocol

from taskq.message import Message

__all__ = ["Context", "Run"]


class Run(Protocol):
    """The run behind a context, as the runtime keeps it."""

    cancelled: bool

    async def extend(self, by: float | None) -> None:
        """Own the message until `by` seconds from now."""

    def extend_blocking(self, by: float | None) -> None:
        """Do the same from a handler's thread."""


class Context:
    """The run that a handler is in.

    Attributes:
        message: the message that runs.
        queue: name of its queue.
    """

    __slots__ = ("_run", "message", "queue")

    def __init__(self, message: Message, queue: str, run: Run) -> None:
        self.message = message
        self.queue = queue
        self._run = run

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.message.attempt

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled, for its reservation was lost or the consumer stops. Its outcome will not count."""
        return self._run.cancelled

    def extend(self, by: float | None = None) -> None:
        """Own the message for `by` seconds from now (None: the reservation timeout); for handlers in threads.

        Reservations of running handlers are extended by themselves; this is for those who want certainty at one point.

        Raises:
            ReservationLost: somebody else owns it now.
        """
        self._run.extend_blocking(by)

    async def extend_async(self, by: float | None = None) -> None:
        """Do what `extend` does, from an async handler."""
        await self._run.extend(by)
