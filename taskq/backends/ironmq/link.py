"""The way to the service: connections by event loop. They carry calls out, and decide nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import urllib.request
import weakref
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import httpx
import msgspec

from taskq.backends.ironmq.errors import refusal, unreachable
from taskq.backends.ironmq.settings import Settings

__all__ = ["Call", "Link", "Links"]

ANSWER = 10.0
"""Seconds in which an answer has to come, beyond those that the service may take on purpose."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=20.0)
"""No cap: long polls of many queues must not keep an acknowledgement waiting for a connection."""

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Call(NamedTuple):
    """One request.

    Attributes:
        method: of HTTP.
        path: below the project, percent-encoded, from its first slash.
        content: sent as JSON; None for no body.
        wait: seconds that the service may take on purpose.
    """

    method: str
    path: str
    content: Any = None
    wait: float = 0.0


class Link:
    """The HTTP connections of one event loop, closed when that loop shuts down its async generators, as asyncio.run does.

    It uses httpx by its transports: a client above them merges URLs, keeps cookies and follows redirects, all for nothing here
    and for half of the time that a request takes.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None, verify: ssl.SSLContext) -> None:
        self._settings = settings
        self._headers = {"Authorization": f"OAuth {settings.token}", "Content-Type": "application/json", "User-Agent": "taskq"}
        self._given = transport
        self._verify = verify
        self._transport: httpx.AsyncBaseTransport | None = None
        self._end: AsyncGenerator[None] | None = None
        self._url = functools.lru_cache(maxsize=64)(self._parse)

    async def do(self, call: Call) -> dict[str, Any]:
        """Carry a call out and return the answer's content.

        Raises:
            Lost: no answer came.
            BackendUnavailable: the service cannot be reached, or cannot do it now; it has not done it.
            Refusal: it refused.
        """
        transport = self._transport or await self._open()
        body = None if call.content is None else _encode(call.content)
        request = httpx.Request(call.method, self._url(call.path), headers=self._headers, content=body)
        try:
            async with asyncio.timeout(call.wait + ANSWER):
                response = await transport.handle_async_request(request)
                try:
                    data = await response.aread()
                except BaseException:
                    await response.aclose()
                    raise
        except _FAILURES as error:
            raise unreachable(error, self._settings.where) from error
        content = self._read(response, data)
        if response.is_success:
            return content
        raise refusal(response.status_code, str(content.get("msg", ""))[:200], self._settings.where)

    def _parse(self, path: str) -> httpx.URL:
        return httpx.URL(self._settings.url + path)

    def _read(self, response: httpx.Response, data: bytes) -> dict[str, Any]:
        """Return what was answered; a proxy before the service need not speak JSON where it reports an error."""
        try:
            content = _decode(data)
            if isinstance(content, dict):
                return content
        except msgspec.DecodeError:
            pass
        if response.is_success:
            raise unreachable(ValueError("something else than JSON came back"), self._settings.where)
        return {}

    async def _open(self) -> httpx.AsyncBaseTransport:
        """Make the transport, and have the loop close it in its last steps."""
        self._transport = transport = self._given or self._new()
        self._end = self._until_the_end(transport)
        await anext(self._end)
        return transport

    def _new(self) -> httpx.AsyncBaseTransport:
        """Return what connects to the server, through the proxy that the environment names for it."""
        return httpx.AsyncHTTPTransport(verify=self._verify, limits=_LIMITS, proxy=proxy_for(httpx.URL(self._settings.url)))

    async def _until_the_end(self, transport: httpx.AsyncBaseTransport) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._transport = None
            with contextlib.suppress(*_FAILURES):
                await transport.aclose()

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._end is not None:
            end, self._end = self._end, None
            await end.aclose()


def proxy_for(url: httpx.URL) -> str | None:
    """Return the proxy that the environment names for a server, by its scheme or for all, unless `no_proxy` names the host."""
    if urllib.request.proxy_bypass(url.host):
        return None
    named = urllib.request.getproxies()
    proxy = named.get(url.scheme) or named.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


class Links:
    """The links of one broker.

    Args:
        settings: where and who.
        transport: what carries requests instead of a socket, on one event loop.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.settings = settings
        self._transport = transport
        self._verify: ssl.SSLContext | None = None
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Link] = weakref.WeakKeyDictionary()

    def link(self) -> Link:
        """Return the link of the event loop that runs."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = Link(self.settings, self._transport, self._context())
        return link

    async def do(self, call: Call) -> dict[str, Any]:
        """Carry a call out; see `Link.do`."""
        return await self.link().do(call)

    def _context(self) -> ssl.SSLContext:
        """Return what checks the server's certificate: made once, for the authorities take tens of milliseconds to load."""
        if self._verify is None:
            plain = self.settings.url.startswith("http:")
            self._verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else httpx.create_ssl_context()
        return self._verify
