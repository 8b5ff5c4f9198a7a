"""The example programs, run as a reader would run them."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from taskq_testing.services import Processes, redis_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def start(*command, folder="api_worker", **environment):
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT / "examples" / folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_api_does_the_workers_part_in_memory():
    """Each name is greeted once; the second Ada is refused."""
    with start("api.py", "Ada", "Grace", "Ada") as program:
        out, err = program.communicate()
    assert (program.returncode, err) == (0, "")
    assert out.splitlines()[:3] == ["Ada: enqueued", "Grace: enqueued", "Ada: greeted already"]
    assert sorted(out.splitlines()[3:]) == ["hello, Ada", "hello, Grace"]


def test_the_command_line_is_the_worker():
    """`taskq worker tasks:app` consumes the example's queue until it is stopped."""
    with start("-m", "taskq", "worker", "tasks:app") as program:
        assert "consumes mail" in program.stderr.readline()
        program.send_signal(signal.SIGTERM)
        _, err = program.communicate()
    assert program.returncode == 0
    assert "stopped" in err


def test_the_backend_comes_from_the_environment():
    """A URL that nothing serves is refused when the app is made, so both programs read it."""
    for name in ("api.py", "worker.py"):
        with start(name, TASKQ_URL="nope://") as program:
            _, err = program.communicate()
        assert program.returncode == 1
        assert "nope://" in err.splitlines()[-1]


def test_nothing_is_lost_when_the_worker_is_killed():
    """API and worker as two programs on one Redis: the worker is killed under load, another takes over, all are greeted."""
    names = [f"guest-{n}" for n in range(400)]
    folder = ROOT / "examples" / "api_worker"
    with redis_server() as server, Processes(env={"TASKQ_URL": server.url, "PYTHONPATH": str(ROOT)}, cwd=folder) as programs:
        worker = programs.python("worker.py")
        api = programs.python("api.py", *names[:200])
        worker.wait_for("hello, ", times=60)
        worker.kill()
        assert api.wait() == 0
        second = programs.worker("tasks:app")
        assert programs.python("api.py", *names[200:]).wait() == 0
        greeted = re.findall(r"hello, (guest-\d+)", worker.output)
        while len({*greeted, *re.findall(r"hello, (guest-\d+)", second.output)}) < 400:
            second.wait_for("hello, ", times=second.output.count("hello, ") + 1)
        while server.cli("XLEN", "taskq:{mail}:stream"):  # what the first one had greeted and not acknowledged comes again
            threading.Event().wait(0.05)
        second.terminate()
        assert second.wait() == 0
        info = programs.python("-m", "taskq", "info", "--json", "tasks:app")
        assert info.wait() == 0
        assert '"ready":0,"delayed":0,"reserved":0,"dead":0' in info.output.replace(" ", "")
        greeted += re.findall(r"hello, (guest-\d+)", second.output)
    # Only what the killed worker had greeted and not acknowledged yet is greeted again.
    assert len(greeted) - 400 <= 128


PROJECTS = [("script_jobs", "pytest", 6), ("fastapi_jobs", "fastapi", 7), ("django_jobs", "django", 8)]
OTHERS = ("asyncio", "xdist", "cacheprovider", "pytest_cov")


@pytest.mark.parametrize("wall", ["time_machine", "freezegun"])
@pytest.mark.parametrize(("folder", "needs", "count"), PROJECTS, ids=[project[0] for project in PROJECTS])
def test_a_projects_own_tests_pass(folder, needs, count, wall):
    """Each project tests its delayed and retried jobs in virtual time, whichever tool moves the time of day."""
    pytest.importorskip(needs)
    pytest.importorskip(wall)
    options = ("-q", *(f"-pno:{name}" for name in OTHERS), "-o", f"taskq_wall={wall}")
    with start("-m", "pytest", *options, folder=folder) as program:
        out, err = program.communicate()
    assert (program.returncode, err) == (0, ""), out
    assert f"{count} passed" in out
