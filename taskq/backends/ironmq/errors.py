"""What the service and httpx report, in our words. Nothing here knows a token, and no text repeats a request."""

from __future__ import annotations

import httpx

from taskq.errors import BackendError, BackendUnavailable

__all__ = ["Lost", "Refusal", "refusal", "unreachable"]


class Lost(BackendUnavailable):
    """The answer did not come: whether the service has done what it was asked is not known."""


class Refusal(BackendError):  # noqa: N818 - an answer, with its status
    """The service refused.

    Attributes:
        status: of its answer.
        text: what it said.
    """

    def __init__(self, status: int, text: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.text = text


_GATEWAY = (502, 504)
"""A proxy before the service had no answer from it."""

_ADVICE = {
    401: "does not know this token; check the project id and the token of the URL",
    403: "does not let this token do it; check what the token may do",
    404: "has no such project, queue or message; check the project id and the host of the URL",
    413: "takes no request as large as this; set request_limit in the URL to what the plan allows",
}


def refusal(status: int, text: str, where: str) -> BackendError:
    """Return what to raise for an answer that is no success.

    Args:
        status: the HTTP status.
        text: the answer's `msg`.
        where: the server.
    """
    said = f"{status} {text}".strip()
    if status in _GATEWAY:
        return Lost(f"IronMQ at {where} did not answer its gateway ({said})")
    if status == 429 or status >= 500:
        return BackendUnavailable(f"IronMQ at {where} cannot do this now ({said})")
    advice = _ADVICE.get(status, "refused")
    return Refusal(status, text, f"IronMQ at {where} {advice} ({said})")


def unreachable(error: Exception, where: str) -> BackendUnavailable:
    """Return what to raise where no answer came.

    Args:
        error: what httpx or the time limit raised.
        where: the server.
    """
    what = type(error).__name__
    text = f"{what}: {error}" if str(error) else what
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return BackendUnavailable(f"IronMQ at {where} cannot be reached ({text})")
    return Lost(f"IronMQ at {where} did not answer ({text}); whether it has done what it was asked is not known")
