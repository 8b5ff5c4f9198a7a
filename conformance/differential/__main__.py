"""The command: drives services in lock step with memory, and writes the list of what is known to differ."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from conformance.differential.lockstep import DIFFERENCES, machine
from conformance.differential.page import Drive, page
from conformance.differential.worlds import World, sqs, valkey

__all__ = ["SERVICES", "drive", "main"]

SERVICES: dict[str, Callable[[], AbstractContextManager[World]]] = {"valkey": valkey, "sqs": sqs}
"""By name."""

_EXAMPLES = {"valkey": 10, "sqs": 1}
"""How much quicker one service is than another: shares of the examples that are asked for, in tenths."""


def drive(service: str, examples: int, steps: int, *, shrink: bool = True) -> Drive:
    """Drive one service, and return what was seen.

    Args:
        service: its name.
        examples: how many.
        steps: of each, at most.
        shrink: whether the shortest way to a divergence is looked for, which may take minutes. Without it the examples are the
            same each time.

    Raises:
        Divergence: an answer differs, and nothing says that it may; its notes tell the shortest way there.
    """
    seen: set[str] = set()
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases,
        derandomize=not shrink,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with SERVICES[service]() as world:
        run_state_machine_as_test(machine(world, seen), settings=chosen)
    return Drive(examples, steps, frozenset(seen))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m conformance.differential", description=__doc__)
    parser.add_argument("--service", choices=SERVICES, help="one service; the list is not written then")
    parser.add_argument("--examples", type=int, default=300, help="examples on Valkey (300); a tenth of it on SQS, which is slow")
    parser.add_argument("--steps", type=int, default=30, help="steps of an example, at most (30)")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for the shortest way to a divergence")
    parser.add_argument("--list", type=Path, default=Path("docs/divergences.md"), help="where the list is written")
    options = parser.parse_args(arguments)
    drives = {}
    for service in SERVICES if options.service is None else [options.service]:
        examples = max(1, options.examples * _EXAMPLES[service] // 10)
        began = time.perf_counter()
        try:
            drives[service] = drive(service, examples, options.steps, shrink=not options.no_shrink)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
            print(f"{service}: {error}", *getattr(error, "__notes__", ()), sep="\n")
            return 1
        seen = ", ".join(sorted(drives[service].seen)) or "none"
        print(f"{service}: {examples} examples agree in {time.perf_counter() - began:.0f} s; known differences seen: {seen}")
    if options.service is None:
        options.list.write_text(page(DIFFERENCES, drives), encoding="utf-8")
        print(f"{options.list} was written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
