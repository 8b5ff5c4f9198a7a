"""A virtual environment for each peer, made once and kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.peers.catalog import Peer

__all__ = ["PROJECT", "Environments"]

PROJECT = Path(__file__).parents[2]

_VERSIONS = """
import importlib.metadata, json
print(json.dumps({each.metadata["Name"].lower(): each.version for each in importlib.metadata.distributions()}))
"""
_ALWAYS_TOLD = ("redis", "hiredis", "uvloop", "coredis", "kombu")


class Environments:
    """The environments under one folder. Peers that share requirements may share one.

    Args:
        folder: where they are kept from run to run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def python(self, peer: Peer) -> Path:
        """Return the interpreter that runs this peer."""
        return self.folder / peer.environment / "bin" / "python"

    def install(self, peers: Iterable[Peer], *, fresh: bool = False) -> None:
        """Make what is missing, or everything anew with the latest versions.

        Raises:
            CalledProcessError: pip could not install a peer.
        """
        wanted: dict[str, set[str]] = {}
        for peer in peers:
            wanted.setdefault(peer.environment, set()).add(_line(peer))
        for name, lines in wanted.items():
            stamp = self.folder / name / "installed"
            text = "\n".join([sys.version, *sorted(lines)])
            if fresh or not stamp.exists() or stamp.read_text() != text:
                self._make(name, " ".join(sorted(lines)).split())
                stamp.write_text(text)

    def _make(self, name: str, requirements: list[str]) -> None:
        print(f"installing {name}: {' '.join(requirements)}", file=sys.stderr, flush=True)
        venv.create(self.folder / name, clear=True, with_pip=True)
        pip = [self.folder / name / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", *requirements], check=True)

    def versions(self, peer: Peer) -> dict[str, str]:
        """Return the versions of what the peer asked for, and of the clients that came with it."""
        done = subprocess.run([self.python(peer), "-c", _VERSIONS], capture_output=True, text=True, check=True)
        installed = json.loads(done.stdout)
        asked = {re.split(r"[\[<>=!~;]", each)[0].lower() for each in peer.requirements}
        asked |= {"taskq"} if peer.name == "taskq" else set()
        return {name: installed[name] for name in sorted(asked | set(_ALWAYS_TOLD)) if name in installed}


def _line(peer: Peer) -> str:
    return " ".join(peer.requirements).format(project=PROJECT)
