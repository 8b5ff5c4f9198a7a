"""Routing and sending without a server: what is asked of whom after each answer, and that a send adds once."""

import pytest
from redis import exceptions
from support import FakeClock

from taskq.backends.base import Outgoing
from taskq.backends.redis.connections import Address, Connector, Opener
from taskq.backends.redis.errors import code_of, passing, translate
from taskq.backends.redis.keys import Keys
from taskq.backends.redis.routes import Pause, Routes, Step
from taskq.backends.redis.scripts import SEND, SIZE
from taskq.backends.redis.sending import Lane, sending, trips
from taskq.core.dedup import Claim
from taskq.errors import BackendError, BackendUnavailable, DuplicateMessageError

A, B, C = Address("a", 1), Address("b", 2), Address("c", 3)
OPENER = Opener(lambda _address: None, None)


def follow(steps, *answers):
    """Answer one step after the other; return what was asked, and the result or the error."""
    asked, answers, result = [next(steps)], list(answers), None
    while result is None:
        answer = answers.pop(0)
        try:
            asked.append(steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer))
        except StopIteration as end:
            result = end.value
        except Exception as error:
            result = error
    assert not answers
    return asked, result


def moved(slot, address, kind=exceptions.MovedError):
    return kind(f"{slot} {address.host}:{address.port}")


def routes(nodes=(), service=""):
    return Routes(Connector("x", OPENER, OPENER, nodes, service))


# -- routes


def test_a_single_server_is_asked():
    """Without a cluster every step goes to the one server."""
    asked, result = follow(routes().call(b"k", (b"GET", b"k"), 2.0), b"v")
    assert asked == [Step((b"GET", b"k"), None, 2.0)]
    assert result == b"v"


def test_a_cluster_tells_where_a_key_is_and_is_believed():
    """The first node says where the slot is; the next call goes there at once."""
    cluster = routes((A, B))
    asked, result = follow(cluster.call(b"k", (b"GET",)), moved(7629, C), b"v")
    assert [step.address for step in asked] == [A, C]
    assert result == b"v"
    asked, _ = follow(cluster.call(b"k", (b"GET",)), b"v")
    assert [step.address for step in asked] == [C]


def test_a_slot_on_the_move_is_asked_for_once():
    """ASK sends one command to the new node, which is told so; afterwards the old one is asked again."""
    cluster = routes((A,))
    asked, _ = follow(cluster.call(b"k", (b"GET",)), moved(7629, B, exceptions.AskError), b"v")
    assert [(step.address, step.asking) for step in asked] == [(A, False), (B, True)]
    assert follow(cluster.call(b"k", (b"GET",)), b"v")[0][0].address == A


def test_nodes_that_send_each_other_round_are_left():
    """A cluster in disorder ends in an error, not in an endless walk."""
    asked, result = follow(routes((A, B)).call(b"k", (b"GET",)), *(moved(7629, node) for node in (B, A, B, A, B)))
    assert len(asked) == 5
    assert isinstance(result, exceptions.MovedError)


def test_a_place_is_read_from_the_text_too():
    """What the server says is understood where redis-py does not take it apart, and without a host it means the same one."""
    cluster = routes((A, B))
    asked, _ = follow(cluster.call(b"k", (b"GET",)), exceptions.ResponseError("MOVED 7629 n:7007"), b"v")
    assert asked[1].address == Address("n", 7007)
    asked, _ = follow(cluster.call(b"k", (b"GET",)), exceptions.ResponseError("ASK 7629 :7008"), b"v")
    assert (asked[1].address, asked[1].asking) == (Address("n", 7008), True)


@pytest.mark.parametrize("failure", [ConnectionError("cut"), exceptions.ReadOnlyError("read only")])
def test_a_node_that_fails_is_forgotten(failure):
    """After a failure what that node held is asked of another one, which knows who has it now."""
    cluster = routes((A, B))
    follow(cluster.call(b"k", (b"GET",)), moved(7629, C), b"v")
    assert follow(cluster.call(b"k", (b"GET",)), failure)[1] is failure
    assert follow(cluster.call(b"k", (b"GET",)), b"v")[0][0].address == A
    assert follow(cluster.call(b"k", (b"GET",)), failure)[1] is failure
    assert follow(cluster.call(b"k", (b"GET",)), b"v")[0][0].address == B


def test_sentinels_know_the_primary():
    """The first sentinel that answers says where the primary is; it is asked again after a failure."""
    known = routes((A, B), "main")
    asked, result = follow(known.call(b"k", (b"GET",)), ConnectionError("down"), [b"c", b"3"], b"v")
    assert [(step.address, step.of_sentinel) for step in asked] == [(A, True), (B, True), (C, False)]
    assert result == b"v"
    assert len(follow(known.call(b"k", (b"GET",)), b"v")[0]) == 1
    follow(known.call(b"k", (b"GET",)), exceptions.ReadOnlyError("demoted"))
    assert follow(known.call(b"k", (b"GET",)), [b"a", b"1"], b"v")[0][0].of_sentinel


def test_sentinels_that_know_nothing_are_an_error():
    """Where no sentinel knows the service the error names it."""
    _, result = follow(routes((A, B), "main").call(b"k", (b"GET",)), None, None)
    assert "no sentinel knows a service named 'main'" in str(result)
    _, result = follow(routes((A,), "main").call(b"k", (b"GET",)), OSError("down"))
    assert str(result) == "down"


def test_a_script_that_is_unknown_is_sent():
    """A script goes by its digest; a server that does not know it gets the text, and other refusals are errors."""
    asked, result = follow(routes().run(SIZE, (b"k",), (b"g",)), exceptions.NoScriptError("none"), [1])
    assert [step.words for step in asked] == [(b"EVALSHA", SIZE.sha, 1, b"k", b"g"), (b"EVAL", SIZE.text, 1, b"k", b"g")]
    assert result == [1]
    refused = exceptions.ResponseError("WRONGTYPE no")
    assert follow(routes().run(SIZE, (b"k",), ()), refused)[1] is refused


# -- sending


def send(batch, *answers, lane=None, clock=None, patience=10.0):
    clock = clock or FakeClock()
    return follow(sending(routes(), Keys("q"), lane or Lane(clock), batch, clock, patience), *answers)


ONE = [Outgoing(b"id", b"body")]


def test_a_trip_carries_its_messages():
    """Bodies, delays and lifetimes travel in whole milliseconds, rounded up, and names as keys of the queue."""
    lane = Lane(FakeClock())
    batch = [Outgoing(b"1", b"a", 0.0001), Outgoing(b"2", b"b", 0.1, Claim(b"k", 1.5)), Outgoing(b"3", b"c")]
    asked, result = send(batch, b"", lane=lane)
    words = asked[0].words
    assert words[:3] == (b"EVALSHA", SEND.sha, 4)
    assert words[3:7] == (b"taskq:{q}:stream", b"taskq:{q}:zset", b"taskq:{q}:sender:" + lane.name, b"taskq:{q}:once:k")
    assert words[7:] == (1, 600_000, b"a", 1, b"", b"b", 100, 1500, b"c", b"", b"")
    assert result == [None] * 3


def test_answers_are_told_apart():
    """Each message has its own answer: added, its name taken, or refused."""
    batch = [Outgoing(b"1", b"a"), Outgoing(b"2", b"b", 0.0, Claim(b"k", 1.0)), Outgoing(b"3", b"c")]
    _, (added, duplicate, refused) = send(batch, b"\n=\nWRONGTYPE no")
    assert added is None
    assert isinstance(duplicate, DuplicateMessageError)
    assert "refused the message: WRONGTYPE no" in str(refused)


def test_a_trip_without_an_answer_is_repeated_as_it_was():
    """After a lost answer the very same trip is sent again, with pauses that grow; the next one has the next number."""
    lane = Lane(FakeClock())
    asked, result = send(
        ONE, ConnectionError("cut"), None, exceptions.ReadOnlyError("x"), None, TimeoutError(), None, b"", lane=lane
    )
    steps, pauses = asked[::2], asked[1::2]
    assert len({step.words for step in steps}) == 1
    assert pauses == [Pause(0.02), Pause(0.04), Pause(0.08)]
    assert result == [None]
    assert send(ONE, b"", lane=lane)[0][0].words[6] == 2


def test_patience_ends():
    """After its time the last error is raised; with no patience at all there is one attempt."""
    clock, down = FakeClock(), ConnectionError("down")
    asked, result = send(ONE, down, patience=0.0)
    assert (len(asked), result) == (1, down)
    steps = sending(routes(), Keys("q"), Lane(clock), ONE, clock, 0.05)
    assert isinstance(next(steps), Step)
    assert isinstance(steps.throw(down), Pause)
    clock.time += 0.04
    assert isinstance(next(steps), Step)
    with pytest.raises(ConnectionError, match="down"):
        steps.throw(down)


@pytest.mark.parametrize(
    "error", [exceptions.ResponseError("ERR syntax"), exceptions.AuthenticationError("no"), exceptions.NoPermissionError("no")]
)
def test_a_refusal_is_not_repeated(error):
    """What no other moment will change is raised at once."""
    assert send(ONE, error)[1] is error


def test_batches_are_cut_by_count_and_by_bytes():
    """A trip carries at most 500 messages and about a megabyte, and always at least one."""
    small, large = Outgoing(b"s", b"x"), Outgoing(b"l", bytes(1 << 21))
    assert [len(part) for part in trips([small] * 1100)] == [500, 500, 100]
    assert [len(part) for part in trips([small, large, small, small, large])] == [1, 1, 2, 1]
    assert list(trips([])) == []


# -- errors


@pytest.mark.parametrize(
    ("error", "kind", "again", "says"),
    [
        (exceptions.ConnectionError("refused"), BackendUnavailable, True, "cannot be reached: refused"),
        (TimeoutError(), BackendUnavailable, True, "cannot be reached: TimeoutError"),
        (exceptions.BusyLoadingError("dataset"), BackendUnavailable, True, "cannot be reached"),
        (exceptions.ResponseError("MISCONF disk"), BackendUnavailable, True, "cannot do this now: MISCONF"),
        (exceptions.ResponseError("BUSY a script"), BackendUnavailable, True, "cannot do this now"),
        (exceptions.ResponseError("UNBLOCKED gone"), BackendUnavailable, True, "cannot do this now"),
        (exceptions.ResponseError("ERR Error running script: @user_script:9: -OOM command"), BackendUnavailable, True, "OOM"),
        (exceptions.OutOfMemoryError("command not allowed"), BackendUnavailable, True, "cannot do this now"),
        (exceptions.ClusterDownError("down"), BackendUnavailable, True, "cannot do this now"),
        (exceptions.ResponseError("WRONGTYPE Operation"), BackendError, False, "refused: WRONGTYPE"),
        (exceptions.ResponseError("ERR the busybody asked"), BackendError, False, "refused"),
        (exceptions.AuthenticationError("invalid password"), BackendError, False, "check the user and the password"),
        (exceptions.NoPermissionError("no xadd"), BackendError, False, "refuses this user: no xadd"),
    ],
)
def test_errors_say_what_to_do(error, kind, again, says):
    """What passes is told from what does not, whatever redis-py makes of it, and the text says where and why."""
    told = translate(error, "db:6379")
    assert type(told) is kind
    assert passing(error) is again
    assert str(told).startswith("Redis at db:6379 ")
    assert says in str(told)


def test_codes_are_found_in_classes_and_in_texts():
    """The code of a refusal is known whether redis-py made a class of it or left it in the text."""
    assert code_of(exceptions.NoScriptError("No matching script")) == "NOSCRIPT"
    assert code_of(exceptions.MasterDownError("link")) == "MASTERDOWN"
    assert code_of(exceptions.ResponseError("NOGROUP No such key")) == "NOGROUP"
    assert code_of(exceptions.ResponseError("ERR no such thing")) == ""
    assert code_of(ConnectionError("NOGROUP")) == ""
