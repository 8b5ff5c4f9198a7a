"""`python -m benchmarks [memory|peers] …`: the in-memory backend by itself (default), or Redis against other queues."""

from __future__ import annotations

import sys

from benchmarks import memory, peers


def main(words: list[str]) -> int:
    """Hand the words on to the benchmarks that the first of them names."""
    if words[:1] == ["peers"]:
        return peers.main(words[1:])
    return memory.main(words[1:] if words[:1] == ["memory"] else words)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
