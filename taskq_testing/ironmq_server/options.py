"""What the sources leave open, in one place: each point with what this server does unless it is told otherwise.

The marks: [D] the service's documentation says it, [C] clients and their tests rely on it, [A] nothing says so and it had
to be chosen, [!] the sources contradict each other. Tests of clients should not depend on an [A] or a [!].
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the server decides where it could have decided otherwise.

    Attributes:
        minimum_timeout: seconds that `message_timeout`, and `timeout` of a reserve or a touch, have to be at least. [!] the
            documentation says 30, tests of clients reserve for 3 and 5 s and see them expire. Default 1.
        maximum_size: bytes of a whole request at most. [D] 64 KB or 256 KB by plan. Default 256 KB.
        too_large_status: what a larger one is answered. [A] 413; 400 is as plausible.
        missing_field_status: what a request without a field that is needed is answered. [A] 400; a client knows 406 too.
        clamp_n: whether `n` above 100 is taken for 100. [A] False: it is refused with 400.
        maximum_list: queues in one list at most. [A] 100, and a larger `per_page` is refused.
        maximum_release_delay: seconds that a release may be delayed. [A] 604,800, as a post.
        front: whether messages that were released, or whose reservation timed out, come before all others. [!] the
            documentation says so, a test of a client sees another one first. Default True.
        touch_counts: whether a touch adds 1 to `reserved_count`. [D] True, on the page about dead letter queues.
        release_counts: whether a release takes 1 from it. [A] False.
        delay_expires: whether the time of a delay counts towards a message's expiration. [A] True.
        size_counts_delayed: whether `size` counts delayed messages; reserved ones are counted in any case. [A] True.
        peek_shows_delayed: whether a peek shows delayed messages. [A] False.
        get_finds_reserved: whether a reserved message is found by its id. [A] True.
        get_finds_delayed: whether a delayed one is. [A] True.
        popped_reservation: whether a message that a reserve deletes at once has a `reservation_id`. [A] True.
        atomic_delete: whether a delete of many deletes none if it refuses one; otherwise it deletes those before it. [A] True.
        clear_reserved: whether a clear removes reserved messages too. [A] True.
        patch_creates: whether updating a queue that does not exist creates it. [!] the documentation answers 404, a client
            says that it creates. Default False.
        ids_are_numbers: whether ids are JSON numbers, as in the documentation's examples. [!] clients decode strings. False.
        deleted_queue_status: what a long poll is answered when its queue is deleted. [A] 404.
        maximum_retries: `retries` of a push queue at most. [!] 100; the glossary says 10.
        push_timeout: seconds that an endpoint has to answer a push. [!] 60; a client's page says 10.
    """

    minimum_timeout: int = 1
    maximum_size: int = 262_144
    too_large_status: int = 413
    missing_field_status: int = 400
    clamp_n: bool = False
    maximum_list: int = 100
    maximum_release_delay: int = 604_800
    front: bool = True
    touch_counts: bool = True
    release_counts: bool = False
    delay_expires: bool = True
    size_counts_delayed: bool = True
    peek_shows_delayed: bool = False
    get_finds_reserved: bool = True
    get_finds_delayed: bool = True
    popped_reservation: bool = True
    atomic_delete: bool = True
    clear_reserved: bool = True
    patch_creates: bool = False
    ids_are_numbers: bool = False
    deleted_queue_status: int = 404
    maximum_retries: int = 100
    push_timeout: float = 60.0
