"""Every check of this project, one session each. `nox -s tests` is what the README and the CI run."""

from __future__ import annotations

import os
import shutil

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "typing", "tests"]
nox.options.default_venv_backend = "venv"

PROJECT = nox.project.load_toml("pyproject.toml")
CORE = "taskq/core/*,taskq/wire/*"


def install(session: nox.Session, *groups: str, extras: str = "all") -> None:
    """Install the project and what the groups name; no pip feature newer than Python 3.11's own pip is needed."""
    session.install(f".[{extras}]", *nox.project.dependency_groups(PROJECT, *groups))


def without_browser(session: nox.Session) -> dict[str, str]:
    """Return what tells the tests that the page of the timeline cannot be looked at here, if it cannot."""
    browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if "TASKQ_BROWSER" in os.environ or any(map(shutil.which, browsers)):
        return {}
    session.warn("no Chromium is installed: the tests of the timeline's page are skipped")
    return {"TASKQ_NO_BROWSER": "1"}


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests on the Python that runs nox, two at a time."""
    install(session, "test")
    session.run("pytest", "-n", "2", *session.posargs, env=without_browser(session))


@nox.session(python=["3.11", "3.12", "3.13"])
def pythons(session: nox.Session) -> None:
    """Run all tests on each Python that is here."""
    install(session, "test")
    session.run("pytest", "-n", "2", *session.posargs, env=without_browser(session))


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage: 100 % of core and wire, 95 % of all."""
    session.install("-e", ".[all]", *nox.project.dependency_groups(PROJECT, "test"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report", f"--include={CORE}", "--fail-under=100")
    session.run("coverage", "report", "--fail-under=95")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the direction of imports."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the sources, and of the public API as a user meets it."""
    install(session, "typing")
    session.run("mypy")
    session.run("pyright")


@nox.session
def interop(session: nox.Session) -> None:
    """Read and write the golden bytes of Go taskq v3."""
    install(session, "test")
    session.run("pytest", "-q", "tests/wire", "-k", "vector")


@nox.session
def services(session: nox.Session) -> None:
    """Run the tests of the SQS backend on ministack and LocalStack, which are installed (250 MB) if they are not there."""
    install(session, "test")
    files = ("tests/backends/test_sqs.py", "tests/backends/test_sqs_fakes.py")
    session.run("pytest", "-q", *files, *session.posargs, env={"TASKQ_TEST_SQS_SERVERS": "moto,ministack,localstack"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure: `-- memory` (default), `-- peers` Redis against other queues, `-- sqs` and `-- ironmq` against loops by hand."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def simulate(session: nox.Session) -> None:
    """Explore the simulator: `-- --determinism`, `-- --bugs`, `-- --survey SECONDS`, `-- --speed`, `-- --reference HISTORIES`."""
    install(session, "test")
    session.run("python", "-m", "benchmarks.exploration", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Put fleets on real servers through chaos, with the numbers of the bar: `-- --rows 2,6`, `-- --scale 0.1`."""
    install(session, "test")
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold backends to the contract: memory, fakeredis, moto and the IronMQ emulator, or `-- valkey localstack redis://...`."""
    install(session, "test")
    if session.posargs:
        session.run("taskq", "conformance", *session.posargs)
    else:
        session.run("pytest", "-n", "2", "conformance", "--taskq-target", "memory,fakeredis,moto,ironmq")


@nox.session
def mutants(session: nox.Session) -> None:
    """Judge the conformance suite: hunt every named bug, print the kill matrix; `-- --only NAME`, `-- --quick`, `-- --full`."""
    install(session, "test")
    session.run("python", "-m", "conformance.mutants", *session.posargs)


@nox.session
def differential(session: nox.Session) -> None:
    """Drive the backend in memory and real services in lock step, compare every answer, and write docs/divergences.md."""
    install(session, "test")
    session.run("python", "-m", "conformance.differential", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation with the conformance suite's report, of memory, fakeredis, moto and ironmq, or `-- TARGET ...`."""
    install(session, "docs", "test")
    session.run("taskq", "conformance", *session.posargs, "--report", "docs/_extra/conformance")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")
