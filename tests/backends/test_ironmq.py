"""The IronMQ backend on a server over HTTP: what it promises, how it lies in the service, and that nothing is lost or undone."""

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from backends.ironmq import OPTIONS, broker_at, messages, queue_at
from support import FakeClock, run, until

import taskq
from taskq.backends.base import BlockingSender, Chores, DeadLetters, Size
from taskq.backends.ironmq.text import counted, text_of
from taskq.errors import BackendError, ConfigError, MessageTooLarge, ReservationLost
from taskq.message import Reservation
from taskq.wire import ascii85, envelope
from taskq_testing.ironmq_server import Options, ironmq_server

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "go_v3_public.json").read_text())


@pytest.fixture(scope="module")
def shared():
    with ironmq_server(manual=True) as server:
        yield server


@pytest.fixture
def name(request):
    """The name of a queue that no other test uses."""
    return request.node.name


@pytest.fixture
def server(shared):
    """A server whose time stands still; what was asked before this test is forgotten."""
    shared.requests.clear()
    return shared


@pytest.fixture
def queue(server, name):
    return queue_at(server.url, name)


def asked(server, method, ending):
    """Return what the server was asked: the JSON of each request."""
    found = []
    for request, _ in list(server.requests):
        if request.method == method and request.target.partition("?")[0].endswith(ending):
            found.append(json.loads(request.body or b"null"))
    return found


def held(server, name):
    """Return the texts, states and times of a queue's messages, as they lie in the server."""

    def look(service):
        queue = service.projects["project"].queues[name]
        return [(each.body, each.state) for each in queue.messages.by_id.values()]

    return server.look(look)


def bodies(reservations):
    return [each.body for each in reservations]


# -- adding


def test_messages_lie_as_go_writes_them(queue, server, name):
    """The text of a message is its bytes in ascii85, and `_` for none."""
    assert run(queue.send(messages(b"hello", b""))) == [None, None]
    assert held(server, name) == [("BOu!rDZ", "ready"), ("_", "ready")]
    assert run(queue.reserve(2, 0))[0].body == b"hello"
    assert isinstance(queue, DeadLetters)
    assert not isinstance(queue, Chores)
    assert not isinstance(queue, BlockingSender)
    assert not queue.capabilities.dedup


@pytest.mark.parametrize("vector", VECTORS["messages"][::7], ids=lambda vector: vector["desc"])
def test_golden_messages_travel(server, name, vector):
    """What Go made comes back as the same bytes, and lies there as Go's own ascii85."""
    body = bytes.fromhex(vector["message_hex"])
    queue = queue_at(server.url, "golden")

    async def scenario():
        await queue.send(messages(body))
        (found,) = await queue.reserve(1, 0)
        await queue.ack([found])
        return found.body

    assert run(scenario()) == body
    assert asked(server, "POST", "/messages")[-1] == {"messages": [{"body": ascii85.encode(body)}]}
    assert envelope.decode(body).task == vector["task"]


def test_what_go_wrote_is_read(queue, server, name):
    """Bodies with white space inside, as Go takes them, and messages that Go's own service put back."""
    text = ascii85.encode(envelope.encode(taskq.Message(task="t", id=b"1")))
    post(server, name, text[:5] + "\n " + text[5:])
    assert envelope.decode(run(queue.reserve(1, 0))[0].body).task == "t"


def post(server, name, *texts):
    def add(service):
        service.projects["project"].post(name, [(text, 0, {}) for text in texts], 0.0)

    server.look(add)


def test_a_batch_is_one_request_for_a_hundred(queue, server):
    """Two hundred and fifty messages are three requests, in order."""
    batch = messages(*(b"%03d" % number for number in range(250)))
    assert run(queue.send(batch)) == [None] * 250
    sent = asked(server, "POST", "/messages")
    assert [len(each["messages"]) for each in sent] == [100, 100, 50]
    assert [ascii85.decode(m["body"]) for each in sent for m in each["messages"]] == [outgoing.body for outgoing in batch]


def test_a_request_has_no_more_bytes_than_it_may(server, name):
    """Messages that are large together are split among requests by their bytes as JSON."""
    queue = queue_at(server.url + "?request_limit=20000", name)
    batch = messages(*(bytes([number + 1]) * 4000 for number in range(10)))
    assert run(queue.send(batch)) == [None] * 10
    sizes = [len(request.body) for request, _ in server.requests if request.target.endswith("/messages")]
    assert len(sizes) == 4
    assert max(sizes) <= 20_000
    assert [each[:1] for each in bodies(run(queue.reserve(100, 0)))] == [bytes([number + 1]) for number in range(10)]


def test_one_message_that_is_too_large_fails_alone(server, name):
    """It is refused before the network, by its size as text; the others are sent."""
    queue = queue_at(server.url + "?request_limit=20000", name)
    limit = queue.capabilities.max_message_size
    quotes = ascii85.decode("zz" + '"' * 12_000)  # each is two bytes in JSON
    most = ascii85.decode("A" * (limit // 4 * 5))  # nothing in it takes two bytes in JSON
    answers = run(queue.send(messages(b"a", b"x" * (limit + 1), quotes, most)))
    assert [type(answer) for answer in answers] == [type(None), MessageTooLarge, MessageTooLarge, type(None)]
    assert answers[1].limit == 20_000 - 4096
    assert [len(each["messages"]) for each in asked(server, "POST", "/messages")] == [2]


def test_a_smaller_plan_is_found_out():
    """A service that takes less than it was said to is asked again with less; what is too large for it alone is refused."""
    with ironmq_server(options=Options(maximum_size=65_536)) as server:
        queue = queue_at(server.url)
        big, small = b"x" * 60_000, b"y" * 20_000
        answers = run(queue.send(messages(small, small, small, big, small)))
        assert [answer is None for answer in answers] == [True, True, True, False, True]
        assert "request_limit" in str(answers[3])
        assert run(queue.size()) == Size(ready=4)


def test_calls_at_the_same_time_share_requests(server, name):
    """Three hundred that enqueue at once are a few requests, each told about its own."""
    queue = queue_at(server.url, name)

    async def scenario():
        answers = await asyncio.gather(*(queue.send(messages(b"%d" % number)) for number in range(300)))
        return answers, len(await queue.reserve(100, 0))

    answers, count = run(scenario())
    assert answers == [[None]] * 300
    assert count == 100
    assert [len(each["messages"]) for each in asked(server, "POST", "/messages")] == [100, 100, 100]


def test_a_queue_is_made_on_first_use(server, name):
    """With the reservation's time, and the longest life that messages may have; before the first message or reserve."""
    for use in (lambda queue: queue.send(messages(b"a")), lambda queue: queue.reserve(1, 0)):
        queue = queue_at(server.url, name, reservation_timeout=120.5)
        run(use(queue))
        run(use(queue))
        made = {"queue": {"message_timeout": 121, "message_expiration": 2_592_000}}
        assert asked(server, "PUT", f"/queues/{name}") == [made]
        assert [request.method for request, _ in server.requests][:2] == ["GET", "PUT"]
        server.look(lambda service: service.projects["project"].delete(name, 0.0))
        server.requests.clear()


def test_a_queue_that_exists_stays_as_it_is_set(server, name):
    """It is not changed, and its own time does not count: reserves name theirs."""
    server.look(lambda service: service.projects["project"].set(name, {"message_timeout": 1000}, 0.0, create=True))
    queue = queue_at(server.url, name)
    run(queue.send(messages(b"a")))
    run(queue.reserve(1, 0))
    assert asked(server, "PUT", f"/queues/{name}") == []
    assert asked(server, "POST", "/reservations") == [{"n": 1, "timeout": 60, "wait": 0}]


def test_a_push_queue_is_refused(server, name):
    """Its messages go elsewhere; the text says what to do."""
    push = {"push": {"subscribers": [{"name": "n", "url": "http://h/"}]}}
    server.look(lambda service: service.projects["project"].set(name, push, 0.0, create=True))
    with pytest.raises(BackendError, match="push queue; taskq needs a pull queue"):
        run(queue_at(server.url, name).send(messages(b"a")))


def test_a_queue_that_was_deleted_is_made_again(queue, server, name):
    """A consumer that finds it gone makes it; a message that is sent makes it too."""

    async def scenario():
        await queue.send(messages(b"a"))
        server.look(lambda service: service.projects["project"].delete(name, 0.0))
        first = await queue.reserve(1, 0)
        await queue.reserve(1, 0)
        await queue.send(messages(b"b"))
        return first, bodies(await queue.reserve(1, 0))

    assert run(scenario()) == ([], [b"b"])
    assert len(asked(server, "PUT", f"/queues/{name}")) == 2


@pytest.mark.parametrize(("delay", "seconds"), [(0, None), (0.0001, 1), (0.5, 1), (1, 1), (1.2, 2), (604_800, 604_800)])
def test_a_delay_is_whole_seconds_and_never_less(queue, server, name, delay, seconds):
    """It is rounded up, never to nothing."""
    run(queue.send(messages(b"a", delay=delay)))
    (sent,) = asked(server, "POST", "/messages")[0]["messages"]
    assert sent.get("delay") == seconds
    (state,) = [state for _, state in held(server, name)]
    assert state == ("delayed" if seconds else "ready")


def test_a_delayed_message_is_not_early(queue, server):
    """It is reserved when its time has come, not before."""
    run(queue.send(messages(b"a", delay=9.1)))
    server.advance(9.9)
    assert run(queue.reserve(1, 0)) == []
    server.advance(0.1)
    assert bodies(run(queue.reserve(1, 0))) == [b"a"]


# -- reserving


def test_messages_come_in_order_and_once(queue):
    """Reserved messages come as they were added, no more than asked for, a hundred at most, and not again."""

    async def scenario():
        await queue.send(messages(*(b"%03d" % number for number in range(103))))
        first, rest = await queue.reserve(2, 0), await queue.reserve(500, 0)
        last = await queue.reserve(5, 0)
        assert await queue.reserve(9, 0) == []
        return [bodies(first), len(rest), bodies(last), {each.deliveries for each in rest}]

    assert run(scenario()) == [[b"000", b"001"], 100, [b"102"], {1}]


def test_a_reserve_waits_for_a_message(server, name):
    """A waiting reserve ends with the message that comes."""
    queue = queue_at(server.url, name)

    async def scenario():
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await until(lambda: server.look(lambda service: service.next_change()) < float("inf"))
        await queue.send(messages(b"a"))
        return bodies(await waiting)

    assert run(scenario()) == [b"a"]
    assert asked(server, "POST", "/reservations") == [{"n": 1, "timeout": 60, "wait": 20}]


def test_a_short_wait_is_waited_here(server, name):
    """The service waits for whole seconds; what is less than one is waited for here, in looks."""
    queue = queue_at(server.url, name)
    assert run(queue.reserve(1, 0.3)) == []
    waits = [each["wait"] for each in asked(server, "POST", "/reservations")]
    assert set(waits) == {0}
    assert len(waits) <= 3


def test_reservations_end_by_the_services_time(queue, server):
    """A message that was not extended is there again when its time is over, with one delivery more."""

    async def scenario():
        await queue.send(messages(b"a" * 20))
        (first,) = await queue.reserve(1, 0)
        server.advance(59)
        assert await queue.reserve(1, 0) == []
        server.advance(1)
        (second,) = await queue.reserve(1, 0)
        return first.deliveries, second.deliveries, second.body

    assert run(scenario()) == (1, 2, b"a" * 20)


# -- settling


def test_acknowledgements_are_one_request(queue, server, name):
    """A hundred are deleted at once; a second time they are not ours, and nothing is asked."""

    async def scenario():
        await queue.send(messages(*(b"%d" % number for number in range(100))))
        taken = await queue.reserve(100, 0)
        return await queue.ack(taken), await queue.ack(taken[:2])

    assert run(scenario()) == ([True] * 100, [False, False])
    assert len(asked(server, "DELETE", "/messages")) == 1
    assert held(server, name) == []


@pytest.mark.parametrize("atomic", [True, False])
def test_lost_messages_are_found_out_one_by_one(atomic):
    """Those of a batch that somebody else owns are told apart, whether or not the service deleted the others before."""
    clock = FakeClock()
    with ironmq_server(manual=True, options=Options(atomic_delete=atomic)) as server:
        queue, other = queue_at(server.url, clock=clock), queue_at(server.url)

        async def scenario():
            await queue.send(messages(*(b"%02d" % number * 10 for number in range(20))))
            taken = await queue.reserve(20, 0)
            for reservation in taken[:10]:
                await queue.extend(reservation, 1000)
            clock.time += 60
            server.advance(60)
            stolen = await other.reserve(5, 0)
            return await queue.ack(taken), {each.body for each in stolen}

        answers, stolen = run(scenario())
        assert answers == [True] * 10 + [False] * 10
        assert len(stolen) == 5
        assert len(held(server, "q")) == 10


def test_a_message_that_is_given_back_is_there_again(queue, server, name):
    """With the same body it is the service's own release, with its delay; a second one is not ours."""

    async def scenario():
        await queue.send(messages(b"a"))
        (first,) = await queue.reserve(1, 0)
        await queue.release(first, 2.5)
        with pytest.raises(ReservationLost):
            await queue.release(first, 0)
        server.advance(2.9)
        assert await queue.reserve(1, 0) == []
        server.advance(0.1)
        return bodies(await queue.reserve(1, 0))

    assert run(scenario()) == [b"a"]
    assert [each["delay"] for each in asked(server, "POST", "/release")] == [3]


def test_a_message_with_a_new_body_is_a_copy(queue, server, name):
    """It is posted first and the original deleted then, so that at no moment there is none; its count of deliveries is new."""

    async def scenario():
        await queue.send(messages(b"old" * 10))
        (first,) = await queue.reserve(1, 0)
        await queue.release(msgspec.structs.replace(first, body=b"new"), 5)
        with pytest.raises(ReservationLost):
            await queue.extend(first, 10)
        assert held(server, name) == [(text_of(b"new"), "delayed")]
        server.advance(5)
        return [(each.body, each.deliveries) for each in await queue.reserve(9, 0)]

    assert run(scenario()) == [(b"new", 1)]
    steps = [f"{request.method} {request.target.rpartition('/')[2]}" for request, _ in server.requests]
    assert steps[steps.index("POST reservations") + 1 :][:2] == ["POST messages", "DELETE messages"]


@pytest.mark.parametrize("settle", ["release", "copy", "dead_letter", "extend"])
def test_who_lost_a_message_changes_nothing(server, name, settle):
    """Late calls of an owner whose time is over are refused, and the next owner's message stays as it is."""
    clock = FakeClock()
    queue, other = queue_at(server.url, name, clock=clock), queue_at(server.url, name)
    calls = {
        "release": lambda first: queue.release(first, 0),
        "copy": lambda first: queue.release(msgspec.structs.replace(first, body=b"new"), 0),
        "dead_letter": lambda first: queue.dead_letter(first, "reason"),
        "extend": lambda first: queue.extend(first, 60),
    }

    async def scenario():
        await queue.send(messages(b"a" * 20))
        (first,) = await queue.reserve(1, 0)
        clock.time += 60
        server.advance(60)
        (second,) = await other.reserve(1, 0)
        before = held(server, name)
        with pytest.raises(ReservationLost):
            await calls[settle](first)
        assert (held(server, name), await queue.ack([first])) == (before, [False])
        assert (await queue.size()).dead == 0
        return await other.ack([second])

    assert run(scenario()) == [True]


def test_little_time_left_is_made_more_before_a_copy_is_posted(server, name):
    """A reservation that is about to end is touched first: where that is refused nothing is posted at all."""
    queue = queue_at(server.url, name, reservation_timeout=1)

    async def scenario():
        await queue.send(messages(b"a"))
        (first,) = await queue.reserve(1, 0)
        first.receipt.expires_at = 0.0
        server.requests.clear()
        await queue.release(msgspec.structs.replace(first, body=b"b"), 0)

    run(scenario())
    steps = [request.target.rpartition("/")[2] for request, _ in server.requests]
    assert steps == ["touch", "messages", "messages"]
    assert held(server, name) == [(text_of(b"b"), "ready")]


# -- extending


def test_an_extension_is_a_touch(queue, server):
    """The reservation has another name then, lasts from now on, and is what is acknowledged."""

    async def scenario():
        await queue.send(messages(b"a"))
        (first,) = await queue.reserve(1, 0)
        before = first.receipt.reservation
        server.advance(59)
        longer = await queue.extend(first, 100.5)
        assert longer.receipt.reservation != before
        assert 99 < longer.expires_at - first.expires_at + 60 < 102
        server.advance(100)
        assert await queue.reserve(1, 0) == []
        return await queue.ack([longer])

    assert run(scenario()) == [True]
    assert [each["timeout"] for each in asked(server, "POST", "/touch")] == [101]


def test_calls_about_one_message_take_turns(queue):
    """Extensions at the same time all succeed; beside an acknowledgement or a release they make nothing void."""

    async def scenario():
        await queue.send(messages(b"a", b"b", b"c"))
        first, second, third = await queue.reserve(3, 0)
        await asyncio.gather(*(queue.extend(each, 60) for each in (first, second, third) for _ in range(4)))
        extensions = [queue.extend(each, 60) for each in (first, second, third) for _ in range(4)]
        settled = [queue.ack([first, second]), queue.release(third, 0)]
        results = await asyncio.gather(*extensions[:6], *settled, *extensions[6:], return_exceptions=True)
        return results[6:8], {type(each) for each in results[:6]}, (await queue.size()).ready

    settled, kinds, left = run(scenario())
    assert (settled, left) == ([[True, True], None], 1)
    assert kinds <= {Reservation, ReservationLost}


def test_two_threads_extend_one_message(queue):
    """The consumer's loop and the thread behind it do so at once; both succeed."""

    async def scenario():
        await queue.send(messages(b"a"))
        (first,) = await queue.reserve(1, 0)
        there = [asyncio.to_thread(lambda: asyncio.run(queue.extend(first, 60))) for _ in range(3)]
        here = [queue.extend(first, 60) for _ in range(3)]
        await asyncio.gather(*there, *here)
        return await queue.ack([first])

    assert run(scenario()) == [True]


# -- counting deliveries


def test_extensions_are_not_deliveries(queue, server):
    """The service counts both alike; a long job whose worker died does not look like one that killed its workers."""

    async def scenario():
        await queue.send(messages(b"a" * 20))
        counts = []
        for _ in range(4):
            (found,) = await queue.reserve(1, 0)
            counts.append((found.deliveries, found.body))
            for _ in range(5):
                found = await queue.extend(found, 60)
            server.advance(60)
        return counts

    assert run(scenario()) == [(number, b"a" * 20) for number in (1, 2, 3, 4)]


def test_a_message_that_comes_back_is_written_anew(queue, server, name):
    """Its count stands behind its text as spaces, which Go skips; the copy is posted before the original goes."""

    async def scenario():
        await queue.send(messages(b"a" * 20, b"b" * 20))
        await queue.reserve(1, 0)
        server.advance(60)
        server.requests.clear()
        taken = await queue.reserve(9, 0)
        between = held(server, name)
        taken += await queue.reserve(9, 0)
        return between, [(each.body[:1], each.deliveries) for each in taken]

    between, found = run(scenario())
    assert found == [(b"b", 1), (b"a", 2)]
    assert (counted(text_of(b"a" * 20), 1), "ready") in between
    steps = [f"{request.method} {request.target.rpartition('/')[2]}" for request, _ in server.requests]
    assert steps == ["POST reservations", "POST messages", "DELETE messages", "POST reservations"]


def test_a_message_that_is_back_alone_comes_at_once(queue, server):
    """Nobody waits for it: it is reserved again within the same call, and the service is told nothing twice."""

    async def scenario():
        await queue.send(messages(b"a" * 20))
        await queue.reserve(1, 0)
        server.advance(60)
        return [each.deliveries for each in await queue.reserve(9, 0)]

    assert run(scenario()) == [2]


def test_giving_back_often_is_no_poison(queue, server, name):
    """A message that consumers give back again and again as they stop has its count reset before it means something."""

    async def scenario():
        await queue.send(messages(b"a" * 20))
        highest = 0
        for _ in range(24):
            (found,) = await queue.reserve(1, 0)
            highest = max(highest, found.deliveries)
            await queue.release(found, 0)
        return highest, (await queue.size()).ready

    highest, ready = run(scenario())
    assert 2 < highest <= OPTIONS.poison_limit
    assert ready == 1


# -- looking after


def test_sizes(queue, server):
    """The service tells no states apart: ready, delayed and reserved messages count together, dead ones by themselves."""

    async def scenario():
        assert await queue.size() == Size()
        await queue.send([*messages(b"a", b"b"), *messages(b"c", delay=10)])
        (first,) = await queue.reserve(1, 0)
        await queue.dead_letter(first, "because")
        await queue.reserve(1, 0)
        return await queue.size()

    assert run(scenario()) == Size(ready=2, dead=1)


def test_a_purge_drops_all_but_dead_letters(queue, server):
    """Reserved ones too, which the service does not spare; and it is a call without a list, never one with an empty list."""

    async def scenario():
        assert await queue.purge() == 0
        await queue.send([*messages(b"a", b"b"), *messages(b"c", delay=10)])
        first, _ = await queue.reserve(2, 0)
        await queue.dead_letter(first, "because")
        count = await queue.purge()
        return count, await queue.size(), await queue.ack([]), await queue.discard([]), await queue.redrive([])

    assert run(scenario()) == (2, Size(dead=1), [], 0, 0)
    assert asked(server, "DELETE", "/messages").count({}) == 1


def test_dead_letters_are_intact(queue, server, name):
    """Body, id and reason are told; the oldest first, no more than asked for, and a hundred at most."""

    async def scenario():
        assert await queue.dead_letters(5) == []
        await queue.send(messages(*(b"%03d" % number for number in range(110))))
        taken = [*await queue.reserve(100, 0), *await queue.reserve(100, 0)]
        for start in range(0, 110, 16):
            await asyncio.gather(*(queue.dead_letter(each, "reason\n" + '"ä"' * 500) for each in taken[start : start + 16]))
        return await queue.dead_letters(3), len(await queue.dead_letters(1000)), await queue.dead_letters(0)

    letters, count, none = run(scenario())
    assert {letter.reason for letter in letters} == {("reason\n" + '"ä"' * 500)[:1000]}
    assert {len(letter.body) for letter in letters} == {3}
    assert len({letter.id for letter in letters}) == 3
    assert (count, none) == (100, [])
    assert len(held(server, f"{name}-dead")) == 110


def test_dead_letters_are_put_back_and_discarded(queue, server, name):
    """With the body that they are given, or as they were; each once, whoever asks again."""

    async def scenario():
        await queue.send(messages(b"a" * 20, b"b", b"c"))
        for each in await queue.reserve(3, 0):
            await queue.dead_letter(each, "reason")
        first, second, third = sorted(await queue.dead_letters(9), key=lambda letter: letter.body)
        changed = msgspec.structs.replace(second, body=b"changed")
        counts = [await queue.redrive([first, changed]), await queue.redrive([first]), await queue.discard([first, third])]
        return counts, sorted(bodies(await queue.reserve(9, 0))), await queue.size()

    assert run(scenario()) == ([2, 0, 1], [b"a" * 20, b"changed"], Size(ready=2))


@pytest.mark.parametrize("text", ["", " ", "~~", "é", "not ascii85 at all \u0000 ~", '{"json": true}'])
def test_a_text_that_is_no_message_becomes_a_dead_letter_as_it_is(server, name, text):
    """A body that cannot be read goes to the dead letters and back as the same text."""
    app = taskq.App(server.url)
    queue = app.queue(name)

    async def scenario():
        async with app:
            post(server, name, text)
            await app.consumer(queue).process_all()
            (letter,) = await queue.dead_letters()
            assert "cannot be read" in letter.reason
            await queue.redrive([letter])
        return held(server, name)

    assert run(scenario()) == [(text, "ready")]


def test_entries_of_others_among_the_dead_letters(queue, server, name):
    """What we have not written there is shown as it is, without a reason."""
    post(server, f"{name}-dead", text_of(b"body"), "a line\nand ~another")
    letters = run(queue.dead_letters(9))
    assert [(letter.body, letter.reason) for letter in letters] == [(b"body", ""), (b"a line\nand ~another", "")]


# -- the whole


def test_an_app_from_end_to_end(server, name):
    """Enqueued from sync and async code, delayed, retried, given up; acknowledged ones are gone."""
    app = taskq.App(server.url, hooks=())
    queue = app.queue(name)
    seen = []

    @queue.task(max_attempts=2, min_backoff=5)
    async def work(number):
        seen.append(number)
        if number == 3:
            raise ValueError(number)

    work.enqueue(1)
    assert all(result.accepted for result in queue.enqueue_many(work.message(number) for number in (2, 3)))
    queue.enqueue(work.message(4).delayed(60))

    async def scenario():
        async with app:
            await work.enqueue_async(5)
            await app.consumer(queue).process_all()
            first = sorted(seen)
            server.advance(5)
            await app.consumer(queue).process_all()
            server.advance(55)
            await app.consumer(queue).process_all()
            (letter,) = await queue.dead_letters()
            return first, sorted(seen), letter.reason, await queue.size()

    first, last, reason, size = run(scenario())
    assert (first, last, size) == ([1, 2, 3, 5], [1, 2, 3, 3, 4, 5], Size(dead=1))
    assert "ValueError: 3" in reason


def test_a_delay_of_weeks_is_kept(server, name):
    """Longer than the service keeps one: in steps of seven days, never early."""
    app = taskq.App(server.url, hooks=())
    queue = app.queue(name)
    seen = []

    @queue.task
    async def work():
        seen.append(1)

    queue.enqueue(work.message().delayed(17 * 86_400))

    async def scenario():
        async with app:
            counts = []
            for days in (7, 7, 2.99, 0.01):
                server.advance(days * 86_400)
                await app.consumer(queue).process_all()
                counts.append(len(seen))
            return counts

    assert run(scenario()) == [0, 0, 0, 1]


def test_names_rates_and_locks_are_kept_beside_the_service(server, name, caplog):
    """In this process if nothing is said, with one warning; a name is freed if its message is refused."""
    app = taskq.App(server.url, hooks=())
    queue = app.queue(name, rate_limit=taskq.RateLimit(1000), worker_limit=1, max_message_size=200)
    running = []

    @queue.task
    async def work(text):
        running.append(text)

    assert [queue.enqueue(work.message("a").named("n")).duplicate for _ in range(3)] == [False, True, True]
    with pytest.raises(BackendError):
        queue.enqueue(work.message("b" * 500).named("m"))
    assert not queue.enqueue(work.message("c").named("m")).duplicate
    run(app.consumer(queue).process_all())
    run(app.aclose())
    assert sorted(running) == ["a", "c"]
    assert sum("keeps no names" in record.getMessage() for record in caplog.records) == 1


def test_names_are_shared_through_redis(server, name, own_server):
    """Two apps with one store see each other's names, rates and locks; the URL may name it as well."""
    from urllib.parse import quote

    apps = [
        taskq.App(server.url, store=own_server.url),
        taskq.App(f"{server.url}?store={quote(own_server.url, safe='')}"),
    ]
    queues = [app.queue(name) for app in apps]
    for queue in queues:
        queue.task(lambda: None, name="t")
    answers = [queue.enqueue(queue.message("t").named("n")).duplicate for queue in queues]

    async def scenario():
        taken = [
            await app.broker.locks.acquire("lock", app.url if hasattr(app, "url") else str(i), 9) for i, app in enumerate(apps)
        ]
        grants = [(await app.broker.limiter.take(f"rate:{name}", taskq.RateLimit(1), 1)).allowed for app in apps]
        for app in apps:
            await app.aclose()
        return taken, grants

    assert answers == [False, True]
    assert run(scenario()) == ([True, False], [1, 0])


def test_loops_and_threads_share_one_app(server, name):
    """Each event loop has a client of its own, closed with it; sync code in many threads enqueues through one."""
    app = taskq.App(server.url, hooks=())
    queue = app.queue(name)
    done = []

    @queue.task
    def work(number):
        done.append(number)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(work.enqueue, range(50)))
    for _ in range(3):
        run(work.enqueue_async(100))
    assert run(app.consumer(queue).process_all()) == 53
    app.close()
    assert sorted(done) == [*range(50), 100, 100, 100]


def test_closing_waits_for_what_is_under_way(server, name):
    """A release whose caller was cancelled is carried to its end before the app is gone."""
    broker = broker_at(server.url)
    queue = broker.queue(name, OPTIONS)

    async def scenario():
        await queue.send(messages(b"a" * 20))
        (first,) = await queue.reserve(1, 0)
        task = asyncio.create_task(queue.release(msgspec.structs.replace(first, body=b"b" * 20), 0))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await queue.aclose()
        await broker.aclose()
        return first

    run(scenario())
    assert held(server, name) == [(text_of(b"b" * 20), "ready")]


def test_a_release_that_nobody_waited_for_can_be_asked_again(server, name):
    """It is done once: whoever was cancelled meanwhile may repeat it and is told that it is done; then it is not ours."""
    queue = queue_at(server.url, name)

    async def scenario():
        await queue.send(messages(b"a" * 20))
        (first,) = await queue.reserve(1, 0)
        changed = msgspec.structs.replace(first, body=b"b" * 20)
        task = asyncio.create_task(queue.release(changed, 0))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await queue.release(changed, 0)
        with pytest.raises(ReservationLost):
            await queue.release(changed, 0)

    run(scenario())
    assert held(server, name) == [(text_of(b"b" * 20), "ready")]


def test_a_reservation_can_be_too_long(server):
    """A day is the most that the service keeps."""
    with pytest.raises(ConfigError, match="reservation_timeout=86401 is too long for IronMQ"):
        taskq.App(server.url).queue("q", reservation_timeout=86_401)


@pytest.mark.slow
def test_the_demo_runs(capsys):
    """Every feature of the queue over real files, on this backend, with nothing left."""
    from taskq.cli import main

    with ironmq_server() as server:
        assert main(["demo", "--backend", server.url, "--limit", "12", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["left"], report["fallbacks"], report["duplicates"]) == (12, 0, 2, 12)
