"""The backend, held to the contract of taskq's conformance suite: this is all that it takes."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

from sqlite_backend import SqliteBroker

from taskq_conformance import BackendSuite, Capabilities, Profile, Unsupported


@contextmanager
def one_file(_):
    with tempfile.TemporaryDirectory() as folder:
        yield lambda clock: SqliteBroker(Path(folder) / "queue.db", clock)


class TestSqlite(BackendSuite):
    profile = Profile(
        name="sqlite",
        service=one_file,
        capabilities=Capabilities(shared_limits=Unsupported("rate limits and locks are each process's own")),
        late=0.06,
    )
