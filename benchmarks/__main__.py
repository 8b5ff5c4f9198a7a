"""`python -m benchmarks [memory|peers|sqs|ironmq] …`: the in-memory backend by itself (default), or another beside other ways."""

from __future__ import annotations

import importlib
import sys

NAMES = ("memory", "peers", "sqs", "ironmq")


def main(words: list[str]) -> int:
    """Hand the words on to the benchmarks that the first of them names, which are loaded then: each needs other packages."""
    name, rest = (words[0], words[1:]) if words[:1] and words[0] in NAMES else ("memory", words)
    status: int = importlib.import_module(f"benchmarks.{name}").main(rest)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
