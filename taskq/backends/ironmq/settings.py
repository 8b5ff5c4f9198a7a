"""Where an IronMQ is and who we are: from a URL, the environment and the files that the service's own clients read. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import msgspec

from taskq.errors import ConfigError

__all__ = ["REQUEST_LIMIT", "Settings", "settings_for"]

REQUEST_LIMIT = 262_144
"""Bytes of one request at most, by the larger of the service's two plans."""

_HOST = "mq-aws-us-east-1-1.iron.io"
_PORTS = {"https": 443, "http": 80}
_FORM = "give ironmq://PROJECT_ID:TOKEN@host/, or set IRON_PROJECT_ID and IRON_TOKEN"
_LEAST = 8192


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One project on one server.

    Attributes:
        url: of the project, without a slash at its end.
        token: what the server is told; in no text.
        where: the server, for people.
        request_limit: bytes of one request at most.
    """

    url: str
    token: str
    where: str
    request_limit: int = REQUEST_LIMIT

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"<Settings {self.url}>"


def settings_for(url: str, environ: Mapping[str, str], files: Iterable[str] = ()) -> Settings:
    """Return what a URL says; where it says nothing, what the service's own clients would find.

    `ironmq://PROJECT_ID:TOKEN@host:port/`, over TLS; `ironmq+http://` without. What is left out comes from the files'
    contents (later ones win over earlier ones, and the product's part over the rest), from `IRON_...` and from `IRON_MQ_...`.
    The parameter `request_limit` is how many bytes a request may have (65,536 in the smaller plan).

    Args:
        url: the URL.
        environ: the environment.
        files: the contents of `.iron.json` and `iron.json`, in this order.

    Raises:
        ConfigError: something is missing, or cannot be read.
    """
    try:
        parts = urlsplit(url)
        found = _configured(environ, files) | _given(parts)
        parameters = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        limit = int(parameters.pop("request_limit", REQUEST_LIMIT))
        port = int(found["port"])
    except ValueError:  # its text may hold the token
        raise ConfigError(f"the IronMQ URL cannot be read; {_FORM}") from None
    if parameters or not limit >= _LEAST:
        raise ConfigError(f"the IronMQ URL takes request_limit alone, of {_LEAST} bytes or more; leave out the rest")
    missing = [name for name in ("project_id", "token") if not found.get(name)]
    if missing:
        raise ConfigError(f"the IronMQ URL has no {' and no '.join(missing)}; {_FORM}")
    scheme = found["scheme"]
    if scheme not in _PORTS:
        raise ConfigError(f"IronMQ speaks http or https, not {scheme!r}; correct IRON_PROTOCOL")
    host = f"[{found['host']}]" if ":" in found["host"] else found["host"]
    where = host if port == _PORTS[scheme] else f"{host}:{port}"
    version = found["api_version"]
    if str(version) != "3":
        raise ConfigError(f"taskq speaks version 3 of IronMQ, not {version!r}; correct IRON_API_VERSION")
    base = f"{scheme}://{where}{parts.path.rstrip('/')}/3/projects/{quote(found['project_id'], safe='')}"
    return Settings(url=base, token=found["token"], where=where, request_limit=limit)


def _given(parts: SplitResult) -> dict[str, str]:
    """Return what the URL itself says."""
    found = {}
    if parts.username:
        found["project_id"] = unquote(parts.username)
    if parts.password:
        found["token"] = unquote(parts.password)
    if parts.hostname or parts.port:
        scheme = "http" if parts.scheme.endswith("+http") else "https"
        found |= {"scheme": scheme, "host": parts.hostname or _HOST, "port": str(parts.port or _PORTS[scheme])}
    return found


def _configured(environ: Mapping[str, str], files: Iterable[str]) -> dict[str, str]:
    """Return what the official clients would be configured to: the last one that says something wins."""
    user, project = [*map(_read, files), {}, {}][:2]
    found: dict[str, str] = {"host": _HOST, "scheme": "https", "api_version": "3"}
    for source in (user, _variables(environ, "IRON_"), _variables(environ, "IRON_MQ_"), project):
        found |= source
    return {"port": str(_PORTS.get(found["scheme"], 0))} | found


def _variables(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    names = ("token", "project_id", "host", "port", "api_version")
    found = {name: environ[prefix + name.upper()] for name in names if prefix + name.upper() in environ}
    scheme = environ.get(f"{prefix}PROTOCOL", environ.get(f"{prefix}SCHEME"))
    return found | ({"scheme": scheme} if scheme else {})


def _read(text: str) -> dict[str, str]:
    """Return what one of the files says."""
    if not text:
        return {}
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("no object")  # noqa: TRY004 - told as a ConfigError
    own = content.get("iron_mq")
    merged = content | (own if isinstance(own, dict) else {})
    found = {name: str(merged[name]) for name in ("token", "project_id", "host", "port", "api_version") if name in merged}
    scheme = merged.get("protocol", merged.get("scheme"))
    return found | ({"scheme": str(scheme)} if scheme else {})
