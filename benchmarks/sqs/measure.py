"""`python -m benchmarks sqs [--server ministack] [--messages 2000]`: enqueue and drain, beside two loops of plain boto3.

"Single" sends, receives and deletes one message a call; "batched" does ten a call, one call after another, as one writes it by
hand. All carry bodies of one size, on one server, in rounds that take turns; the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import taskq
from taskq_testing.services.sqs import CREDENTIALS, SqsServer, localstack_server, ministack_server, moto_server

SERVERS: dict[str, Callable[[], AbstractContextManager[SqsServer]]] = {
    "ministack": ministack_server,
    "localstack": localstack_server,
    "moto": moto_server,
}
TEXT = "x" * 128
"""About as long as a message of taskq with one short argument."""

GOALS = {"single": 5.0, "batched": 0.8}
"""How many times as fast as these taskq has to be, enqueueing and draining together."""

Times = tuple[float, float]
"""Seconds for enqueueing and for draining."""


class Bench:
    """Everything that is measured, on one server."""

    def __init__(self, server: SqsServer, count: int) -> None:
        self.server = server
        self.client = server.client()
        self.count = count
        self.numbers = 0

    def queue(self) -> tuple[str, str]:
        """Make a queue and return its name and its URL."""
        self.numbers += 1
        name = f"bench{self.numbers}"
        return name, self.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "300"})["QueueUrl"]

    def single(self) -> Times:
        """One message a call."""
        _, url = self.queue()
        began = time.perf_counter()
        for _ in range(self.count):
            self.client.send_message(QueueUrl=url, MessageBody=TEXT)
        sent = time.perf_counter()
        for _ in range(self.count):
            (message,) = self.client.receive_message(QueueUrl=url)["Messages"]
            self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return sent - began, time.perf_counter() - sent

    def batched(self) -> Times:
        """Ten messages a call."""
        _, url = self.queue()
        began = time.perf_counter()
        for _ in range(self.count // 10):
            entries: list[dict[str, Any]] = [{"Id": str(index), "MessageBody": TEXT} for index in range(10)]
            self.client.send_message_batch(QueueUrl=url, Entries=entries)
        sent = time.perf_counter()
        done = 0
        while done < self.count:
            messages = self.client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
            entries = [{"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)]
            self.client.delete_message_batch(QueueUrl=url, Entries=entries)
            done += len(messages)
        return sent - began, time.perf_counter() - sent

    def taskq(self) -> Times:
        """`enqueue_many`, and a consumer with an async handler that does nothing."""
        return asyncio.run(self._taskq())

    async def _taskq(self) -> Times:
        name, _ = self.queue()
        app = taskq.App(self.server.url, hooks=())
        queue = app.queue(name, reserve_wait=1.0)
        over, done = asyncio.Event(), 0

        @queue.task
        async def noop(text: str) -> None:  # noqa: ARG001 - a no-op
            nonlocal done
            done += 1
            if done == self.count:
                over.set()

        await queue.size()  # the client is made
        began = time.perf_counter()
        await queue.enqueue_many_async(noop.message("x" * 40) for _ in range(self.count))
        sent = time.perf_counter()
        consumer = app.consumer(queue)
        await consumer.start()
        await over.wait()
        await consumer.drain(30.0)
        drained = time.perf_counter()
        await consumer.stop()
        await app.aclose()
        return sent - began, drained - sent


def measure(server: SqsServer, count: int, rounds: int) -> bool:
    """Run all in turn, print rates and ratios, and return whether the goals are met."""
    bench = Bench(server, count)
    times: dict[str, list[Times]] = {"single": [], "batched": [], "taskq": []}
    for _ in range(rounds):
        for name, runs in times.items():
            gc.collect()
            runs.append(getattr(bench, name)())
    print(f"{server.name}, {count} messages, {rounds} rounds; messages/s (medians)")
    print(f"  {'':<10}{'enqueue':>10}{'drain':>10}{'both':>10}")
    for name, runs in times.items():
        rates = [count / statistics.median(values) for values in (*zip(*runs, strict=True), [sum(each) for each in runs])]
        print(f"  {name:<10}" + "".join(f"{rate:>10,.0f}" for rate in rates))
    met = True
    for name, goal in GOALS.items():
        pairs = list(zip(times[name], times["taskq"], strict=True))
        ratios = [
            *(statistics.median(theirs[index] / ours[index] for theirs, ours in pairs) for index in (0, 1)),
            statistics.median(sum(theirs) / sum(ours) for theirs, ours in pairs),
        ]
        met = met and ratios[-1] >= goal
        print(f"  {'/ ' + name:<10}" + "".join(f"{ratio:>10.2f}" for ratio in ratios) + f"  (both: at least {goal})")
    return met


def main(words: Sequence[str]) -> int:
    """Read the command line and measure; return 0 if the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sqs", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, default="ministack")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(words)
    os.environ.update(CREDENTIALS)
    with SERVERS[arguments.server]() as server:
        return 0 if measure(server, arguments.messages // 10 * 10, arguments.rounds) else 1
