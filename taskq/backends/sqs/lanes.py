"""Calls that share trips: what comes while all trips are under way, or in the same step of the loop, goes with the next one.

One lane carries one kind of call for one event loop. What a trip does is its maker's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["MOST", "Lane", "Load"]

MOST = 10
"""Entries of one trip at most: SQS takes no more."""


class Load(Protocol):
    """One entry of a trip."""

    @property
    def size(self) -> int:
        """Its bytes, where those count; else 0."""


L = TypeVar("L", bound=Load)
Answers = Sequence[Exception | None]


class _Parcel:
    """What one caller gave, and the answers that it waits for."""

    __slots__ = ("answers", "future", "left")

    def __init__(self, count: int) -> None:
        self.answers: list[Exception | None] = [None] * count
        self.left = count
        self.future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()

    def answer(self, index: int, answer: Exception | None) -> None:
        self.answers[index] = answer
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.answers)


class Lane(Generic[L]):
    """The trips of one kind.

    Args:
        carry: does one trip with up to ten entries and returns an answer for each; it may raise instead.
        trips: how many may be under way at a time.
        room: returns how many bytes one trip may carry; an entry that alone has more travels alone.
    """

    def __init__(
        self, carry: Callable[[Sequence[L]], Coroutine[Any, Any, Answers]], trips: int, room: Callable[[], int] = lambda: 0
    ) -> None:
        self._carry = carry
        self._trips = trips
        self._room = room
        self._waiting: deque[tuple[L, _Parcel, int]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._starting = False

    async def send(self, loads: Sequence[L]) -> Answers:
        """Have entries carried, in order, and return an answer for each: None, or the error."""
        if not loads:
            return []
        parcel = _Parcel(len(loads))
        self._waiting.extend((load, parcel, index) for index, load in enumerate(loads))
        if not self._starting and len(self._under_way) < self._trips:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)
        return await parcel.future

    def _start(self) -> None:
        self._starting = False
        while len(self._under_way) < self._trips and (cargo := self._load()):
            task = asyncio.create_task(self._travel(cargo))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _load(self) -> list[tuple[L, _Parcel, int]]:
        """Take what the next trip carries; what nobody waits for any more stays here."""
        cargo: list[tuple[L, _Parcel, int]] = []
        room = self._room()
        while self._waiting and len(cargo) < MOST:
            load, parcel, _ = self._waiting[0]
            if not parcel.future.done():
                room -= load.size
                if cargo and room < 0:
                    break
                cargo.append(self._waiting[0])
            self._waiting.popleft()
        return cargo

    async def _travel(self, cargo: list[tuple[L, _Parcel, int]]) -> None:
        try:
            answers = await self._carry([load for load, _, _ in cargo])
        except asyncio.CancelledError:
            for _, parcel, _ in cargo:
                parcel.future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is the answer to each
            answers = [error] * len(cargo)
        for (_, parcel, index), answer in zip(cargo, answers, strict=True):
            parcel.answer(index, answer)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._start()
            return
        for _, parcel, _ in self._waiting:  # the loop comes to its end
            parcel.future.cancel()
        self._waiting.clear()
