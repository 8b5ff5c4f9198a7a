"""The parts of the SQS backend without a server: shared trips, what is sent again and what never, places, and errors in words."""

import asyncio
import builtins
import os
import re
import sys
import threading

import botocore.exceptions as aws
import msgspec
import pytest
from sqs_support import Scripted, accepted, refusal, set_credentials
from support import run

import taskq
from taskq.backends.base import Outgoing, Size
from taskq.backends.memory import MemoryBroker
from taskq.backends.sqs import SqsBroker
from taskq.backends.sqs.errors import translate
from taskq.backends.sqs.lanes import Lane
from taskq.backends.sqs.places import RETENTION
from taskq.backends.sqs.service import Access
from taskq.backends.sqs.settings import settings_for
from taskq.errors import (
    BackendError,
    BackendUnavailable,
    ConfigError,
    MessageTooLarge,
    ReservationLost,
)
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop

REFUSED = aws.EndpointConnectionError(endpoint_url="http://sqs")
LOST = aws.ReadTimeoutError(endpoint_url="http://sqs")
CUT = aws.ConnectionClosedError(endpoint_url="http://sqs")


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def connect(loop):
    """Return a backend in virtual time that speaks to a scripted client."""

    def connect(client, name="q", url="sqs://?long_poll=no", **options):
        app = taskq.App(url, client=client, clock=VirtualClock(loop))
        return app.broker.queue(name, QueueOptions(**options))

    return connect


def outgoing(*bodies, delay=0.0):
    return [Outgoing(body, body, delay) for body in bodies]


def held(connect, loop, client, **options):
    """Return a backend and one reservation of it."""
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "_", "Attributes": {"ApproximateReceiveCount": "1"}}
    answer = client.answer
    client.answer = lambda operation, parameters: {"Messages": [message]}
    queue = connect(client, **options)
    (reservation,) = loop.run_until_complete(queue.reserve(1, 0))
    client.answer = answer
    client.calls.clear()
    return queue, reservation


# -- lanes


class Load:
    def __init__(self, name, size=0):
        self.name, self.size = name, size


def carried(trips_at_once, loads, room=0):
    """Send each load by itself, all at once, and return what travelled together."""
    seen = []

    async def carry(cargo):
        seen.append([load.name for load in cargo])
        await asyncio.sleep(0)
        return [None] * len(cargo)

    async def scenario():
        lane = Lane(carry, trips_at_once, lambda: room)
        await asyncio.gather(*(lane.send([load]) for load in loads))

    run(scenario())
    return seen


def test_calls_of_one_moment_share_a_trip():
    """What is sent in one step of the loop travels together, ten at a time."""
    assert carried(8, [Load(number) for number in range(23)]) == [[*range(10)], [*range(10, 20)], [20, 21, 22]]


def test_a_trip_carries_what_fits():
    """A trip that would have too many bytes leaves the rest to the next; what alone has too many travels alone."""
    sizes = [3, 4, 4, 30, 1, 10]
    assert carried(8, [Load(size, size) for size in sizes], room=10) == [[3, 4], [4], [30], [1], [10]]


def test_what_comes_meanwhile_shares_the_next_trip():
    """With one trip at a time order is kept, and those who wait travel together."""
    seen, gate = [], asyncio.Event()

    async def carry(cargo):
        seen.append([load.name for load in cargo])
        await gate.wait()
        return [None] * len(cargo)

    async def scenario():
        lane = Lane(carry, 1)
        first = asyncio.create_task(lane.send([Load(0)]))
        while not seen:
            await asyncio.sleep(0)
        others = [asyncio.create_task(lane.send([Load(number)])) for number in (1, 2)]
        cancelled = asyncio.create_task(lane.send([Load("cancelled")]))
        await asyncio.sleep(0)
        cancelled.cancel()
        last = asyncio.create_task(lane.send([Load(3), Load(4)]))
        await asyncio.sleep(0)
        gate.set()
        return [await task for task in (first, *others, last)], await asyncio.gather(cancelled, return_exceptions=True)

    answers, (given_up,) = run(scenario())
    assert seen == [[0], [1, 2, 3, 4]]
    assert answers == [[None], [None], [None], [None, None]]
    assert isinstance(given_up, asyncio.CancelledError)


def test_a_trip_that_fails_is_the_answer_to_each_of_its_loads():
    """Others travel on, and nothing is sent is no trip."""

    async def carry(cargo):
        if cargo[0].name == 0:
            raise BackendUnavailable("down")
        return [None] * len(cargo)

    async def scenario():
        lane = Lane(carry, 8)
        answers = await lane.send([Load(number) for number in range(12)])
        return answers, await lane.send([])

    answers, nothing = run(scenario())
    assert [type(answer) for answer in answers] == [BackendUnavailable] * 10 + [type(None)] * 2
    assert nothing == []


def test_a_loop_that_ends_leaves_nobody_waiting():
    """When trips are cancelled with their loop, so are those who wait for them, and those who wait for their turn."""

    async def scenario():
        lane = Lane(lambda _: asyncio.Event().wait(), 1)
        waiting = [asyncio.create_task(lane.send([Load(0)])) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0)
        late = asyncio.create_task(lane.send([Load(1)]))
        await asyncio.sleep(0)
        for task in lane._under_way:
            task.cancel()
        return await asyncio.gather(*waiting, late, return_exceptions=True)

    assert [type(result) for result in run(scenario())] == [asyncio.CancelledError] * 3


# -- sending


def test_a_batch_is_one_call_for_ten(connect, loop):
    """Many messages go ten at a time, with whole seconds of delay and none that is nothing."""
    client = Scripted(accepted)
    queue = connect(client)
    batch = [*outgoing(*(b"%d" % number for number in range(11))), *outgoing(b"late", delay=0.2)]
    assert loop.run_until_complete(queue.send(batch)) == [None] * 12
    calls = client.of("send_message_batch")
    assert [len(call["Entries"]) for call in calls] == [10, 2]
    assert [entry.get("DelaySeconds") for call in calls for entry in call["Entries"]] == [None] * 11 + [1]


def test_one_that_is_too_large_fails_alone_and_before_the_network(connect, loop):
    """It is answered with its size and the limit of the queue, and the others are sent."""
    client = Scripted(accepted, {"MaximumMessageSize": "1024"})
    queue = connect(client)
    answers = loop.run_until_complete(queue.send(outgoing(b"a", b"x" * 1000, b"b")))
    assert [type(answer) for answer in answers] == [type(None), MessageTooLarge, type(None)]
    assert (answers[1].size, answers[1].limit) == (1250, 1024)
    assert [len(call["Entries"]) for call in client.of("send_message_batch")] == [2]
    assert isinstance(loop.run_until_complete(queue.send(outgoing(b"x" * 1000)))[0], MessageTooLarge)
    assert len(client.calls) == 1


def test_batches_keep_the_limit_of_bytes(connect, loop):
    """Ten messages of 200 KB are six calls where a call may have a megabyte at most."""
    client = Scripted(accepted)
    queue = connect(client)
    loop.run_until_complete(queue.send(outgoing(b"first")))
    loop.run_until_complete(queue.send(outgoing(*[b"\x01" * 160_000] * 10)))
    sizes = [sum(len(entry["MessageBody"]) for entry in call["Entries"]) for call in client.of("send_message_batch")]
    assert sizes == [len(outgoing(b"first")[0].body) + 2, *[1_000_000] * 2]


def test_a_partial_failure_is_told_entry_by_entry(connect, loop):
    """Whoever was refused is told why; one that was not mentioned is not taken for sent (F8)."""

    def answer(operation, parameters):
        failed = [{"Id": "1", "Code": "InvalidMessageContents", "Message": "bad", "SenderFault": True}]
        return {"Successful": [{"Id": "0"}], "Failed": failed}

    client = Scripted(answer)
    answers = loop.run_until_complete(connect(client).send(outgoing(b"a", b"b", b"c")))
    assert answers[0] is None
    assert [type(answer) for answer in answers[1:]] == [BackendError, BackendError]
    assert "refused the message (InvalidMessageContents: bad)" in str(answers[1])
    assert len(client.calls) == 1


def test_an_entry_that_the_service_could_not_take_is_sent_again(connect, loop):
    """The failure was the service's own, so this entry, and only this one, is sent until it is taken."""
    tries = []

    def answer(operation, parameters):
        tries.append([entry["MessageBody"] for entry in parameters["Entries"]])
        if len(tries) < 3:
            failed = [{"Id": "0", "Code": "InternalError", "SenderFault": False}]
            return {"Successful": [{"Id": "1"}] if len(tries) == 1 else [], "Failed": failed}
        return accepted(operation, parameters)

    assert loop.run_until_complete(connect(Scripted(answer)).send(outgoing(b"aaaa", b"bbbb"))) == [None, None]
    assert [len(bodies) for bodies in tries] == [2, 1, 1]
    assert tries[0][0] == tries[1][0] == tries[2][0]


def test_where_order_is_kept_an_entry_is_not_sent_behind_others(connect, loop):
    """On a FIFO queue whoever could not be sent is told so, for the others of its batch are there already."""
    failed = [{"Id": "0", "Code": "InternalError", "SenderFault": False}]
    client = Scripted(lambda operation, parameters: {"Successful": [{"Id": "1"}], "Failed": failed})
    answers = loop.run_until_complete(connect(client, "q.fifo").send(outgoing(b"a", b"b")))
    assert [type(answer) for answer in answers] == [BackendUnavailable, type(None)]
    assert len(client.calls) == 1


def test_a_batch_that_is_refused_as_a_whole_is_halved(connect, loop):
    """Fakes refuse ten for one, and a limit may be lower than told: the culprit is found, and fails alone."""

    def answer(operation, parameters):
        if any(entry["MessageBody"] == bad for entry in parameters["Entries"]):
            return refusal("InvalidParameterValue")
        return accepted(operation, parameters)

    batch = outgoing(*(b"%04d" % number for number in range(10)))
    probe = Scripted(accepted)
    loop.run_until_complete(connect(probe).send(batch))
    bad = probe.of("send_message_batch")[0]["Entries"][6]["MessageBody"]
    client = Scripted(answer)
    answers = loop.run_until_complete(connect(client).send(batch))
    assert [answer is None for answer in answers] == [True] * 6 + [False] + [True] * 3
    sent = [
        entry["MessageBody"]
        for call in client.of("send_message_batch")
        if all(entry["MessageBody"] != bad for entry in call["Entries"])
        for entry in call["Entries"]
    ]
    assert len(sent) == len(set(sent)) == 9


@pytest.mark.parametrize("error", [LOST, CUT, refusal("InternalError", status=500)], ids=["mute", "cut", "broken"])
def test_a_send_whose_fate_is_unknown_is_not_repeated(connect, loop, error):
    """SQS would add it twice (F5): the caller is told that it may be there."""
    client = Scripted(lambda operation, parameters: error)
    with pytest.raises(BackendUnavailable, match="SQS queue 'q'"):
        loop.run_until_complete(connect(client).send(outgoing(b"a")))
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "error",
    [REFUSED, aws.ConnectTimeoutError(endpoint_url="x"), refusal("RequestThrottled"), refusal("ThrottlingException")],
    ids=["refused", "timeout", "throttled", "throttling"],
)
def test_a_send_that_certainly_did_nothing_is_repeated(connect, loop, error):
    """While SQS cannot be reached or is busy it is tried again, slower and slower, for as long as the queue says."""
    client = Scripted(lambda operation, parameters: error if len(client.calls) < 4 else accepted(operation, parameters))
    assert loop.run_until_complete(connect(client).send(outgoing(b"a"))) == [None]
    assert len(client.calls) == 4
    client = Scripted(lambda operation, parameters: error)
    began = loop.time()
    with pytest.raises(BackendUnavailable):
        loop.run_until_complete(connect(client, send_timeout=30.0).send(outgoing(b"a")))
    assert 25 < loop.time() - began <= 30
    assert 10 < len(client.calls) < 30


def test_what_is_refused_is_not_repeated(connect, loop):
    """Credentials and permissions do not get better by asking again."""
    client = Scripted(lambda operation, parameters: refusal("AccessDenied"))
    (answer,) = loop.run_until_complete(connect(client).send(outgoing(b"a")))
    assert "does not allow SendMessageBatch to these credentials (AccessDenied: because); grant it in IAM" in str(answer)
    assert type(answer) is BackendError
    assert len(client.calls) == 1


# -- settling


def test_a_release_is_sent_before_the_old_one_is_deleted(connect, loop):
    """Whatever happens between the two, one of them is there."""
    client = Scripted(accepted)
    queue, reservation = held(connect, loop, client)
    loop.run_until_complete(queue.release(msgspec.structs.replace(reservation, body=b"anew"), 2.5))
    assert [operation for operation, _ in client.calls] == ["send_message_batch", "delete_message_batch"]
    assert client.calls[0][1]["Entries"][0]["DelaySeconds"] == 3


def test_a_release_that_cannot_be_sent_deletes_nothing(connect, loop):
    """The message stays reserved, and the release can be tried again."""
    client = Scripted(lambda operation, parameters: LOST)
    queue, reservation = held(connect, loop, client)
    anew = msgspec.structs.replace(reservation, body=b"anew")
    with pytest.raises(BackendUnavailable):
        loop.run_until_complete(queue.release(anew, 0.0))
    assert [operation for operation, _ in client.calls] == ["send_message_batch"]
    client.answer = accepted
    loop.run_until_complete(queue.release(anew, 0.0))
    assert [operation for operation, _ in client.calls] == ["send_message_batch"] * 2 + ["delete_message_batch"]


def test_a_release_whose_deletion_fails_is_not_sent_twice(connect, loop):
    """The second try only deletes, and whoever is done is done."""
    client = Scripted(lambda operation, parameters: LOST if operation.startswith("delete") else accepted(operation, parameters))
    queue, reservation = held(connect, loop, client)
    anew = msgspec.structs.replace(reservation, body=b"anew")
    with pytest.raises(BackendUnavailable):
        loop.run_until_complete(queue.release(anew, 0.0))
    client.answer = accepted
    loop.run_until_complete(queue.release(anew, 0.0))
    assert [operation for operation, _ in client.calls] == ["send_message_batch"] + ["delete_message_batch"] * 2
    with pytest.raises(ReservationLost):
        loop.run_until_complete(queue.release(anew, 0.0))
    assert loop.run_until_complete(queue.ack([reservation])) == [False]


def test_a_release_that_is_cancelled_is_not_sent_twice(connect):
    """A stop may cancel a release while its trip is under way; who releases again waits for that trip."""
    gate, sent = threading.Event(), threading.Event()

    def answer(operation, parameters):
        if operation == "send_message_batch":
            sent.set()
            assert gate.wait(60)
        return accepted(operation, parameters)

    client = Scripted(answer)
    loop = asyncio.new_event_loop()
    app = taskq.App("sqs://?long_poll=no", client=client)
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "_", "Attributes": {}}

    async def scenario():
        queue = app.broker.queue("q", QueueOptions())
        client.answer = lambda operation, parameters: {"Messages": [message]}
        (reservation,) = await queue.reserve(1, 0)
        client.answer = answer
        anew = msgspec.structs.replace(reservation, body=b"anew")
        first = asyncio.create_task(queue.release(anew, 0.0))
        while not sent.is_set():
            await asyncio.sleep(0)
        first.cancel()
        again = asyncio.create_task(queue.release(anew, 0.0))
        await asyncio.sleep(0)
        gate.set()
        await again
        await app.aclose()

    loop.run_until_complete(asyncio.wait_for(scenario(), 120))
    loop.close()
    assert len(client.of("send_message_batch")) == len(client.of("delete_message_batch")) == 1


def test_an_acknowledgement_is_answered_one_by_one(connect, loop):
    """Of several, the one whose receipt SQS does not know is lost; one that failed for another reason can be tried again."""
    messages = [
        {"MessageId": f"m{n}", "ReceiptHandle": f"r{n}", "Body": "_", "Attributes": {"ApproximateReceiveCount": "1"}}
        for n in range(3)
    ]
    client = Scripted(lambda operation, parameters: {"Messages": messages})
    queue = connect(client)
    taken = loop.run_until_complete(queue.reserve(10, 0))

    def failing(code):
        return lambda operation, parameters: {
            "Successful": [{"Id": entry["Id"]} for entry in parameters["Entries"] if entry["ReceiptHandle"] != "r1"],
            "Failed": [{"Id": entry["Id"], "Code": code} for entry in parameters["Entries"] if entry["ReceiptHandle"] == "r1"],
        }

    client.answer = failing("InternalError")
    with pytest.raises(BackendUnavailable, match="cannot do this now"):
        loop.run_until_complete(queue.ack(taken))
    client.calls.clear()
    client.answer = failing("ReceiptHandleIsInvalid")
    assert loop.run_until_complete(queue.ack(taken)) == [True, False, True]
    assert [[entry["ReceiptHandle"] for entry in parameters["Entries"]] for _, parameters in client.calls] == [["r1"]]
    assert loop.run_until_complete(queue.ack(taken)) == [False] * 3


def test_whoever_is_late_asks_nothing(connect, loop):
    """Past its reservation a consumer changes nothing, and does not even ask: SQS may do what a stale receipt wants (row 14)."""
    client = Scripted(accepted)
    queue, reservation = held(connect, loop, client, reservation_timeout=30.0)
    loop.advance(30.0)
    assert loop.run_until_complete(queue.ack([reservation])) == [False]
    for late in (
        queue.release(reservation, 0.0),
        queue.release(msgspec.structs.replace(reservation, body=b"x"), 5.0),
        queue.extend(reservation, 30.0),
        queue.dead_letter(reservation, "late"),
    ):
        with pytest.raises(ReservationLost, match="no longer owned; nothing was changed"):
            loop.run_until_complete(late)
    assert client.calls == []


def test_an_extension_is_kept_and_ends_after_twelve_hours(connect, loop):
    """Each one is rounded up and counted from before it was asked for; after twelve hours SQS keeps a message no longer."""
    client = Scripted(accepted)
    queue, reservation = held(connect, loop, client, reservation_timeout=30.0)
    extended = loop.run_until_complete(queue.extend(reservation, 20.5))
    assert extended.expires_at == loop.time() + 20.5
    assert client.calls[-1][1]["Entries"][0]["VisibilityTimeout"] == 21
    began = loop.time()
    while loop.time() < began + 43000:
        loop.advance(20.0)
        extended = loop.run_until_complete(queue.extend(extended, 30.0))
    loop.run_until_complete(queue.extend(extended, 1000.0))
    assert client.calls[-1][1]["Entries"][0]["VisibilityTimeout"] == 195
    loop.advance(began + 43194.5 - loop.time())
    with pytest.raises(ReservationLost, match="twelve hours"):
        loop.run_until_complete(queue.extend(extended, 30.0))


def test_a_message_that_came_to_a_stopped_process_is_not_its_own(connect, loop):
    """What was under way for longer than a reservation lasts is somebody else's by now."""
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "_", "Attributes": {}}

    def stopped(operation, parameters):
        loop.now += 40 * 1_000_000_000
        return {"Messages": [message]}

    queue = connect(Scripted(stopped), reservation_timeout=30.0)
    assert loop.run_until_complete(queue.reserve(1, 0)) == []


# -- reserving


def test_a_reservation_counts_from_before_it_was_asked_for():
    """SQS may have begun to count at any moment of a poll, and nobody is to work on what is another's already (14)."""
    clock = VirtualClock(loop := VirtualLoop())
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "_", "Attributes": {"ApproximateReceiveCount": "1"}}

    def answer(operation, parameters):
        loop.now += 15_000_000_000
        return {"Messages": [message]}

    queue = taskq.App("sqs://", client=Scripted(answer), clock=clock).broker.queue("q", QueueOptions(reservation_timeout=100.0))
    (reservation,) = loop.run_until_complete(queue.reserve(1, 20.0))
    assert loop.time() == pytest.approx(15.0)
    assert reservation.expires_at == reservation.receipt.expires_at == pytest.approx(100.0)
    loop.close()


def test_more_than_ten_are_reserved_by_more_calls(connect, loop):
    """After a full answer more are asked for side by side, no more than wanted; one that fails costs the others nothing."""
    left, sizes = list(range(45)), []

    def answer(operation, parameters):
        n = parameters["MaxNumberOfMessages"]
        sizes.append(n)
        if len(sizes) == 3:
            return LOST
        taken = [left.pop(0) for _ in range(min(n, len(left)))]
        return {"Messages": [{"MessageId": str(x), "ReceiptHandle": str(x), "Body": "_", "Attributes": {}} for x in taken]}

    queue = connect(Scripted(answer))
    taken = loop.run_until_complete(queue.reserve(35, 0))
    assert sizes == [10, 10, 10, 5]
    assert len(taken) == 25


def test_a_reserve_that_fails_at_once_says_so(connect, loop):
    """The first call's error is the caller's, in our words."""
    with pytest.raises(BackendUnavailable, match="SQS queue 'q' cannot be reached"):
        loop.run_until_complete(connect(Scripted(lambda *_: REFUSED)).reserve(5, 0))


@pytest.mark.parametrize(
    ("timeout", "polls"), [(300.0, [20, 20, 5]), (80.0, [20, 20, 5]), (41.0, [10] * 4 + [5]), (4.0, [1] * 45), (3.0, [])]
)
def test_waits_are_long_polls_of_whole_seconds(timeout, polls):
    """A wait is one long poll, or several where SQS waits no longer, or where a reservation hardly lasts longer, which counts
    from the beginning of the poll; a part of a second is waited for here.
    """
    waits = []
    clock = VirtualClock(loop := VirtualLoop())

    def answer(operation, parameters):
        waits.append(parameters["WaitTimeSeconds"])
        loop.now += parameters["WaitTimeSeconds"] * 1_000_000_000
        return {}

    app = taskq.App("sqs://", client=Scripted(answer), clock=clock)
    queue = app.broker.queue("q", QueueOptions(reservation_timeout=timeout))
    loop.run_until_complete(queue.reserve(1, 45.5))
    assert waits[: len(polls)] == polls
    assert set(waits[len(polls) :]) == {0}
    assert loop.time() == pytest.approx(45.5)
    loop.close()


# -- places


def test_a_queue_is_made_when_it_is_needed(connect, loop):
    """With the timeout of its reservations, and with the longest life that SQS gives to messages."""
    made = []

    class Empty(Scripted):
        def __getattr__(self, operation):
            def call(**parameters):
                if operation == "get_queue_url":
                    raise refusal("AWS.SimpleQueueService.NonExistentQueue")
                made.append((operation, parameters))
                return {"QueueUrl": "u", "Successful": [{"Id": "0"}]}

            return call

    for name in ("q", "q.fifo"):
        queue = connect(Empty(), name, reservation_timeout=90.5)
        assert made == []
        loop.run_until_complete(queue.send(outgoing(b"a")))
        operation, parameters = made[0]
        expected = {"VisibilityTimeout": "91", "MessageRetentionPeriod": str(RETENTION)}
        assert operation == "create_queue"
        assert parameters == {
            "QueueName": name,
            "Attributes": expected | ({"FifoQueue": "true"} if name == "q.fifo" else {}),
        }
        made.clear()


@pytest.mark.parametrize("slow", ["client", "queue"])
def test_a_slow_first_use_keeps_no_loop_waiting(slow):
    """While boto3 looks for credentials, or SQS for a queue, the event loop goes on, and so do queues that are known."""
    going, gate = threading.Event(), threading.Event()

    class Slow(Scripted):
        def __getattr__(self, operation):
            call = super().__getattr__(operation)

            def held_up(**parameters):
                if operation == "get_queue_url" and parameters["QueueName"] == "slow":
                    going.set()
                    assert gate.wait(60)
                return call(**parameters)

            return held_up

    def make(patience):
        if slow == "client":
            going.set()
            assert gate.wait(60)
        return client

    client = Slow(accepted)
    broker = SqsBroker(Access(settings_for("sqs://"), make, lasting=True), SystemClock(), MemoryBroker(SystemClock()))

    async def scenario():
        known = broker.queue("known", QueueOptions())
        if slow == "queue":
            await known.send(outgoing(b"a"))
        first = asyncio.create_task(broker.queue("slow", QueueOptions()).send(outgoing(b"b")))
        while not going.is_set():
            await asyncio.sleep(0)
        second = asyncio.create_task(known.send(outgoing(b"c")))
        if slow == "queue":
            assert await second == [None]
        for _ in range(50):
            await asyncio.sleep(0)
        assert not first.done()
        gate.set()
        answers = await first, await second
        await broker.aclose()
        return answers

    assert run(scenario()) == ([None], [None])


def test_a_queue_that_has_to_exist_is_not_made(connect, loop):
    """The error names it and says what to do; looking at its size makes nothing either."""

    class Empty(Scripted):
        def __getattr__(self, operation):
            def call(**parameters):
                assert operation == "get_queue_url"
                raise refusal("QueueDoesNotExist")

            return call

    queue = connect(Empty(), url="sqs://?create=no")
    with pytest.raises(BackendError, match="'q' does not exist; make it, or leave create=no and owner out"):
        loop.run_until_complete(queue.reserve(1, 0))
    (answer,) = loop.run_until_complete(queue.send(outgoing(b"a")))
    assert "does not exist" in str(answer)
    assert loop.run_until_complete(queue.size()) == Size()
    assert loop.run_until_complete(queue.dead_letters(5)) == []
    assert loop.run_until_complete(queue.purge()) == 0


def test_a_queue_that_others_make_at_the_same_time_is_theirs(connect, loop):
    """With other attributes than ours it is found, not made again; any other refusal is told."""
    looks = []

    def client(code, found_at):
        class Contested(Scripted):
            def __getattr__(self, operation):
                def call(**parameters):
                    if operation == "get_queue_url":
                        looks.append(1)
                        if len(looks) < found_at:
                            raise refusal("QueueDoesNotExist")
                        return {"QueueUrl": "theirs"}
                    if operation == "create_queue":
                        raise refusal(code)
                    return {"Attributes": {}, "Successful": [{"Id": "0"}]}

                return call

        looks.clear()
        return Contested()

    assert loop.run_until_complete(connect(client("QueueNameExists", 2)).send(outgoing(b"a"))) == [None]
    for code in ("QueueNameExists", "AccessDenied"):
        (answer,) = loop.run_until_complete(connect(client(code, 99)).send(outgoing(b"a")))
        assert code in str(answer)


def test_a_queue_that_was_deleted_is_made_again(connect, loop):
    """Its address is forgotten and looked up anew, within the same call."""
    client = Scripted()
    gone = []

    def answer(operation, parameters):
        if not gone:
            gone.append(1)
            return refusal("AWS.SimpleQueueService.NonExistentQueue")
        return accepted(operation, parameters)

    client.answer = answer
    assert loop.run_until_complete(connect(client).send(outgoing(b"a"))) == [None]
    assert len(client.calls) == 2


def test_who_may_only_send_can_send(connect, loop):
    """Without permission to look at a queue's attributes what every SQS takes is taken, and no more."""

    class Narrow(Scripted):
        def __getattr__(self, operation):
            if operation == "get_queue_attributes":

                def denied(**_):
                    raise refusal("AccessDenied")

                return denied
            return super().__getattr__(operation)

    queue = connect(Narrow(accepted))
    answers = loop.run_until_complete(queue.send(outgoing(b"a", b"x" * 262_144)))
    assert [type(answer) for answer in answers] == [type(None), MessageTooLarge]
    assert answers[1].limit == 262_144


def test_a_redrive_policy_is_told(connect, loop, caplog):
    """Whoever sets one is told that SQS moves messages by itself; it is left as it is."""
    caplog.set_level("INFO")
    policy = '{"maxReceiveCount": 3, "deadLetterTargetArn": "arn:theirs"}'
    client = Scripted(accepted, {"RedrivePolicy": policy})
    loop.run_until_complete(connect(client).send(outgoing(b"a")))
    assert "SQS itself moves a message after 3 deliveries to arn:theirs" in caplog.text
    assert client.of("set_queue_attributes") == []


def test_a_queue_of_another_account_is_found_and_never_made(connect, loop):
    """Its owner is named when it is looked up."""
    asked = []

    class Theirs(Scripted):
        def __getattr__(self, operation):
            def call(**parameters):
                asked.append((operation, parameters))
                raise refusal("QueueDoesNotExist")

            return call

    with pytest.raises(BackendError, match="does not exist"):
        loop.run_until_complete(connect(Theirs(), url="sqs://?owner=42").reserve(1, 0))
    assert asked == [("get_queue_url", {"QueueName": "q", "QueueOwnerAWSAccountId": "42"})]


# -- options


def test_reservations_may_last_as_long_as_sqs_lets_them(connect):
    """Twelve hours are the most, which is said when the queue is made here."""
    connect(Scripted(), reservation_timeout=43200.0)
    with pytest.raises(ConfigError, match="43200 seconds for which SQS lets anybody own a message"):
        connect(Scripted(), reservation_timeout=43201.0)


def test_a_client_has_to_be_one_of_sqs_and_knows_its_account():
    """Something else, and a URL that contradicts the client, are refused."""
    for client in (object(), Scripted):
        with pytest.raises(ConfigError, match=r"is no boto3 client of SQS; give boto3.client\('sqs'\)"):
            taskq.App("sqs://", client=client)
    for option in ("region=x", "endpoint=http://x", "profile=x", "role=x"):
        with pytest.raises(ConfigError, match="the client knows its"):
            taskq.App(f"sqs://?{option}", client=Scripted())


def test_without_boto3_the_error_says_what_to_install(monkeypatch):
    """The extra is named."""
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("boto"):
            raise ModuleNotFoundError("No module named 'boto3'")
        return real(name, *args, **kwargs)

    for module in [name for name in sys.modules if name.startswith("taskq.backends.sqs")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delattr(taskq.backends, "sqs", raising=False)
    with pytest.raises(ConfigError, match=r"sqs:// needs boto3 \(No module named 'boto3'\); install taskq\[sqs\]"):
        taskq.App("sqs://")


# -- errors


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (aws.NoRegionError(), ConfigError, "no AWS region is set for here; give"),
        (aws.NoCredentialsError(), BackendError, "no AWS credentials were found for here: Unable to locate credentials; set"),
        (aws.PartialCredentialsError(provider="env", cred_var="key"), BackendError, "no AWS credentials were found"),
        (aws.ProfileNotFound(profile="p"), ConfigError, r"cannot make a client for here: The config profile \(p\)"),
        (ValueError("Invalid endpoint: x"), ConfigError, "cannot make a client for here: Invalid endpoint: x"),
        (aws.ParamValidationError(report="r"), BackendError, "asked what boto3 does not take"),
        (REFUSED, BackendUnavailable, "here cannot be reached"),
        (OSError(), BackendUnavailable, "here cannot be reached: OSError"),
        (refusal("RequestThrottled"), BackendUnavailable, r"here cannot do this now \(RequestThrottled: because\)"),
        (refusal("Strange", status=503), BackendUnavailable, "here cannot do this now"),
        (refusal("AWS.SimpleQueueService.NonExistentQueue"), BackendUnavailable, "here does not exist"),
        (refusal("InvalidClientTokenId"), BackendError, r"refuses these credentials \(InvalidClientTokenId: because\); check"),
        (refusal("ExpiredToken"), BackendError, "refuses these credentials"),
        (refusal("AccessDeniedException"), BackendError, "does not allow SendMessageBatch to these credentials"),
        (refusal("KMS.DisabledException"), BackendError, r"here refused SendMessageBatch \(DisabledException: because\)"),
        (BackendError("ours"), BackendError, "^ours$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_are_one_sentence_that_says_what_to_do(error, kind, words):
    """What boto3 raises becomes ours, once, at the edge."""
    said = translate(error, "here")
    assert type(said) is kind
    assert re.search(words, str(said)), str(said)


def test_a_missing_region_or_profile_is_told_at_the_first_use(monkeypatch):
    """Making an app reads nothing; the first call says what is missing."""
    set_credentials(monkeypatch)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for url, words in (("sqs://", "no AWS region is set"), ("sqs://?profile=nobody", "The config profile .nobody.")):
        app = taskq.App(url)
        with pytest.raises(ConfigError, match=words):
            run(app.queue("q").size())
        app.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked on POSIX only")
def test_a_forked_child_makes_its_own_clients_and_threads():
    """What another process's threads may hold is not used."""
    app = taskq.App("sqs://", client=Scripted(accepted))
    service = app.broker._service
    service.call("list_queues")
    before = service.lock, service._clients
    service._pid = -1
    after = service.lock, service._clients
    assert before[0] is not after[0]
    assert after[1] == {}
    app.close()
