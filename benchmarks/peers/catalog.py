"""What a peer's file says about it: read as literals, so that the runner needs nothing the peer needs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["INSIDE", "Peer", "PeerError", "Worker", "chosen", "read_peer"]

INSIDE = Path(__file__).parent / "inside"
"""Where the peers' files are, and the folder their programs run in."""

COUNTS = {"noop": 6_000, "sleep": 2_000, "enqueue": 3_000, "bulk": 10_000, "latency": 100, "idle": 8}
"""How many jobs a cell has, unless the peer's file says otherwise."""

TASKS = ("noop_async", "noop_sync", "sleep_async", "sleep_sync")
_KNOWN = {"REQUIREMENTS", "IMPORT", "VENV", "TASKS", "WORKERS", "JOBS", "BACKLOGS", "SETTINGS"}
_NEEDED = {"REQUIREMENTS", "IMPORT", "TASKS", "WORKERS", "SETTINGS"}


class PeerError(Exception):
    """A peer's file does not keep the contract, or there is no such peer."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One way to run a peer.

    Attributes:
        label: its name in the tables.
        run: what follows `python`.
        env: variables it needs.
        processes: how many processes handle jobs; only single ones are candidates for the fastest peer.
        jobs: counts that differ from the peer's.
        gap: seconds between two jobs of the latency cell, from and to.
    """

    label: str
    run: str
    env: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    jobs: Mapping[str, int] = field(default_factory=dict)
    gap: tuple[float, float] = (0.02, 0.06)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One queue, or one hand-written loop."""

    name: str
    requirements: tuple[str, ...]
    import_statement: str
    environment: str
    tasks: tuple[str, ...]
    workers: tuple[Worker, ...]
    settings: str
    jobs: Mapping[str, int] = field(default_factory=dict)
    backlogs: tuple[int, ...] = ()

    @property
    def is_floor(self) -> bool:
        """Whether it is a limit to compare with and no queue."""
        return self.name.startswith("floor")

    def count(self, what: str, worker: Worker | None = None) -> int:
        """Return how many jobs a cell of this kind has."""
        return {**COUNTS, **self.jobs, **(worker.jobs if worker else {})}[what]


def read_peer(path: Path) -> Peer:
    """Read the upper-case literals of one peer's file.

    Raises:
        PeerError: one is missing, unknown, or no literal.
    """
    found = _literals(path)
    if missing := _NEEDED - set(found):
        raise PeerError(f"{path.name} lacks {', '.join(sorted(missing))}; its README says what a peer's file holds")
    if unknown := set(found["TASKS"]) - set(TASKS):
        raise PeerError(f"{path.name} names unknown tasks {', '.join(sorted(unknown))}; the tasks are {', '.join(TASKS)}")
    name = path.stem.removeprefix("peer_")
    return Peer(
        name=name,
        requirements=tuple(found["REQUIREMENTS"]),
        import_statement=found["IMPORT"],
        environment=found.get("VENV", name),
        tasks=tuple(found["TASKS"]),
        workers=tuple(Worker(label=label, **given) for label, given in found["WORKERS"].items()),
        settings=found["SETTINGS"],
        jobs=found.get("JOBS", {}),
        backlogs=tuple(found.get("BACKLOGS", ())),
    )


def _literals(path: Path) -> dict[str, Any]:
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name) and target.id in _KNOWN:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                raise PeerError(
                    f"{path.name}: {target.id} is computed; write it as a literal, it is read without running"
                ) from None
    return found


def chosen(names: Iterable[str] = ()) -> list[Peer]:
    """Return the peers that are asked for, floors first; a name also stands for all that begin with it. None means all.

    Raises:
        PeerError: a name fits no peer.
    """
    peers = [read_peer(path) for path in INSIDE.glob("peer_*.py")]
    peers.sort(key=lambda peer: (not peer.is_floor, peer.name != "taskq", peer.name))
    wanted = list(names)
    for name in wanted:
        if not any(_fits(peer, name) for peer in peers):
            raise PeerError(f"there is no peer {name!r}; the peers are {', '.join(peer.name for peer in peers)}")
    return [peer for peer in peers if not wanted or any(_fits(peer, name) for name in wanted)]


def _fits(peer: Peer, name: str) -> bool:
    return peer.name == name or peer.name.startswith(f"{name}_")
