"""What is due for extension: reservations and locks past a share of their time. A decision; drivers carry it out."""

from __future__ import annotations

__all__ = ["BACKSTOP", "FIRST", "due", "interval"]

FIRST = 1 / 3
"""The share of its time after which the consumer's own loop extends what it owns."""

BACKSTOP = 1 / 2
"""The share after which whoever watches the loop does it: the loop has had a look in vain, so it is blocked."""


def due(expires_at: float, now: float, timeout: float, share: float) -> bool:
    """Return whether more than `share` of `timeout` is over when it ends at `expires_at` (both by one clock, seconds)."""
    return expires_at - now < timeout * (1.0 - share)


def interval(timeout: float, share: float, *, idle: bool) -> float:
    """Return the seconds until the next look: with either share at least two of them fall before an expiry.

    While nothing is owned there is less to look at: what comes from now on is not due before its share is over.
    """
    return timeout * share if idle else timeout / 6
