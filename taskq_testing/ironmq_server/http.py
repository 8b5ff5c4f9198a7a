"""The service on a socket: HTTP/1.1 by h11, one task for each connection. It carries bytes, and decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import h11
import msgspec

from taskq_testing.ironmq_server.driver import Driver, ManualClock
from taskq_testing.ironmq_server.values import Answer, Request

__all__ = ["Connection"]

logger = logging.getLogger("taskq_testing.ironmq_server")

_CHUNK = 65_536
_CLOCK = "/clock"
"""Where a manual clock is read (GET) and moved (POST, `{"advance": seconds}`); not part of the service."""


class Connection:
    """One client.

    Args:
        driver: what answers.
        reader: where requests come from.
        writer: where answers go to.
        record: told each request and its answer, before that is sent.
    """

    def __init__(
        self,
        driver: Driver,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        record: Callable[[Request, Answer], object] | None = None,
    ) -> None:
        self._driver = driver
        self._reader, self._writer = reader, writer
        self._record = record
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Answer requests until the client is gone."""
        try:
            while (request := await self._receive()) is not None:
                answer = await self._answer(request)
                if answer is None:
                    return
                if self._record is not None:
                    self._record(request, answer)
                await self._send(answer)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            with contextlib.suppress(h11.LocalProtocolError):
                await self._send(Answer(error.error_status_hint, {"msg": "this is not HTTP/1.1"}))
        except ConnectionError:
            pass
        finally:
            self._writer.close()

    async def _receive(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
                self._http.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                method, target = head.method.decode("ascii"), head.target.decode("latin-1")
                return Request(method=method, target=target, headers=headers, body=bytes(body))
            else:  # closed
                return None

    async def _answer(self, request: Request) -> Answer | None:
        """Return the answer; None if the client is gone before there is one."""
        if request.target == _CLOCK and isinstance(self._driver.clock, ManualClock):
            return self._clock(self._driver.clock, request)
        outcome = self._driver.begin(request)
        return outcome if isinstance(outcome, Answer) else await self._await(outcome)

    async def _await(self, answer: asyncio.Future[Answer]) -> Answer | None:
        """Wait for an answer, and listen whether the client still does."""
        listening = asyncio.ensure_future(self._reader.read(_CHUNK))
        try:
            while not answer.done():
                await asyncio.wait((answer, listening), return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    data = listening.result()
                    if not data and not answer.done():
                        return None
                    self._http.receive_data(data)  # the next request, already
                    listening = asyncio.ensure_future(self._reader.read(_CHUNK))
            return answer.result()
        finally:
            answer.cancel()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _clock(self, clock: ManualClock, request: Request) -> Answer:
        if request.method == "POST":
            try:
                seconds = msgspec.json.decode(request.body, type=dict[str, float])["advance"]
            except (msgspec.MsgspecError, KeyError):
                return Answer(400, {"msg": 'send {"advance": seconds}'})
            self._driver.advance(max(0.0, seconds))
        return Answer(200, {"now": clock.time})

    async def _send(self, answer: Answer) -> None:
        content = msgspec.json.encode(answer.content)
        headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(content)))]
        data = self._http.send(h11.Response(status_code=answer.status, headers=headers)) or b""
        data += self._http.send(h11.Data(data=content)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await self._write(data)

    async def _write(self, data: bytes | None) -> None:
        self._writer.write(data or b"")
        await self._writer.drain()
