"""`taskq conformance`: holds a backend to the contract. The suite is imported when it is asked for: taskq does without it."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from taskq.cli.parser import add_command
from taskq.errors import ConfigError

__all__ = ["add"]

_SUITE = "taskq_conformance.command"


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "conformance", "hold a backend to taskq's contract", _conformance, app=False)
    parser.add_argument("targets", nargs="*", metavar="URL",
                        help="URL of a backend, name of a target, module:attribute (default: all in virtual time)")  # fmt: skip
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios with this in their names, or of this number")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="also in N other orders, in virtual time")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write what came of it into this folder")
    parser.add_argument("--list", action="store_true", help="list the scenarios and run nothing")


def _conformance(arguments: argparse.Namespace) -> int:
    try:
        suite = importlib.import_module(_SUITE)
    except ImportError as error:
        raise ConfigError(f"the conformance suite needs what its backends need ({error}); install taskq[all,testing]") from None
    status: int = suite.run(arguments)
    return status
