"""The rate limit: GCRA as two pure functions over one number, the theoretical arrival time (tat).

Source: ITU-T I.371, generic cell rate algorithm (virtual scheduling).
"""

from __future__ import annotations

import math

import msgspec

from taskq.options import RateLimit

__all__ = ["Grant", "refund", "take"]


class Grant(msgspec.Struct, frozen=True):
    """The answer of a rate limiter.

    Attributes:
        allowed: how many may start now.
        retry_after: seconds until at least one may start, where none may now; else 0.
        granted_at: when it was granted, in seconds by the limiter's clock; a refund wears off from then on.
    """

    allowed: int
    retry_after: float
    granted_at: float


def take(tat: float, now: float, limit: RateLimit, n: int) -> tuple[Grant, float]:
    """Grant up to `n` starts; return the grant and the new theoretical arrival time.

    A stored time beyond a full burst, left by a clock that was set back or a limit that was larger, counts as a full burst.

    Args:
        tat: the time stored last (`now` at first), seconds.
        now: seconds by the same clock.
        limit: rate and burst.
        n: how many are wanted, at least 1.
    """
    interval = limit.interval
    burst = limit.capacity * interval
    base = min(max(tat, now), now + burst)
    # The slack is what rounding may cost; without it a caller that waits as long as it was told is refused for ever.
    slack = interval * 1e-9 + 8 * math.ulp(base + burst)
    # A start at `now` conforms while the tat after it is at most one burst ahead.
    allowed = min(n, int((now + burst - base + slack) / interval))
    if allowed > 0:
        return Grant(allowed, 0.0, now), base + allowed * interval
    return Grant(0, base + interval - burst - now, now), tat


def refund(tat: float, now: float, limit: RateLimit, unused: int, grant: Grant) -> float:
    """Return the theoretical arrival time after giving back `unused` starts of a grant, once.

    A grant wears off as time passes, as many intervals after it was made as it allowed starts: others may have started in
    the room that time made since, so that giving back more than is left of it would let them start twice (Go's credits
    grow: F24).

    Args:
        tat: the time stored now, seconds.
        now: seconds by the same clock.
        limit: rate and burst, as in `take`.
        unused: how many of the grant did not start.
        grant: what `take` returned.

    Raises:
        ValueError: more is given back than was granted.
    """
    if not 0 <= unused <= grant.allowed:
        raise ValueError(f"{unused} of {grant.allowed} grants cannot be unused; give back at most what was granted")
    left = grant.allowed * limit.interval - max(0.0, now - grant.granted_at)
    return tat - min(unused * limit.interval, max(0.0, left))
