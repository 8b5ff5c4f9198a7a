"""What redis-py raises, in our words. A server that cannot answer now is unavailable; one that refuses says why."""

from __future__ import annotations

import re

from redis import exceptions

from taskq.errors import BackendError, BackendUnavailable

__all__ = ["Replied", "code_of", "passing", "translate"]

Replied = exceptions.ResponseError
"""An error that the server sent as its answer; the connection is in order."""

_USER = exceptions.AuthenticationError | exceptions.AuthorizationError | exceptions.NoPermissionError
_LATER = re.compile(
    r"(?:^|[-: ])(LOADING|READONLY|MASTERDOWN|NOREPLICAS|MISCONF|OOM|BUSY|UNBLOCKED|NOGROUP|NOSCRIPT"
    r"|CLUSTERDOWN|TRYAGAIN|MOVED|ASK)\b"
)
"""Answers that another moment, or another server, will not give. Redis 6 wraps those that a script met in a sentence."""


_BY_CLASS: dict[type[Exception], str] = {
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "ASK",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
}
"""Codes that redis-py turns into classes and takes off the text; subclasses come first."""


def code_of(error: Exception) -> str:
    """Return the code of a server's passing refusal, such as NOGROUP; empty for any other error."""
    if not isinstance(error, Replied):
        return ""
    found = _LATER.search(str(error))
    return next((code for kind, code in _BY_CLASS.items() if isinstance(error, kind)), found[1] if found else "")


def passing(error: Exception) -> bool:
    """Return whether the same command may succeed in another moment."""
    return not isinstance(error, _USER) and (not isinstance(error, Replied) or code_of(error) != "")


def translate(error: Exception, where: str) -> BackendError:
    """Return what to raise instead.

    Args:
        error: what redis-py, the socket or a timeout raised.
        where: the server, without credentials.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, _USER):
        return BackendError(f"Redis at {where} refuses this user: {text}; check the user and the password of the URL")
    if not isinstance(error, Replied):
        return BackendUnavailable(f"Redis at {where} cannot be reached: {text}")
    if code_of(error):
        return BackendUnavailable(f"Redis at {where} cannot do this now: {text}")
    return BackendError(f"Redis at {where} refused: {text}")
