"""The parts of the IronMQ backend, each by itself: settings, texts, turns, shared requests, and every answer there may be."""

import asyncio
import gc
import json
import logging
import os
import socket
import traceback

import httpx
import msgspec
import pytest
from backends.ironmq import OPTIONS, URL, Scripted, broker_at, messages, queue_at
from hypothesis import given
from hypothesis import strategies as st
from support import FakeClock, run, until

import taskq
from taskq.backends.ironmq import configured, link, settings_for
from taskq.backends.ironmq.calls import Calls, Draft, Owned
from taskq.backends.ironmq.receipt import Receipt, Turns
from taskq.backends.ironmq.sending import OVERHEAD, Sender
from taskq.backends.ironmq.text import (
    DeadRecord,
    bytes_of,
    counted,
    deliveries_in,
    read,
    read_dead,
    size_in_json,
    text_of,
    write_dead,
)
from taskq.errors import BackendError, BackendUnavailable, ConfigError, MessageTooLarge, ReservationLost, TaskqError
from taskq_testing.ironmq_server import ironmq_server
from taskq_testing.loop import VirtualLoop

# -- where and who


@pytest.mark.parametrize(
    ("url", "base", "token", "where"),
    [
        ("ironmq://p:t@h/", "https://h/3/projects/p", "t", "h"),
        ("ironmq://p:t@h", "https://h/3/projects/p", "t", "h"),
        ("ironmq://p:t@h:8443/", "https://h:8443/3/projects/p", "t", "h:8443"),
        ("ironmq+http://p:t@127.0.0.1:8080/", "http://127.0.0.1:8080/3/projects/p", "t", "127.0.0.1:8080"),
        ("ironmq+http://p:t@h/prefix/", "http://h/prefix/3/projects/p", "t", "h"),
        ("ironmq://a%2Fb:t%40%3A@[::1]:1/", "https://[::1]:1/3/projects/a%2Fb", "t@:", "[::1]:1"),
        ("ironmq://p:t@/", "https://mq-aws-us-east-1-1.iron.io/3/projects/p", "t", "mq-aws-us-east-1-1.iron.io"),
    ],
)
def test_urls_are_read(url, base, token, where):
    """Project, token, host, port and path; TLS unless the scheme says otherwise; the service's own host if none is given."""
    settings = settings_for(url, {})
    assert (settings.url, settings.token, settings.where, settings.request_limit) == (base, token, where, 262_144)
    assert settings_for(url + "?request_limit=65536", {}).request_limit == 65_536


def test_what_the_url_leaves_out_is_found_where_the_official_clients_look():
    """Files and variables, in their order: the later ones win, the product's over the general ones, the URL over all."""
    home = json.dumps({"project_id": "home", "token": "home", "host": "home", "iron_mq": {"token": "mq", "port": 1}})
    here = json.dumps({"host": "here", "protocol": "http"})
    environ = {"IRON_PROJECT_ID": "env", "IRON_HOST": "env", "IRON_MQ_PROJECT_ID": "env-mq"}

    def found(url, environ, files):
        settings = settings_for(url, environ, files)
        return settings.url, settings.token

    assert found("ironmq:///", {}, [home]) == ("https://home:1/3/projects/home", "mq")
    assert found("ironmq:///", environ, [home]) == ("https://env:1/3/projects/env-mq", "mq")
    assert found("ironmq:///", environ, [home, here]) == ("http://here:1/3/projects/env-mq", "mq")
    assert found("ironmq://p:t@/", environ, [home, here]) == ("http://here:1/3/projects/p", "t")
    assert found("ironmq://p:t@h/", environ, [home, here]) == ("https://h/3/projects/p", "t")
    plain = {"IRON_PROJECT_ID": "p", "IRON_TOKEN": "t", "IRON_HOST": "h", "IRON_SCHEME": "http"}
    assert found("ironmq:///", plain, ["", ""]) == ("http://h/3/projects/p", "t")
    assert found("ironmq:///", plain | {"IRON_PORT": "8080"}, []) == ("http://h:8080/3/projects/p", "t")


def test_files_and_variables_are_read_from_this_machine(monkeypatch, tmp_path):
    """The app finds them: in the home folder, in the working directory, in the environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("TOKEN", "PROJECT_ID", "HOST", "PORT"):
        monkeypatch.delenv(f"IRON_{name}", raising=False)
    with pytest.raises(ConfigError, match="no project_id and no token"):
        configured("ironmq:///")
    (tmp_path / ".iron.json").write_text('{"project_id": "p", "token": "a"}')
    (tmp_path / "iron.json").write_text('{"token": "b"}')
    assert configured("ironmq:///").token == "b"
    monkeypatch.setenv("IRON_MQ_HOST", "elsewhere")
    assert configured("ironmq:///").where == "elsewhere"


@pytest.mark.parametrize(
    ("url", "environ", "files", "text"),
    [
        ("ironmq:///", {}, [], "no project_id and no token"),
        ("ironmq://canary-p@h/", {}, [], "no token"),
        ("ironmq://:canary@h/", {}, [], "no project_id"),
        ("ironmq://p:canary@h:port/", {}, [], "cannot be read"),
        ("ironmq://p:canary@[::1/", {}, [], "cannot be read"),
        ("ironmq://p:canary@h/?limit=1", {}, [], "takes request_limit alone"),
        ("ironmq://p:canary@h/?request_limit=1", {}, [], "of 8192 bytes or more"),
        ("ironmq://p:canary@h/?request_limit=x", {}, [], "cannot be read"),
        ("ironmq://p:canary@/", {"IRON_PROTOCOL": "ftp"}, [], "correct IRON_PROTOCOL"),
        ("ironmq://p:canary@/", {"IRON_API_VERSION": "1"}, [], "correct IRON_API_VERSION"),
        ("ironmq://p:canary@/", {"IRON_PORT": "x"}, [], "cannot be read"),
        ("ironmq:///", {}, ["{canary"], "cannot be read"),
        ("ironmq:///", {}, ['["canary"]'], "cannot be read"),
    ],
)
def test_what_cannot_work_is_told_without_its_secrets(url, environ, files, text):
    """One sentence that says what to do, when the app is made."""
    with pytest.raises(ConfigError, match=text) as caught:
        settings_for(url, environ, files)
    assert "canary" not in "".join(traceback.format_exception(caught.value)).partition("settings_for")[2].partition("Error")[2]
    assert "\n" not in str(caught.value)


def test_an_app_refuses_what_it_cannot_use(monkeypatch):
    """A client, a store twice, or httpx that is not installed."""
    with pytest.raises(ConfigError, match="leave out client"):
        taskq.App("ironmq://p:t@h/", client=httpx.AsyncClient())
    with pytest.raises(ConfigError, match="give one of them"):
        taskq.App("ironmq://p:t@h/?store=memory://", store="memory://")
    import sys

    for module in [name for name in sys.modules if name.startswith("taskq.backends.ironmq")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(taskq.backends, "ironmq", None, raising=False)
    monkeypatch.delattr(taskq.backends, "ironmq")
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"install taskq\[ironmq\]"):
        taskq.App("ironmq://p:t@h/")


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"http_proxy": "http://p:1"}, None),
        ({"all_proxy": "http://p:1"}, "http://p:1"),
        ({"all_proxy": "http://p:1", "no_proxy": "other,mq.example"}, None),
        ({"all_proxy": "http://p:1", "no_proxy": "*"}, None),
    ],
)
def test_a_proxy_of_the_environment_is_used(monkeypatch, environ, proxy):
    """As httpx's own client would: for the scheme, or for all, unless the host is named as an exception."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert link.proxy_for(httpx.URL("https://mq.example/3/projects/p")) == proxy


def test_requests_go_through_the_proxy(monkeypatch):
    """A proxy that cannot be reached is what the error is about; the server itself would have been."""
    with ironmq_server() as server:
        with socket.socket() as nobody:  # bound and not listening: whoever connects is refused
            nobody.bind(("127.0.0.1", 0))
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
            with pytest.raises(BackendUnavailable, match="cannot be reached"):
                run(queue_at(server.url, send_timeout=0.0).send(messages(b"a" * 20)))
        monkeypatch.setenv("no_proxy", server.host)
        assert run(queue_at(server.url, send_timeout=0.0).send(messages(b"a" * 20))) == [None]


# -- texts


@given(st.binary(max_size=300), st.integers(0, 20))
def test_every_body_is_a_text_and_comes_back(body, deliveries):
    """Whatever its bytes, whatever count stands behind it, and in a dead letter too."""
    text = counted(text_of(body), deliveries)
    assert read(text) == bytes_of(text) == body
    assert deliveries_in(text) == deliveries
    assert counted(text, 0) == text_of(body)
    assert read_dead(write_dead(DeadRecord(text, "id", "reason"))) == DeadRecord(text, "id", "reason")
    assert size_in_json(text) == len(msgspec.json.encode(text))


@given(st.text(max_size=50))
def test_every_text_of_others_is_read_or_kept(text):
    """What is no message is told apart, and comes back as the same characters."""
    if read(text) is None:
        assert bytes_of(text).decode(errors="surrogatepass") == text
    record = read_dead(text)
    assert record == DeadRecord(text) or text.startswith("{")


def test_a_long_reason_is_cut():
    """A dead letter is little larger than its message, whatever the reason."""
    text = text_of(b"x" * 1000)
    assert len(write_dead(DeadRecord(text, "1" * 19, "é" * 100_000)).encode()) < len(text) + 4096


def test_no_call_deletes_without_a_list():
    """The same call without ids would delete everything."""
    calls = Calls("a/b c")
    assert calls.delete([Owned("1", "r"), Owned("2")]).content == {"ids": [{"id": "1", "reservation_id": "r"}, {"id": "2"}]}
    with pytest.raises(AssertionError):
        calls.delete([])
    assert calls.describe().path == "/queues/a%2Fb%20c"


# -- turns


def receipts(*ids):
    return [Receipt(Owned(each, "r"), "_", 1, 0.0) for each in ids]


def test_turns_are_taken_one_after_another():
    """Whoever comes for a message that somebody works on waits; others do not; nobody waits for ever."""

    async def scenario():
        turns, order = Turns(), []
        a, b, c = receipts("a", "b", "c")

        async def work(name, *mine):
            async with turns.of(mine):
                order.append(f"{name} begins")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                order.append(f"{name} ends")

        await asyncio.gather(work("one", a, b), work("two", b, c), work("three", c), work("four", b, a), work("five"))
        return order

    order = run(scenario())
    for first, second in (("one", "two"), ("one", "four")):
        spans = [(order.index(f"{name} begins"), order.index(f"{name} ends")) for name in (first, second)]
        assert spans[0][1] < spans[1][0] or spans[1][1] < spans[0][0]
    assert order.index("three begins") < order.index("one ends")
    assert len(order) == 10


def test_a_turn_is_given_up_by_whoever_is_cancelled():
    """Waiting or working, it leaves nobody behind; and what failed does so too."""

    async def scenario():
        turns, (a, b) = Turns(), receipts("a", "b")

        async def work(*mine):
            async with turns.of(mine):
                await asyncio.Event().wait()

        working, waiting = asyncio.create_task(work(a)), asyncio.create_task(work(b, a))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        async with turns.of([b]):
            pass
        working.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
        with pytest.raises(KeyError):
            async with turns.of([a, b]):
                raise KeyError
        async with turns.of([a, b]):
            return True

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(scenario())


def test_receipts_show_no_message():
    """A receipt in a log does not tell what the message says."""
    (receipt,) = receipts("17")
    assert repr(receipt) == "<Receipt of 17>"


# -- shared requests


class Post:
    """Stands for the way to the service: keeps what it is given until it is told to go on."""

    def __init__(self):
        self.loads, self.going, self.error = [], asyncio.Event(), None
        self.at_once = self.most = 0

    async def __call__(self, drafts):
        self.loads.append([draft.text for draft in drafts])
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.going.wait()
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        return [BackendError("refused") if draft.text == "bad" else f"id {draft.text}" for draft in drafts]


def test_those_who_wait_share_a_request():
    """Four requests are under way at most; whoever comes meanwhile shares the next, and each is told about its own."""

    async def scenario():
        post = Post()
        sender = Sender(post, 100_000)
        sends = []
        for number in range(6):
            sends.append(asyncio.create_task(sender.send([[Draft(f"{number}a"), Draft(f"{number}b")]])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        post.going.set()
        return await asyncio.gather(*sends), post

    answers, post = run(scenario())
    assert answers == [[f"id {number}a", f"id {number}b"] for number in range(6)]
    assert [len(load) for load in post.loads] == [2, 2, 2, 2, 4]
    assert post.most == 4


def test_requests_have_their_limits():
    """A hundred messages, and so many bytes, with what stands around each text; one that is larger alone goes alone."""

    async def scenario(limit, drafts):
        post = Post()
        post.going.set()
        await Sender(post, limit).send([[Draft(text, 0, size_in_json(text)) for text in drafts]])
        return [len(load) for load in post.loads]

    assert run(scenario(10**6, ["a"] * 250)) == [100, 100, 50]
    one = OVERHEAD + len('"aaaa"')
    assert run(scenario(OVERHEAD + 3 * one, ["aaaa"] * 7)) == [3, 3, 1]
    assert run(scenario(OVERHEAD + 3 * one - 1, ["aaaa"] * 7)) == [2, 2, 2, 1]
    assert run(scenario(200, ["a" * 500, "b", "c" * 500])) == [1, 1, 1]


def test_a_failure_is_told_to_those_it_hit():
    """An error of a request is everybody's whose messages it carried; a refused message is its sender's alone."""

    async def scenario():
        post = Post()
        post.going.set()
        sender = Sender(post, 10**6)
        refused = await asyncio.gather(sender.send([[Draft("a"), Draft("bad")]]), sender.send([[Draft("b")]]))
        post.error = BackendUnavailable("away")
        failed = await asyncio.gather(sender.send([[Draft("a")]]), sender.send([[Draft("b")]]), return_exceptions=True)
        post.error = RuntimeError("a bug")
        broken = await asyncio.gather(sender.send([[Draft("a")]]), return_exceptions=True)
        post.error = None
        return refused, failed, broken, await sender.send([[Draft("c")]])

    refused, failed, broken, after = run(scenario())
    assert [type(each) for answers in refused for each in answers] == [str, BackendError, str]
    assert [str(each) for each in failed] == ["away", "away"]
    assert isinstance(broken[0], RuntimeError)
    assert after == ["id c"]


def test_a_failure_in_the_middle_is_told_entry_by_entry():
    """What another request added is accepted; the messages of the one that failed are not known to be."""

    async def scenario():
        post = Post()
        post.going.set()

        async def failing(drafts):
            if drafts[0].text == "100":
                raise BackendUnavailable("away")
            return await post(drafts)

        return await Sender(failing, 10**6).send([[Draft(str(number)) for number in range(250)]])

    answers = run(scenario())
    assert [index for index, answer in enumerate(answers) if isinstance(answer, BackendUnavailable)] == [*range(100, 200)]
    assert answers[249] == "id 249"


def test_whoever_is_gone_is_left_out():
    """A caller that was cancelled before its request began adds nothing; one whose request is under way does."""

    async def scenario():
        post = Post()
        sender = Sender(post, 10**6)
        busy = [asyncio.create_task(sender.send([[Draft(f"busy {number}")]])) for number in range(4)]
        await until(lambda: len(post.loads) >= 1)
        for _ in range(3):
            await asyncio.sleep(0)
        gone, stays = (asyncio.create_task(sender.send([[Draft(text)]])) for text in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        busy[0].cancel()
        await asyncio.sleep(0)
        post.going.set()
        await asyncio.gather(*busy, gone, return_exceptions=True)
        await stays
        return [text for load in post.loads for text in load]

    texts = run(scenario())
    assert "gone" not in texts
    assert {"busy 0", "stays"} <= set(texts)


def test_what_waits_ends_with_its_loop():
    """A loop that is closed in the middle leaves nobody waiting and no warning."""

    async def scenario():
        post = Post()
        sender = Sender(post, 10**6)
        for number in range(6):
            sends.append(asyncio.create_task(sender.send([[Draft(str(number))]])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    sends = []
    asyncio.run(scenario())
    assert all(send.cancelled() for send in sends)


# -- every answer there may be

REFUSED = [
    (401, "Unauthorized", BackendError, "does not know this token; check the project id and the token"),
    (403, "Forbidden", BackendError, "does not let this token do it"),
    (404, "Not found", BackendError, "has no such project"),
    (405, "Method not allowed", BackendError, "refused"),
]
PASSING = [429, 500, 503]
UNKNOWN = [502, 504]


@pytest.mark.parametrize(("status", "text", "kind", "sentence"), REFUSED)
def test_a_refusal_says_what_to_do(status, text, kind, sentence):
    """It is raised at once, for each call, as one sentence with the service's own words; nothing is tried again."""
    answer = (status, {"msg": text})
    script = Scripted(get_queue=answer, post_messages=answer, post_reservations=answer)
    queue = queue_at(URL, transport=script.transport)
    with pytest.raises(kind, match=sentence) as caught:
        run(queue.send(messages(b"a")))
    assert f"({status} {text})" in str(caught.value)
    assert not isinstance(caught.value, BackendUnavailable)
    with pytest.raises(kind, match=sentence):
        run(queue.reserve(1, 0))
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", PASSING)
def test_what_passes_is_tried_again(status):
    """A service that cannot do it now is asked again until it can, more and more slowly, and adds once."""
    script = Scripted(post_messages=[(status, {"msg": "busy"}), (status, b"<html>busy</html>"), _accepts])
    assert run(queue_at(URL, transport=script.transport, send_timeout=5.0).send(messages(b"a", b"b"))) == [None, None]
    assert len(script["POST messages"]) == 3


def _accepts(request):
    return 201, {"ids": [str(number) for number, _ in enumerate(json.loads(request.content)["messages"])]}


@pytest.mark.parametrize("answer", [*((status, {}) for status in PASSING), httpx.ConnectError("refused")])
def test_patience_has_an_end(answer):
    """After `send_timeout` it is raised that the service is away; nothing was added."""
    script = Scripted(post_messages=answer)
    with pytest.raises(BackendUnavailable, match="IronMQ at ironmq cannot"):
        run(queue_at(URL, transport=script.transport, send_timeout=0.5).send(messages(b"a")))
    assert len(script["POST messages"]) == 3


LOST = [
    *((status, b"gateway") for status in UNKNOWN),
    httpx.ReadTimeout("slow"),
    httpx.ReadError("cut"),
    httpx.WriteError("cut"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    (201, b"<html>"),
    (201, b"[]"),
    (201, {"ids": []}),
    (201, {}),
]


@pytest.mark.parametrize("answer", LOST, ids=str)
def test_a_lost_answer_is_not_sent_again(answer):
    """Whether the message was added is not known: it is raised at once, for a second one could add it twice."""
    script = Scripted(post_messages=answer)
    with pytest.raises(BackendUnavailable):
        run(queue_at(URL, transport=script.transport, send_timeout=5.0).send(messages(b"a")))
    assert len(script["POST messages"]) == 1


def test_an_answer_that_never_comes_is_given_up():
    """After ten seconds, and after a long poll's own time and ten more; in virtual time."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if request.method != "GET":
                await asyncio.Event().wait()
            return httpx.Response(200, json={"queue": {}})

    async def scenario():
        loop = asyncio.get_running_loop()
        clock = FakeClock()
        clock.monotonic = loop.time
        queue = queue_at(URL, transport=Silent(), clock=clock)
        spent = []
        for call in (queue.send(messages(b"a")), queue.reserve(1, 0), queue.reserve(1, 20)):
            began = loop.time()
            with pytest.raises(BackendUnavailable, match="did not answer"):
                await call
            spent.append(loop.time() - began)
        return spent

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(scenario()) == pytest.approx([10, 10, 30])


def test_other_errors_of_a_batch_are_told_entry_by_entry():
    """One request that fails leaves what the others added accepted."""
    script = Scripted(post_messages=[_accepts, httpx.ReadTimeout("slow"), _accepts])
    answers = run(queue_at(URL, transport=script.transport).send(messages(*(b"%d" % number for number in range(250)))))
    failed = [answer for answer in answers if answer is not None]
    assert len(failed) in (50, 100)  # whichever request came second
    assert all(isinstance(answer, BackendUnavailable) for answer in failed)


def test_a_bad_message_among_a_hundred_is_found():
    """A service that refuses a request for one of its messages is asked with less until only that one is refused."""

    def picky(request):
        texts = [message["body"] for message in json.loads(request.content)["messages"]]
        return (400, {"msg": "no"}) if text_of(b"bad") in texts else _accepts(request)

    script = Scripted(post_messages=picky)
    batch = messages(*(b"bad" if number == 37 else b"%d" % number for number in range(100)))
    answers = run(queue_at(URL, transport=script.transport).send(batch))
    assert [index for index, answer in enumerate(answers) if answer is not None] == [37]
    assert len(script["POST messages"]) < 20


@pytest.mark.parametrize(
    "content",
    [{}, {"messages": None}, {"messages": [{}]}, {"messages": [{"id": "1", "body": 7}]}, {"messages": "text"}],
)
def test_a_reserve_that_is_answered_with_nonsense(content):
    """It is an error of the backend, which the consumer survives."""
    queue = queue_at(URL, transport=Scripted(post_reservations=(200, content)).transport)
    with pytest.raises(BackendError, match="something else than messages"):
        run(queue.reserve(1, 0))


def test_ids_may_be_numbers():
    """As in the service's own examples."""
    found = {"id": 123, "body": text_of(b"a" * 20), "reserved_count": 1, "reservation_id": "def456"}
    script = Scripted(post_reservations=(200, {"messages": [found]}))
    queue = queue_at(URL, transport=script.transport)

    async def scenario():
        (reservation,) = await queue.reserve(1, 0)
        return reservation.body, await queue.ack([reservation])

    assert run(scenario()) == (b"a" * 20, [True])
    assert script["DELETE messages"] == [{"ids": [{"id": "123", "reservation_id": "def456"}]}]


RESERVED = (200, {"messages": [{"id": "1", "body": text_of(b"a" * 20), "reserved_count": 1, "reservation_id": "r"}]})


async def reserved(script, **options):
    queue = queue_at(URL, transport=script.transport, **options)
    (reservation,) = await queue.reserve(1, 0)
    return queue, reservation


def test_an_acknowledgement_whose_answer_was_lost_is_repeated():
    """The message is gone then, within its time: it was we who deleted it. Once more, and it is not ours."""
    gone = (404, {"msg": "Message not found"})
    script = Scripted(post_reservations=RESERVED, delete_messages=[httpx.ReadError("cut"), gone])

    async def scenario():
        queue, reservation = await reserved(script)
        with pytest.raises(BackendUnavailable):
            await queue.ack([reservation])
        return await queue.ack([reservation]), await queue.ack([reservation])

    assert run(scenario()) == ([True], [False])


def test_a_message_that_is_gone_without_our_doing_is_not_ours():
    """Nothing of ours was lost on its way: somebody else deleted it."""
    script = Scripted(post_reservations=RESERVED, delete_messages=(404, {"msg": "Message not found"}))

    async def scenario():
        queue, reservation = await reserved(script)
        return await queue.ack([reservation])

    assert run(scenario()) == [False]


def test_an_acknowledgement_that_is_cancelled_is_repeated():
    """A stopping consumer breaks it off; the next try tells that it was done."""

    async def scenario():
        began = asyncio.Event()

        class Slow(httpx.AsyncBaseTransport):
            deletes = 0

            async def handle_async_request(self, request):
                if request.method != "DELETE":
                    return await script.transport.handle_async_request(request)
                self.deletes += 1
                if self.deletes == 1:
                    began.set()
                    await asyncio.Event().wait()
                return httpx.Response(404, json={"msg": "Message not found"})

        script = Scripted(post_reservations=RESERVED)
        queue = queue_at(URL, transport=Slow())
        (reservation,) = await queue.reserve(1, 0)
        task = asyncio.create_task(queue.ack([reservation]))
        await began.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await queue.ack([reservation])

    assert run(scenario()) == [True]


def test_a_copy_is_posted_once_though_deleting_fails():
    """A release that is tried again only deletes what is left to delete."""
    script = Scripted(post_reservations=RESERVED, delete_messages=[(503, {}), httpx.ReadError("cut"), (200, {"msg": "Deleted"})])

    async def scenario():
        queue, reservation = await reserved(script)
        changed = msgspec.structs.replace(reservation, body=b"new")
        for _ in range(2):
            with pytest.raises(BackendUnavailable):
                await queue.release(changed, 5)
        await queue.release(changed, 5)

    run(scenario())
    assert len(script["POST messages"]) == 1
    assert len(script["DELETE messages"]) == 3


def test_a_copy_whose_original_is_lost_is_taken_back():
    """Somebody else has the original by now: the copy is deleted again, and the release is refused."""
    script = Scripted(post_reservations=RESERVED, delete_messages=[(403, {"msg": "Reservation timed out"}), (200, {})])

    async def scenario():
        queue, reservation = await reserved(script)
        with pytest.raises(ReservationLost):
            await queue.release(msgspec.structs.replace(reservation, body=b"new"), 5)

    run(scenario())
    assert script["DELETE messages"] == [{"ids": [{"id": "1", "reservation_id": "r"}]}, {"ids": [{"id": "id0"}]}]


def test_a_copy_that_is_refused_leaves_the_original():
    """A message that cannot be posted with its new body stays reserved, and the error says why."""
    script = Scripted(post_reservations=RESERVED, post_messages=(413, {"msg": "too large"}))

    async def scenario():
        queue, reservation = await reserved(script)
        with pytest.raises(BackendError, match="request_limit"):
            await queue.release(msgspec.structs.replace(reservation, body=b"new"), 5)

    run(scenario())
    assert script["DELETE messages"] == []


def test_a_touch_without_a_new_name_is_an_error():
    """Nobody could say what to acknowledge."""
    script = Scripted(post_reservations=RESERVED, post_touch=(200, {"msg": "Touched"}))

    async def scenario():
        queue, reservation = await reserved(script)
        with pytest.raises(BackendUnavailable, match="what the reservation of message 1 is called now"):
            await queue.extend(reservation, 60)

    run(scenario())


def test_an_extension_goes_on_though_nobody_waits():
    """A handler's own extension is cancelled: its new reservation is learnt all the same, and acknowledged."""

    async def scenario():
        going = asyncio.Event()

        class Slow(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                if request.url.path.endswith("/touch"):
                    await going.wait()
                return await script.transport.handle_async_request(request)

        script = Scripted(post_reservations=RESERVED, post_touch=(200, {"reservation_id": "r2", "msg": "Touched"}))
        queue = queue_at(URL, transport=Slow())
        (reservation,) = await queue.reserve(1, 0)
        task = asyncio.create_task(queue.extend(reservation, 60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        acking = asyncio.create_task(queue.ack([reservation]))
        await asyncio.sleep(0)
        going.set()
        return await acking, script

    answers, script = run(scenario())
    assert answers == [True]
    assert script["DELETE messages"] == [{"ids": [{"id": "1", "reservation_id": "r2"}]}]


def test_a_message_that_cannot_be_counted_again_runs_all_the_same():
    """A service that takes no copy does not keep messages from being handled; they count as delivered twice, at least."""
    again = {"id": "1", "body": text_of(b"a" * 20), "reserved_count": 9, "reservation_id": "r"}
    for answer in ((503, {}), httpx.ReadError("cut"), (413, {"msg": "too large"})):
        script = Scripted(post_reservations=(200, {"messages": [again]}), post_messages=answer)
        (reservation,) = run(queue_at(URL, transport=script.transport).reserve(1, 0))
        assert (reservation.deliveries, reservation.body) == (2, b"a" * 20)


def test_counting_ends_whatever_the_service_counts():
    """A service that says of a new copy too that it was reserved before is believed the second time."""
    again = {"id": "1", "body": text_of(b"a" * 20) + "  ", "reserved_count": 2, "reservation_id": "r"}
    script = Scripted(post_reservations=(200, {"messages": [again]}))
    (reservation,) = run(queue_at(URL, transport=script.transport).reserve(1, 0))
    assert reservation.deliveries == 4
    assert len(script["POST messages"]) == 1


def test_a_message_is_not_found_by_a_reserve():
    """An answer of older versions of the service, which means that there is none."""
    script = Scripted(post_reservations=(404, {"msg": "Message not found"}))
    assert run(queue_at(URL, transport=script.transport).reserve(1, 0)) == []


# -- cancelled reserves


class Late(httpx.AsyncBaseTransport):
    """Answers a reserve when it is told to, and other calls as a script says."""

    def __init__(self, script):
        self.script, self.going, self.asked = script, asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def handle_async_request(self, request):
        if request.url.path.endswith("/reservations"):
            self.asked.set()
            try:
                await self.going.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return await self.script.transport.handle_async_request(request)


def test_messages_on_their_way_to_a_cancelled_reserve_are_given_back():
    """A stopping consumer waits a moment for an answer that may be coming, and releases what it brings."""

    async def scenario():
        script = Scripted(post_reservations=RESERVED, post_release=(200, {"msg": "Released"}))
        late = Late(script)
        task = asyncio.create_task(queue_at(URL, transport=late).reserve(1, 10))
        await late.asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        late.going.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return script["POST release"]

    assert run(scenario()) == [{"reservation_id": "r", "delay": 0}]


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_reserve_ends_soon(times):
    """If nothing comes its connection is closed after a tenth of a second, at once if it is cancelled again."""

    async def scenario():
        loop = asyncio.get_running_loop()
        clock = FakeClock()
        clock.monotonic = loop.time
        late = Late(Scripted())
        task = asyncio.create_task(queue_at(URL, transport=late, clock=clock).reserve(1, 10))
        await late.asked.wait()
        began = loop.time()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        spent = loop.time() - began
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return spent, late.cancelled

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(scenario()) == (pytest.approx(0.1 if times == 1 else 0.0), True)


# -- secrets and leftovers


def test_the_token_is_in_no_text(caplog):
    """Not in what is shown of an app's parts, not in errors with their causes, not in logs at any level."""
    with caplog.at_level(logging.DEBUG):
        script = Scripted(get_queue=(401, {"msg": "Unauthorized"}))
        broker = broker_at("ironmq+http://project:canary-token@ironmq/", transport=script.transport)
        queue = broker.queue("q", OPTIONS)
        with pytest.raises(TaskqError) as caught:
            run(queue.send(messages(b"a")))
        live = taskq.App("ironmq+http://project:canary-token@127.0.0.1:1/")
        with pytest.raises(BackendUnavailable) as away:
            run(live.broker.queue("q", msgspec.structs.replace(OPTIONS, send_timeout=0)).send(messages(b"a")))
    assert script.requests[0][1].headers["Authorization"] == "OAuth canary-token"
    shown = [repr(part) for part in (broker, queue, broker._links, broker._links.settings, live, live.broker)]
    shown += ["".join(traceback.format_exception(each.value)) for each in (caught, away)]
    shown += [record.getMessage() for record in caplog.records]
    assert not any("canary-token" in text.replace("project:canary-token@", "") for text in shown)
    assert any("127.0.0.1:1" in text for text in shown)


def test_nothing_is_left_open():
    """Clients are closed with their loops; no warning of an open socket, a lost task or an unheard error."""
    with ironmq_server() as server:

        async def scenario():
            queue = queue_at(server.url, send_timeout=0.0)
            await queue.send(messages(b"a" * 20))
            waiting = asyncio.create_task(queue.reserve(1, 20))
            await waiting
            lost = asyncio.create_task(queue.extend(waiting.result()[0], 60))
            await asyncio.sleep(0)
            lost.cancel()

        for _ in range(2):
            run(scenario())
    gc.collect()
    assert server.requests


def test_a_message_is_measured_as_it_is_sent():
    """The limit is of the request: the size that is told is of the text in JSON."""
    queue = queue_at(URL + "?request_limit=10000", transport=Scripted().transport)
    (answer,) = run(queue.send(messages(b"x" * 5000)))
    assert isinstance(answer, MessageTooLarge)
    assert (answer.size, answer.limit) == (size_in_json(text_of(b"x" * 5000)), 10_000 - 4096)
