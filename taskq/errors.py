"""Every error that taskq raises. Attributes carry the data; the text is one sentence that says what to do."""

from __future__ import annotations

from datetime import timedelta

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "ConfigError",
    "DecodeError",
    "DuplicateMessageError",
    "MessageTooLarge",
    "NotSupported",
    "ReservationLost",
    "Retry",
    "TaskqError",
    "UnknownTaskError",
    "WireError",
]


class TaskqError(Exception):
    """The root of all errors raised by taskq."""


class ConfigError(TaskqError, ValueError):
    """An option, URL or registration that cannot work; the text names it and says what would."""


class UnknownTaskError(TaskqError, LookupError):
    """A message names a task that this process has not registered."""

    def __init__(self, task: str, queue: str) -> None:
        super().__init__(f"task {task!r} is not registered on queue {queue!r}; import the module that defines it")
        self.task = task
        self.queue = queue


class DuplicateMessageError(TaskqError):
    """Raised by `Enqueued.raise_if_duplicate`; a duplicate is otherwise an answer, not an exception."""

    def __init__(self, name: str) -> None:
        super().__init__(f"a message named {name!r} was accepted within its window; nothing was added")
        self.name = name


class WireError(TaskqError, ValueError):
    """Bytes that do not follow the wire format, or a value that the format cannot carry."""


class DecodeError(WireError):
    """A body that cannot be read; it is dead-lettered intact, never dropped."""


class BackendError(TaskqError):
    """A backend refused or failed to do what was asked."""


class BackendUnavailable(BackendError):  # noqa: N818 - the name is public API
    """The backend cannot be reached now; the same call may succeed later."""


class ReservationLost(BackendError):  # noqa: N818 - the name is public API
    """The reservation expired or is owned by somebody else; nothing was changed."""


class MessageTooLarge(BackendError):  # noqa: N818 - the name is public API
    """The encoded message exceeds what the backend accepts; raised before anything is sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the encoded message has {size} bytes and the limit is {limit}; store the data elsewhere and send its key"
        )
        self.size = size
        self.limit = limit


class NotSupported(TaskqError):  # noqa: N818 - the name is public API
    """The backend does not declare the capability that this call needs."""


class Retry(Exception):  # noqa: N818 - control flow, deliberately not a TaskqError
    """Raise it in a handler to be run again, after `after` seconds (or a timedelta) instead of the task's backoff.

    Args:
        after: seconds until the next attempt, at least 0; None means the task's own backoff.
    """

    def __init__(self, after: float | timedelta | None = None) -> None:
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"Retry(after={after!r}) is negative; give 0 for at once")
        super().__init__(f"retry after {seconds} s" if seconds is not None else "retry")
        self.after = seconds
