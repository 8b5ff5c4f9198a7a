"""What one trip does: up to ten entries in one call of boto3, and an answer for each. In threads.

An answer is None, or an error that says what became of this entry. `Again` marks those that are certain to have had no
effect, and may fare better in another moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from taskq.backends.sqs.errors import code_of, concerns_content, did_nothing, passes, translate
from taskq.backends.sqs.places import Place
from taskq.backends.sqs.receipts import Receipt
from taskq.backends.sqs.texts import Attributes, size_of
from taskq.errors import BackendError, BackendUnavailable, MessageTooLarge, ReservationLost
from taskq.message import printable

__all__ = ["Again", "Outbound", "Visibility", "change_visibility", "delete", "send"]

L = TypeVar("L")
Answers = list[Exception | None]
Outcome = dict[str, Any] | Exception | None
"""What became of one entry: SQS took it, or said why not, or the whole call failed."""

_UNSAID = {"Code": "InternalError", "Message": "SQS did not say what became of it", "SenderFault": True}
"""The outcome of an entry that an answer does not mention: it may have been taken, so that it is not sent again."""


class Again(BackendUnavailable):
    """Nothing happened; the same may succeed in another moment."""


class Outbound:
    """A message on its way to SQS.

    Attributes:
        text: its body.
        attributes: what stands beside it.
        delay: whole seconds.
        order: group and dedup id; empty where no order is kept.
        until: for how long it may be tried again, by the clock's monotonic time.
        size: bytes that SQS counts.
    """

    __slots__ = ("attributes", "delay", "order", "size", "text", "until")

    def __init__(
        self, text: str, delay: int, until: float, attributes: Attributes | None = None, order: dict[str, Any] | None = None
    ) -> None:
        self.text = text
        self.delay = delay
        self.until = until
        self.attributes = attributes or {}
        self.order = order or {}
        self.size = size_of(text, self.attributes)

    def entry(self) -> dict[str, Any]:
        """Return it as boto3 takes it."""
        entry: dict[str, Any] = {"MessageBody": self.text, **self.order}
        if self.delay:
            entry["DelaySeconds"] = self.delay
        if self.attributes:
            entry["MessageAttributes"] = self.attributes
        return entry


class Visibility(msgspec.Struct, frozen=True):
    """For how many whole seconds from now a message is to stay invisible."""

    receipt: Receipt
    seconds: int

    @property
    def size(self) -> int:
        """Nothing that counts."""
        return 0


def send(place: Place, loads: Sequence[Outbound]) -> Answers:
    """Send once. What is too large is refused here, and costs the others nothing."""
    try:
        place.find()
    except Exception as error:  # noqa: BLE001 - it is the answer
        return [_told(place, error)] * len(loads)
    outcomes = iter(_each(place, "send_message_batch", [load for load in loads if load.size <= place.largest], Outbound.entry))
    return [
        _not_sent(place, next(outcomes)) if load.size <= place.largest else MessageTooLarge(load.size, place.largest)
        for load in loads
    ]


def delete(place: Place, loads: Sequence[Visibility]) -> Answers:
    """Delete messages; `ReservationLost` for those whose receipts SQS does not take."""
    answers = _settle(place, "delete_message_batch", loads, lambda load: {"ReceiptHandle": load.receipt.handle})
    for load, answer in zip(loads, answers, strict=True):
        if answer is None:
            load.receipt.state = "deleted"
    return answers


def change_visibility(place: Place, loads: Sequence[Visibility]) -> Answers:
    """Set until when messages stay invisible; `ReservationLost` for those whose receipts SQS does not take."""
    return _settle(
        place,
        "change_message_visibility_batch",
        loads,
        lambda load: {"ReceiptHandle": load.receipt.handle, "VisibilityTimeout": load.seconds},
    )


def _settle(place: Place, operation: str, loads: Sequence[Visibility], entry: Callable[[Visibility], dict[str, Any]]) -> Answers:
    outcomes = _each(place, operation, loads, entry)
    return [_not_settled(place, load.receipt, outcome) for load, outcome in zip(loads, outcomes, strict=True)]


def _each(place: Place, operation: str, loads: Sequence[L], entry: Callable[[L], dict[str, Any]]) -> list[Outcome]:
    """Do one call for all. What is refused as a whole for what is in it is halved, until the culprit stands alone."""
    if not loads:
        return []
    try:
        reply = place.ask(operation, Entries=[{"Id": str(number), **entry(load)} for number, load in enumerate(loads)])
    except Exception as error:  # noqa: BLE001 - it is the answer
        if concerns_content(error) and len(loads) > 1:
            middle = len(loads) // 2
            return _each(place, operation, loads[:middle], entry) + _each(place, operation, loads[middle:], entry)
        return [error] * len(loads)
    accepted = {each["Id"] for each in reply.get("Successful", ())}
    failed = {each["Id"]: each for each in reply.get("Failed", ())}
    return [None if str(number) in accepted else failed.get(str(number), _UNSAID) for number in range(len(loads))]


def _not_sent(place: Place, outcome: Outcome) -> Exception | None:
    if outcome is None:
        return None
    if isinstance(outcome, Exception):
        return _told(place, outcome)
    code, text = _code_and_text(outcome)
    if passes(code) and not outcome.get("SenderFault"):
        # Where order is kept, what came after it was taken: it must not be sent behind that unless its sender says so.
        kind = BackendUnavailable if place.fifo else Again
        return kind(f"{place.where} could not take the message now ({text})")
    return BackendError(f"{place.where} refused the message ({text})")


def _not_settled(place: Place, receipt: Receipt, outcome: Outcome) -> Exception | None:
    if outcome is None:
        return None
    if isinstance(outcome, Exception):
        if not concerns_content(outcome):
            return _told(place, outcome)
        outcome = {"Code": code_of(outcome)}
    code, text = _code_and_text(outcome)
    if passes(code):
        return BackendUnavailable(f"{place.where} cannot do this now ({text})")
    if receipt.state != "deleted":  # by an acknowledgement beside this call, which has yet to say so
        receipt.end()
    return ReservationLost(f"message {printable(receipt.message_id.encode())} is no longer owned; nothing was changed ({code})")


def _code_and_text(failure: dict[str, Any]) -> tuple[str, str]:
    code = str(failure["Code"]).rpartition(".")[2]
    return code, f"{code}: {failure.get('Message', '')}".rstrip(": ")


def _told(place: Place, error: Exception) -> Exception:
    said = translate(error, place.where)
    if did_nothing(error):
        said = Again(str(said))
    said.__cause__ = error
    return said
