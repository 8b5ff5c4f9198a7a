"""The contract: every guarantee by its number, one sentence each. `CONTRACT.md` shows this table, and a test compares the two."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GUARANTEES", "Guarantee"]


@dataclass(frozen=True)
class Guarantee:
    """One promise.

    Attributes:
        number: such as `G1`.
        group: what it is about.
        sentence: what is promised.
        rests: the capability that it rests on; empty where every backend has to keep it.
    """

    number: str
    group: str
    sentence: str
    rests: str = ""


_TABLE = (
    (
        "Adding",
        (
            ("G1", "What was accepted is in the queue until it is settled, and is delivered.", ""),
            ("G2", "A message arrives with the arguments, id and headers that it was sent with, byte for byte.", ""),
            ("G3", "Each message of a batch has an answer of its own, and one that is refused does not fail the others.", ""),
            ("G4", "An enqueue that is not accepted raises; nothing is accepted that is not in the queue.", ""),
            ("G5", "A message that is too large is refused before it is sent, with its size and the limit.", ""),
            ("G6", "A send that is repeated under the same id, since its answer was lost, adds once.", "repeated_sends"),
            ("G7", "What was accepted outlives the connection that sent it.", "durable"),
        ),
    ),
    (
        "Reserving",
        (
            ("G8", "A message is owned by one consumer at a time.", ""),
            ("G9", "A reserve brings as many messages as were asked for at most, and none that is not due.", ""),
            (
                "G10",
                "A reserve that waits ends with the first message or when its time is over, and one that does not wait at once.",
                "waiting",
            ),
            (
                "G11",
                "One consumer sees messages that are neither delayed nor retried in the order in which they were added.",
                "ordering",
            ),
        ),
    ),
    (
        "Delays",
        (
            ("G12", "A delayed message is never early.", ""),
            ("G13", "A delayed message is not late: within the backend's resolution and its look for what is due.", ""),
            ("G14", "A delay that is longer than the backend keeps in one step is kept whole, as a first attempt.", "delay"),
            ("G15", "A delay holds up no other message.", ""),
        ),
    ),
    (
        "Retries",
        (
            (
                "G16",
                "A message whose handler fails is run again, after its backoff: doubled with each attempt, up to the cap.",
                "",
            ),
            ("G17", "An error that asks for a delay gets it instead of the backoff.", ""),
            ("G18", "Attempts count from 1, one more with each run, wherever the message is run.", ""),
            ("G19", "After the last attempt a message is not run again.", ""),
        ),
    ),
    (
        "Giving up",
        (
            (
                "G20",
                "The fallback runs once when a message has failed for good, with its arguments, and the message is done then.",
                "",
            ),
            (
                "G21",
                "A message whose fallback fails, or that has none, becomes a dead letter, intact, with the reason.",
                "dead_letters",
            ),
            ("G22", "A dead letter that is put back is as if it were new; one that is discarded is gone.", "dead_letters"),
        ),
    ),
    (
        "Names",
        (
            (
                "G23",
                "A name is accepted once while it is remembered; who comes second is told so, and nothing is added.",
                "dedup",
            ),
            ("G24", "A name is free again when its window is over, and not before.", "dedup"),
            (
                "G25",
                "What runs once in a period is accepted once in each, by its arguments or its key, and runs at its end.",
                "dedup",
            ),
            ("G26", "Of all producers that use one name at the same time, exactly one is accepted.", "dedup"),
            ("G27", "A name whose message was not added is free.", "dedup"),
            (
                "G28",
                "Names of different queues and tasks do not meet, and names that read alike when joined do not collide.",
                "dedup",
            ),
            ("G29", "A name stays taken at least until its message may run, however long that is.", "dedup"),
        ),
    ),
    (
        "Pauses",
        (
            (
                "G30",
                "A task that only fails is paused after the threshold, costs its messages no attempt, and goes on after.",
                "",
            ),
            ("G31", "A pause stops what it is for and nothing else.", ""),
            ("G32", "A pause can be begun and ended by hand, and does not hold up a stop.", ""),
        ),
    ),
    (
        "Limits",
        (
            (
                "G33",
                "No more messages start than the rate limit allows, over all processes, and not fewer for long.",
                "shared_limits",
            ),
            ("G34", "No more handlers run at once than the worker limit allows, over all processes.", "shared_limits"),
        ),
    ),
    (
        "Ownership",
        (
            (
                "G35",
                "A reservation that is not settled or extended ends after its timeout and not before, and the message is ready.",
                "",
            ),
            ("G36", "A reservation is extended while its handler runs, so that a job of any length runs once.", "extension"),
            ("G37", "A settlement that comes late changes nothing and says so.", "fencing"),
            ("G38", "A message is settled once: what is done does not come back.", ""),
            ("G39", "What a consumer owned when it died is run by another, and nothing else is.", ""),
            ("G40", "A message that is delivered again and again without an outcome becomes a dead letter.", "poison"),
        ),
    ),
    (
        "Strange messages",
        (
            (
                "G41",
                "A message of a task that nobody knows waits, and becomes a dead letter in the end; it is never dropped.",
                "",
            ),
            ("G42", "A body that cannot be read becomes a dead letter, intact, and stops nobody else.", ""),
            ("G43", "Bodies of Go taskq v3 are read, and what is written is what Go reads.", ""),
        ),
    ),
    (
        "Looking after",
        (
            ("G44", "Purge drops what is ready or delayed, says how many, and leaves what is dead.", ""),
            ("G45", "Purge leaves what is reserved.", "purging"),
            ("G46", "Size counts messages by state.", "counting"),
            ("G47", "An empty queue has size zero, and one that was never used is empty.", ""),
            ("G48", "Queues know nothing of each other.", ""),
        ),
    ),
    (
        "Consumers",
        (
            (
                "G49",
                "A consumer that stops claims nothing more, finishes what runs, and gives back the rest at once, as it was.",
                "",
            ),
            ("G50", "Several consumers share a queue, and one that stops or dies takes nothing with it.", ""),
            ("G51", "Hooks see what happens, as it happens, and alter no outcome.", ""),
            ("G52", "The figures of a consumer add up.", ""),
            ("G53", "Messages of a batch task are handed over together, and fail one by one.", ""),
        ),
    ),
    ("Honesty", (("G54", "What the backend declares is what the profile claims, and what it does.", ""),)),
)

GUARANTEES: dict[str, Guarantee] = {
    number: Guarantee(number, group, sentence, rests) for group, rows in _TABLE for number, sentence, rests in rows
}
"""By number, in their order."""
