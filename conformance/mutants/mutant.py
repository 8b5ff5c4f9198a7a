"""A mutant: a name that says what is wrong, the guarantee that it breaks, and the changes that make it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conformance.mutants.patches import Change, Rewrite

__all__ = ["AREAS", "Mutant", "all_mutants", "rewriting"]

AREAS = ("core", "names", "runtime", "consumer", "wire", "memory", "redis", "sqs", "ironmq", "others", "strangers")
"""The modules that hold the tables, in the order in which they are run."""


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        name: what is wrong, with underscores.
        guarantee: the number of what it breaks, in `CONTRACT.md`.
        changes: what makes it.
        flaw: the number of the flaw of Go taskq v3 that it brings back, if it is one.
        target: on which of our targets it is looked for.
    """

    name: str
    guarantee: str
    changes: tuple[Change, ...]
    flaw: str = ""
    target: str = "memory"

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Have the bug for the time of a `with` block.

        Raises:
            Unapplied: a change no longer finds what it changes.
        """
        with contextlib.ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(change.applied())
            yield


def rewriting(prefix: str, target: str) -> Callable[..., Mutant]:
    """Return what makes one row of a table.

    Args:
        prefix: module, and class if there is one, with what stands behind them: `taskq.core.retry:`, `taskq.app:App.`.
        target: where the mutants are looked for.
    """

    def row(name: str, guarantee: str, function: str, old: str, new: str, flaw: str = "") -> Mutant:
        return Mutant(name, guarantee, (Rewrite(prefix + function, old, new),), flaw, target)

    return row


def all_mutants() -> tuple[Mutant, ...]:
    """Return the mutants of all areas.

    Raises:
        ValueError: two have one name.
    """
    found: dict[str, Mutant] = {}
    for area in AREAS:
        for mutant in importlib.import_module(f"conformance.mutants.{area}").MUTANTS:
            if mutant.name in found:
                raise ValueError(f"two mutants are called {mutant.name!r}; a name stands for one bug")
            found[mutant.name] = mutant
    return tuple(found.values())
