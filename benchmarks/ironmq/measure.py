"""Messages a second on IronMQ, in interleaved rounds on one server: `python -m benchmarks ironmq [ROUNDS]`.

Ways to add and to drain messages with one small argument: taskq as users have it; hand-written loops in batches of a hundred over
a kept connection, asyncio and blocking; a loop of single calls over such a connection, and one with the service's official
client. The server is a process of its own, which takes its share of the machine in each of them.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import httpx
import iron_mq

import taskq
from taskq.wire import args, ascii85, envelope

ROUNDS = 5
MANY, FEW = 4000, 200
HEADERS = {"Authorization": "OAuth token", "Content-Type": "application/json"}


class Measured(NamedTuple):
    """Messages a second, and processor time of this process in µs a message; added and drained."""

    added: float
    drained: float
    added_cpu: float
    drained_cpu: float


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Run the server and return its port."""
    command = [sys.executable, "-m", "taskq_testing.ironmq_server", "--port", "0", "--token", "token", "--project", "p"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition("/3/")[0].rpartition(":")[2])
        finally:
            process.terminate()


def measured(count: int, add: Callable[[], object], drain: Callable[[], object]) -> Measured:
    """Add and drain so many messages."""
    found = []
    for work in (add, drain):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6))
    (added, added_cpu), (drained, drained_cpu) = found
    return Measured(added, drained, added_cpu, drained_cpu)


def body(number: int) -> str:
    """Return a message as taskq writes it."""
    return ascii85.encode(envelope.encode(taskq.Message(task="noop", id=b"%032x" % number, args_bytes=args.encode((number,)))))


def handle(text: str) -> Any:
    """Read a message as a hand-written consumer has to."""
    return args.decode(envelope.decode(ascii85.decode(text)).args_bytes)


def ours(port: int, queue_name: str) -> Measured:
    """Add with `enqueue_many`, and drain with a consumer of an async no-op, with the defaults."""
    app = taskq.App(f"ironmq+http://p:token@127.0.0.1:{port}/", hooks=())
    queue = app.queue(queue_name)
    done = 0

    @queue.task
    async def noop(number: int) -> None:  # noqa: ARG001 - a no-op
        nonlocal done
        done += 1

    def add() -> None:
        assert all(result.accepted for result in queue.enqueue_many(noop.message(number) for number in range(MANY)))

    async def drain() -> None:
        assert await app.consumer(queue).process_all() == done == MANY

    result = measured(MANY, add, lambda: asyncio.run(drain()))
    app.close()
    return result


def by_hand(port: int, queue_name: str, batch: int, count: int) -> Measured:
    """Do the same with one kept connection and as many messages a call."""
    url = f"http://127.0.0.1:{port}/3/projects/p/queues/{queue_name}"
    with httpx.Client(headers=HEADERS) as client:

        def add() -> None:
            for start in range(0, count, batch):
                messages = [{"body": body(number)} for number in range(start, start + batch)]
                client.post(f"{url}/messages", content=json.dumps({"messages": messages})).raise_for_status()

        def drain() -> None:
            left = count
            while left:
                found = client.post(f"{url}/reservations", content=json.dumps({"n": batch, "timeout": 60})).json()["messages"]
                for message in found:
                    handle(message["body"])
                ids = [{"id": message["id"], "reservation_id": message["reservation_id"]} for message in found]
                client.request("DELETE", f"{url}/messages", content=json.dumps({"ids": ids})).raise_for_status()
                left -= len(found)

        return measured(count, add, drain)


def by_hand_async(port: int, queue_name: str) -> Measured:
    """Do the same on an event loop, in batches of a hundred."""
    url = f"http://127.0.0.1:{port}/3/projects/p/queues/{queue_name}"

    async def add() -> None:
        async with httpx.AsyncClient(headers=HEADERS) as client:
            for start in range(0, MANY, 100):
                messages = [{"body": body(number)} for number in range(start, start + 100)]
                (await client.post(f"{url}/messages", content=json.dumps({"messages": messages}))).raise_for_status()

    async def drain() -> None:
        async with httpx.AsyncClient(headers=HEADERS) as client:
            left = MANY
            while left:
                answer = await client.post(f"{url}/reservations", content=json.dumps({"n": 100, "timeout": 60}))
                found = answer.json()["messages"]
                for message in found:
                    handle(message["body"])
                ids = [{"id": message["id"], "reservation_id": message["reservation_id"]} for message in found]
                answer = await client.request("DELETE", f"{url}/messages", content=json.dumps({"ids": ids}))
                answer.raise_for_status()
                left -= len(found)

    return measured(MANY, lambda: asyncio.run(add()), lambda: asyncio.run(drain()))


def official(port: int, queue_name: str) -> Measured:
    """Do it with the official client, one message a call."""
    client = iron_mq.IronMQ(host="127.0.0.1", port=port, protocol="http", project_id="p", token="token")
    queue = client.queue(queue_name)

    def add() -> None:
        for number in range(FEW):
            queue.post(body(number))

    def drain() -> None:
        for _ in range(FEW):
            (message,) = queue.reserve()["messages"]
            handle(message["body"])
            queue.delete(message["id"], message["reservation_id"])

    return measured(FEW, add, drain)


WAYS: dict[str, Callable[[int, str], Measured]] = {
    "taskq": ours,
    "by hand, asyncio, in batches": by_hand_async,
    "by hand, blocking, in batches": lambda port, name: by_hand(port, name, 100, MANY),
    "single calls": lambda port, name: by_hand(port, name, 1, FEW),
    "official client, single calls": official,
}
GOALS = {"by hand, asyncio, in batches": 0.8, "single calls": 5.0}


def main(words: Sequence[str]) -> int:
    """Print the table, and return 0 if the goals are met."""
    rounds = int(words[0]) if words else ROUNDS
    results: dict[str, list[Measured]] = {name: [] for name in WAYS}
    with server() as port:
        for number in range(rounds):
            for name, measure in WAYS.items() if number % 2 == 0 else reversed(WAYS.items()):
                results[name].append(measure(port, f"bench-{number}-{len(name)}"))
    print(f"Python {sys.version.split()[0]}, {rounds} rounds; medians")
    print(f"{'messages a second':30} {'added':>8} {'drained':>8}   {'taskq is':>8} {'':>7}   {'CPU, µs each':>12}")
    met = True
    for name, rows in results.items():
        added, drained, added_cpu, drained_cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        pairs = list(zip(results["taskq"], rows, strict=True))
        ratios = [statistics.median(mine[side] / theirs[side] for mine, theirs in pairs) for side in (0, 1)]
        met = met and min(ratios) >= GOALS.get(name, 0.0)
        rates = f"{added:8,.0f} {drained:8,.0f}   {ratios[0]:7.2f}x {ratios[1]:6.2f}x"
        print(f"{name:30} {rates}   {added_cpu:6.0f}{drained_cpu:6.0f}")
    return 0 if met else 1
