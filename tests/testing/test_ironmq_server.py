"""The IronMQ server's contract: status codes, texts, limits, and what becomes of messages; asked without a socket or a clock."""

import inspect

import pytest
from testing.ironmq import PROJECT, TOKEN, Asking

from taskq_testing.ironmq_server import Options, Service


@pytest.fixture
def ask():
    return Asking()


def error(outcome):
    status, content = outcome
    assert set(content) == {"msg"}
    return status, content["msg"]


# -- who may ask, and for what


def test_a_token_is_needed(ask):
    """The header, or the parameter of the URL, has to hold the token; the version tells itself to anybody."""
    assert error(ask("GET", "/queues", headers={})) == (401, "Unauthorized")
    assert error(ask("GET", "/queues", headers={"authorization": "OAuth wrong"})) == (401, "Unauthorized")
    assert error(ask("GET", "/queues", headers={"authorization": f"Bearer {TOKEN}"})) == (401, "Unauthorized")
    assert ask("GET", f"/queues?oauth={TOKEN}", headers={})[0] == 200
    assert ask("GET", "//version", headers={})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nonsense", 404),
        ("GET", "/queues/q/nonsense", 404),
        ("GET", "/queues//messages", 404),
        ("GET", "//2/projects/p1/queues", 404),
        ("GET", "//3/projects/other/queues", 404),
        ("GET", "//", 404),
        ("POST", "/queues", 405),
        ("PUT", "/queues/q/messages", 405),
        ("GET", "/queues/q/reservations", 405),
        ("DELETE", "/queues/q/messages/1/touch", 405),
    ],
)
def test_unknown_paths_and_methods(ask, method, path, status):
    """What does not exist is not found, and what exists is not done with any method."""
    assert error(ask(method, path)) == (status, "Not found" if status == 404 else "Method not allowed")


def test_a_service_may_have_any_project_and_no_token():
    """Without a token everybody is let in, and without a project each one exists, with queues of its own."""
    ask = Asking()
    ask.service = Service()
    ask.post("a")
    assert ask("GET", "//3/projects/other/queues", headers={}) == (200, {"queues": []})
    assert ask("GET", "/queues", headers={}) == (200, {"queues": [{"name": "q"}]})


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'"text"', b"\xff", b'{"messages": NaN}', b"[" * 100_000])
def test_a_body_has_to_be_a_json_object(ask, raw):
    """Anything else is refused, and a body is not needed where all fields have defaults."""
    assert error(ask("POST", "/queues/q/messages", raw=raw))[0] == 400
    assert ask("PUT", "/queues/q", raw=b"")[0] == 200


# -- queues


def test_a_queue_is_made_with_defaults(ask):
    """It says what it is set to; numbers of messages are told by a get alone."""
    defaults = {"project_id": PROJECT, "name": "q", "message_timeout": 60, "message_expiration": 604_800, "type": "pull"}
    assert ask("PUT", "/queues/q", {}) == (200, {"queue": defaults})
    assert ask("GET", "/queues/q") == (200, {"queue": defaults | {"size": 0, "total_messages": 0}})
    assert ask("PUT", "/queues/new%2Fone%20", {"queue": None})[1]["queue"]["name"] == "new/one "


def test_zero_stands_for_the_default(ask):
    """A client that sends every field, with 0 for those it does not mean, gets the defaults; its own fields are ignored."""
    fields = {"name": "q", "size": 0, "total_messages": 0, "message_timeout": 0, "message_expiration": 0}
    assert ask("PUT", "/queues/q", {"queue": fields})[1]["queue"]["message_timeout"] == 60
    ask.post("a")
    (message,) = ask.reserve(timeout=0, wait=0, delete=False)
    ask.now += 59.9
    assert ask.bodies() == []
    ask.now += 0.1
    assert ask.bodies() == ["a"]
    assert message["reserved_count"] == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"message_timeout": 86_400}, 200),
        ({"message_timeout": 86_401}, 400),
        ({"message_timeout": -1}, 400),
        ({"message_timeout": "60"}, 400),
        ({"message_timeout": 60.5}, 400),
        ({"message_timeout": True}, 400),
        ({"message_expiration": 2_592_000}, 200),
        ({"message_expiration": 2_592_001}, 400),
        ({"type": "pull"}, 200),
        ({"type": "topic"}, 400),
        ({"type": 1}, 400),
        ({"type": "unicast"}, 400),
        ({"push": {}}, 400),
        ({"push": {"subscribers": []}}, 400),
        ({"push": {"subscribers": [{"name": "n"}]}}, 400),
        ({"push": {"subscribers": [{"name": "", "url": "http://h/"}]}}, 400),
        ({"push": {"subscribers": [{"name": "n", "url": "http://h/", "headers": {"a": 1}}]}}, 400),
        ({"type": "pull", "push": {"subscribers": [{"name": "n", "url": "http://h/"}]}}, 400),
        ({"push": {"subscribers": [{"name": "n", "url": "http://h/"}], "retries": 101}}, 400),
        ({"push": {"subscribers": [{"name": "n", "url": "http://h/"}], "retries_delay": 2}}, 400),
        ({"push": {"subscribers": [{"name": "n", "url": "http://h/"}]}, "dead_letter": {"queue_name": "d"}}, 400),
        ({"dead_letter": {"queue_name": ""}}, 400),
        ({"dead_letter": {}}, 400),
        ({"dead_letter": {"queue_name": "d", "max_reservations": 1001}}, 400),
        ({"dead_letter": {"queue_name": "d", "max_reservations": 1000}}, 200),
    ],
)
def test_settings_have_limits(ask, fields, status):
    """What is out of range, of the wrong type, or does not go together is refused, and no queue is made."""
    assert ask("PUT", "/queues/q", {"queue": fields})[0] == status
    assert ask("GET", "/queues/q")[0] == (200 if status == 200 else 404)


def test_a_queue_is_changed_but_not_its_type(ask):
    """A put on an existing queue and a patch change what they name; the type is fixed; a patch makes no queue."""
    ask("PUT", "/queues/q", {"queue": {"message_timeout": 100}})
    ask("PUT", "/queues/q", {"queue": {"message_expiration": 1000}})
    status, content = ask("PATCH", "/queues/q", {"queue": {"message_timeout": 200}})
    assert (status, content["queue"]["message_timeout"], content["queue"]["message_expiration"]) == (200, 200, 1000)
    assert content["queue"]["size"] == 0
    assert error(ask("PATCH", "/queues/q", {"queue": {"type": "unicast"}}))[0] == 403
    assert error(ask("PUT", "/queues/q", {"queue": {"type": "multicast"}}))[0] == 403
    assert error(ask("PATCH", "/queues/other", {})) == (404, "Queue not found")


def test_a_queue_is_deleted_with_its_messages(ask):
    """It is gone at once, and a new one of the same name is empty."""
    ask.post("a")
    assert ask("DELETE", "/queues/q") == (200, {"msg": "Deleted"})
    assert error(ask("DELETE", "/queues/q")) == (404, "Queue not found")
    ask("PUT", "/queues/q")
    assert ask.bodies() == []


def test_queues_are_listed_in_pages(ask):
    """In alphabetical order, behind a name that need not exist, with a prefix, thirty if nothing is said."""
    for name in [f"q{number:03}" for number in range(40)] + ["a", "z"]:
        ask("PUT", f"/queues/{name}")

    def names(query):
        status, content = ask("GET", f"/queues{query}")
        assert status == 200
        return [queue["name"] for queue in content["queues"]]

    assert names("")[:2] == ["a", "q000"]
    assert len(names("")) == 30
    assert names("?per_page=2&previous=q0385") == ["q039", "z"]
    assert names("?prefix=q03&per_page=3") == ["q030", "q031", "q032"]
    assert names("?previous=z") == []
    assert [ask("GET", f"/queues?per_page={text}")[0] for text in ("0", "101", "-1", "x", "100")] == [400] * 4 + [200]


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("GET", "/messages", None),
        ("DELETE", "/messages", {}),
        ("DELETE", "/messages", {"ids": [{"id": "1"}]}),
        ("POST", "/reservations", {}),
        ("GET", "/messages/1", None),
        ("DELETE", "/messages/1", {}),
        ("POST", "/messages/1/touch", {"reservation_id": "r"}),
        ("POST", "/messages/1/release", {"reservation_id": "r"}),
        ("POST", "/subscribers", {"subscribers": [{"name": "n", "url": "http://h/"}]}),
        ("GET", "/messages/1/subscribers", None),
    ],
)
def test_a_missing_queue_is_told(ask, method, path, content):
    """Whatever is asked of a queue that does not exist, but to make it or to post to it."""
    assert error(ask(method, f"/queues/q{path}", content)) == (404, "Queue not found")


# -- posting


def test_posting_makes_the_queue(ask):
    """Messages get ids of nineteen digits in their order; unknown fields are ignored."""
    fields = {"messages": [{"body": "a", "timeout": 5, "expires_in": 1}, {"body": "b"}]}
    status, content = ask("POST", "/queues/q/messages", fields)
    assert (status, content["msg"]) == (201, "Messages put on queue.")
    assert len({*content["ids"]}) == 2
    assert all(isinstance(each, str) and len(each) == 19 and each.isdigit() for each in content["ids"])
    found = ask.reserve(2)
    assert [(message["id"], message["body"]) for message in found] == [*zip(content["ids"], "ab", strict=True)]
    assert ask("GET", "/queues/q")[1]["queue"]["total_messages"] == 2


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messages": []},
        {"messages": {}},
        {"messages": ["a"]},
        {"messages": [{}]},
        {"messages": [{"body": None}]},
        {"messages": [{"body": 1}]},
        {"messages": [{"body": "a"}, {"body": "b", "delay": -1}]},
        {"messages": [{"body": "a", "delay": 604_801}]},
        {"messages": [{"body": "a", "delay": 0.5}]},
        {"messages": [{"body": "a", "push_headers": {"h": ""}}]},
        {"messages": [{"body": "a", "push_headers": {"": "v"}}]},
        {"messages": [{"body": "a", "push_headers": {"h" * 65: "v"}}]},
        {"messages": [{"body": "a", "push_headers": {"h": "v" * 1025}}]},
        {"messages": [{"body": "a", "push_headers": {"user-agent": "v"}}]},
        {"messages": [{"body": "a", "push_headers": {str(n): "v" for n in range(6)}}]},
        {"messages": [{"body": "a", "push_headers": []}]},
    ],
)
def test_all_or_none_is_posted(ask, fields):
    """One message that is wrong lets all be refused, and no queue is made."""
    assert error(ask("POST", "/queues/q/messages", fields))[0] == 400
    assert ask("GET", "/queues/q")[0] == 404


def test_the_largest_request():
    """The limit counts the whole request; one byte more is refused."""
    ask = Asking(maximum_size=100)
    raw = b'{"messages":[{"body":"' + b"a" * 74 + b'"}]}'
    assert len(raw) == 100
    assert ask("POST", "/queues/q/messages", raw=raw)[0] == 201
    assert error(ask("POST", "/queues/q/messages", raw=raw + b" "))[0] == 413


def test_text_comes_back_as_it_was(ask):
    """Any text of JSON is a body, also an empty one."""
    texts = ["", '\u0000\n"\\', "ä€😀", " spaces at the end  "]
    ask.post(*texts)
    assert ask.bodies() == texts


def test_a_webhook_posts_what_was_sent(ask):
    """The raw body is the message, JSON or not; headers with a prefix are push headers, and wrong ones are dropped."""
    headers = {"authorization": f"OAuth {TOKEN}", "x-subscribers-a": "1", "x-subscribers-content-type": "text/html", "b": "2"}
    assert ask("POST", "/queues/q/webhook", raw=b"{no json", headers=headers)[0] == 201
    project = ask.service.projects[PROJECT]
    (message,) = project.queues["q"].messages.by_id.values()
    assert (message.body, message.push_headers) == ("{no json", {"a": "1"})


# -- reserving


def test_messages_are_reserved_in_order(ask):
    """As many as are asked for or are there, one if nothing is said, each with a reservation of its own."""
    ask.post("a", "b", "c")
    (first,) = ask("POST", "/queues/q/reservations")[1]["messages"]
    assert set(first) == {"id", "body", "reserved_count", "reservation_id"}
    rest = ask.reserve(100)
    assert [message["body"] for message in [first, *rest]] == ["a", "b", "c"]
    assert len({message["reservation_id"] for message in [first, *rest]}) == 3
    assert ask.reserve() == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"n": 0}, 400),
        ({"n": 100}, 200),
        ({"n": 101}, 400),
        ({"n": "1"}, 400),
        ({"timeout": 86_400}, 200),
        ({"timeout": 86_401}, 400),
        ({"timeout": -1}, 400),
        ({"timeout": 1}, 200),
        ({"wait": 31}, 400),
        ({"wait": -1}, 400),
        ({"delete": 1}, 400),
        ({"delete": None}, 200),
    ],
)
def test_a_reserve_has_limits(ask, fields, status):
    """What is out of range or of the wrong type is refused, and nothing is reserved."""
    ask.post("a")
    outcome = ask("POST", "/queues/q/reservations", fields)
    assert outcome[0] == status
    assert ask.bodies() == ([] if status == 200 else ["a"])


def test_a_reservation_ends(ask):
    """At its time, not before, the message is there again with one more on its count; the old reservation is void."""
    ask.post("a", "b")
    (first,) = ask.reserve(timeout=30)
    ask.now += 29.999
    assert ask.bodies() == ["b"]
    ask.now += 0.001
    assert error(ask("DELETE", f"/queues/q/messages/{first['id']}", {"reservation_id": first["reservation_id"]})) == (
        403,
        "Reservation timed out",
    )
    (again,) = ask.reserve()
    assert (again["id"], again["reserved_count"]) == (first["id"], 2)
    assert again["reservation_id"] != first["reservation_id"]


def test_what_comes_back_comes_first(ask):
    """Messages whose time is over, and released ones, come before all others, in the order in which they were posted."""
    ask.post("a", "b", "c", "d")
    taken = ask.reserve(3, timeout=30)
    ask("POST", f"/queues/q/messages/{taken[2]['id']}/release", {"reservation_id": taken[2]["reservation_id"]})
    ask.now += 30
    assert ask.bodies() == ["a", "b", "c", "d"]


def test_a_popped_message_is_gone(ask):
    """With `delete` a message is removed by its reserve."""
    ask.post("a", "b")
    assert ask.bodies(1, delete=True) == ["a"]
    assert ask.size() == 1
    ask.now += 86_400
    assert ask.bodies() == ["b"]


def test_a_delay_hides_a_message(ask):
    """Until its time it is not reserved and not peeked at, though it is found by its id and counted."""
    (found,) = ask.post("late", delay=10)
    ask.post("now")
    ask.now += 9.999
    assert (ask.peek(), ask.size(), ask.bodies()) == (["now"], 2, ["now"])
    assert ask("GET", f"/queues/q/messages/{found}")[1]["message"]["body"] == "late"
    ask.now += 0.001
    assert ask.bodies() == ["late"]


def test_a_message_expires(ask):
    """When its time is over it is gone, whatever state it is in."""
    ask("PUT", "/queues/q", {"queue": {"message_expiration": 100}})
    ask.post("ready", "reserved")
    ask.post("late", delay=200)
    assert ask.bodies(1) == ["ready"]
    ask.now += 99.9
    assert ask.size() == 3
    ask.now += 0.1
    assert (ask.size(), ask.bodies()) == (0, [])


# -- long polls


def test_a_poll_ends_with_a_message(ask):
    """It is answered when a message is posted; who came first is served first."""
    ask("PUT", "/queues/q")
    first, second = ask.reserve(wait=30), ask.reserve(wait=30)
    assert ask.settle() == []
    ask.post("a")
    assert [message["body"] for message in first.answer.content["messages"]] == ["a"]
    assert second.answer is None


def test_a_poll_ends_empty(ask):
    """After its time it is answered with no message."""
    ask("PUT", "/queues/q")
    poll = ask.reserve(wait=5)
    assert ask.service.next_change() == ask.now + 5
    ask.now += 4.999
    assert ask.settle() == []
    ask.now += 0.001
    assert ask.settle() == [(200, {"messages": []})]
    assert poll.answer is not None
    assert ask.service.next_change() == float("inf")


def test_a_poll_wakes_for_what_becomes_ready(ask):
    """The end of a delay, of a reservation, and a release: each wakes it at its moment."""
    ask.post("a", delay=3)
    ask.reserve(wait=10)
    assert ask.service.next_change() == ask.now + 3
    ask.now += 3
    (message,) = ask.settle()[0][1]["messages"]
    ask.reserve(wait=30, timeout=20)
    ask("POST", f"/queues/q/messages/{message['id']}/release", {"reservation_id": message["reservation_id"]})
    poll = ask.reserve(wait=30)
    assert ask.service.next_change() == ask.now + 20
    ask.now += 20
    assert len(ask.settle()[0][1]["messages"]) == 1
    assert poll.answer is not None


def test_an_abandoned_poll_takes_nothing(ask):
    """A client that is gone has no message reserved for it."""
    ask("PUT", "/queues/q")
    ask.service.abandon(ask.reserve(wait=30))
    ask.post("a")
    assert ask.bodies() == ["a"]


def test_a_poll_ends_with_its_queue(ask):
    """When the queue is deleted it is told so."""
    ask("PUT", "/queues/q")
    poll = ask.reserve(wait=30)
    ask("DELETE", "/queues/q")
    assert (poll.answer.status, poll.answer.content) == (404, {"msg": "Queue not found"})


# -- owning


def test_a_touch_begins_a_new_reservation(ask):
    """The old id is void, the new time counts from now, and the count goes up by one."""
    ask.post("a")
    (message,) = ask.reserve(timeout=30)
    ask.now += 29
    path = f"/queues/q/messages/{message['id']}"
    status, content = ask("POST", f"{path}/touch", {"reservation_id": message["reservation_id"], "timeout": 10})
    assert (status, content["msg"]) == (200, "Touched")
    assert error(ask("POST", f"{path}/touch", {"reservation_id": message["reservation_id"]}))[0] == 403
    ask.now += 9.9
    assert ask.bodies() == []
    ask.now += 0.1
    (again,) = ask.reserve()
    assert again["reserved_count"] == 3


def test_a_touch_without_a_time_takes_the_queues(ask):
    """It lasts as long as the queue says, whatever the reserve said."""
    ask("PUT", "/queues/q", {"queue": {"message_timeout": 45}})
    ask.post("a")
    (message,) = ask.reserve(timeout=3000)
    ask("POST", f"/queues/q/messages/{message['id']}/touch", {"reservation_id": message["reservation_id"]})
    ask.now += 45
    assert ask.bodies() == ["a"]


def test_a_release_gives_a_message_back(ask):
    """At once, or after a delay; its count stays, and its reservation is void."""
    ask.post("a")
    (message,) = ask.reserve()
    owned = {"reservation_id": message["reservation_id"]}
    path = f"/queues/q/messages/{message['id']}/release"
    assert ask("POST", path, owned | {"delay": 10}) == (200, {"msg": "Released"})
    assert error(ask("POST", path, owned))[0] == 403
    ask.now += 9.9
    assert ask.bodies() == []
    ask.now += 0.1
    (again,) = ask.reserve()
    assert again["reserved_count"] == 2
    assert error(ask("POST", path, {"reservation_id": again["reservation_id"], "delay": 604_801}))[0] == 400


@pytest.mark.parametrize("action", ["touch", "release"])
def test_owning_needs_a_reservation(ask, action):
    """Without one it is refused, with a wrong one it has timed out, and an unknown message is not found."""
    (found,) = ask.post("a")
    path = f"/queues/q/messages/{found}/{action}"
    assert error(ask("POST", path, {})) == (400, "A reservation_id is required")
    assert error(ask("POST", path, {"reservation_id": ""})) == (400, "A reservation_id is required")
    assert error(ask("POST", path, {"reservation_id": "r"})) == (403, "Reservation timed out")
    assert error(ask("POST", path, {"reservation_id": 1}))[0] == 400
    assert error(ask("POST", f"/queues/q/messages/1/{action}", {"reservation_id": "r"})) == (404, "Message not found")


# -- deleting


def test_a_message_is_deleted_by_who_owns_it(ask):
    """A reserved one needs its reservation, an unreserved one needs none, and an empty one is none."""
    free, taken = ask.post("a", "b")[::-1]
    (message,) = ask.reserve()
    path = f"/queues/q/messages/{taken}"
    assert error(ask("DELETE", path, {})) == (400, "A reservation_id is required")
    assert error(ask("DELETE", path, {"reservation_id": ""})) == (400, "A reservation_id is required")
    assert error(ask("DELETE", path, {"reservation_id": "r"})) == (403, "Reservation timed out")
    assert ask("DELETE", path, {"reservation_id": message["reservation_id"]}) == (200, {"msg": "Deleted"})
    assert error(ask("DELETE", path, {"reservation_id": message["reservation_id"]})) == (404, "Message not found")
    assert ask("DELETE", f"/queues/q/messages/{free}", {"reservation_id": ""}) == (200, {"msg": "Deleted"})
    assert ask.size() == 0


def test_many_are_deleted_or_none(ask):
    """One that is refused keeps all others; ids may be numbers, and may be named twice."""
    ids = ask.post("a", "b", "c")
    taken = ask.reserve(2)
    entries = [{"id": each["id"], "reservation_id": each["reservation_id"]} for each in taken]
    assert error(ask("DELETE", "/queues/q/messages", {"ids": [*entries, {"id": "1"}]})) == (404, "Message not found")
    wrong = [entries[0], entries[1] | {"reservation_id": "r"}]
    assert error(ask("DELETE", "/queues/q/messages", {"ids": wrong})) == (403, "Reservation timed out")
    assert error(ask("DELETE", "/queues/q/messages", {"ids": [{"id": ids[0]}]})) == (400, "A reservation_id is required")
    assert ask.size() == 3
    entries += [{"id": int(ids[2])}, entries[0]]
    assert ask("DELETE", "/queues/q/messages", {"ids": entries}) == (200, {"msg": "Deleted"})
    assert ask.size() == 0


@pytest.mark.parametrize("ids", [[], {}, ["1"], [{}], [{"id": None}], [{"id": str(n)} for n in range(101)]])
def test_what_is_deleted_has_to_be_named(ask, ids):
    """An empty list, a wrong one and one of more than a hundred are refused; they clear nothing."""
    ask.post("a")
    assert error(ask("DELETE", "/queues/q/messages", {"ids": ids}))[0] == 400
    assert ask.size() == 1


def test_a_clear_removes_all(ask):
    """Without a list all messages are removed, reserved and delayed ones too."""
    ask.post("a", "b")
    ask.post("late", delay=10)
    (message,) = ask.reserve()
    assert ask("DELETE", "/queues/q/messages", {}) == (200, {"msg": "Cleared"})
    assert ask.size() == 0
    ask.now += 100
    assert ask.bodies() == []
    assert ask("DELETE", f"/queues/q/messages/{message['id']}", {"reservation_id": message["reservation_id"]})[0] == 404
    assert ask("GET", "/queues/q")[1]["queue"]["total_messages"] == 3


# -- looking


def test_a_look_changes_nothing(ask):
    """A peek shows what is ready in order, a get finds any message; neither counts."""
    ids = ask.post("a", "b", "c")
    assert ask.bodies(1) == ["a"]
    assert ask.peek(1) == ["b"]
    assert ask.peek() == ["b", "c"]
    status, content = ask("GET", f"/queues/q/messages/{ids[0]}")
    assert (status, content) == (200, {"message": {"id": ids[0], "body": "a", "reserved_count": 1}})
    assert error(ask("GET", "/queues/q/messages/1")) == (404, "Message not found")
    assert [ask("GET", f"/queues/q/messages?n={n}")[0] for n in ("0", "101", "x", "")] == [400, 400, 400, 200]
    assert [message["reserved_count"] for message in ask.reserve(2)] == [1, 1]


# -- dead letters


def test_a_message_that_was_reserved_too_often_moves(ask):
    """The reserve that would be one too many moves it: same id, body and count; and goes on with the next one."""
    ask("PUT", "/queues/q", {"queue": {"dead_letter": {"queue_name": "dead", "max_reservations": 2}}})
    assert ask("GET", "/queues/q")[1]["queue"]["dead_letter"] == {"queue_name": "dead", "max_reservations": 2}
    ids = ask.post("a", "b")
    for _ in range(2):
        assert ask.bodies(1, timeout=30) == ["a"]
        ask.now += 30
    assert ask.bodies(1) == ["b"]
    (dead,) = ask("GET", "/queues/dead/messages")[1]["messages"]
    assert dead == {"id": ids[0], "body": "a", "reserved_count": 2}
    assert (ask.size(), ask.size("dead")) == (1, 1)


def test_a_dead_letter_has_a_new_life(ask):
    """Its expiry begins anew, by the dead letter queue's own time."""
    ask("PUT", "/queues/dead", {"queue": {"message_expiration": 1000}})
    ask("PUT", "/queues/q", {"queue": {"message_expiration": 100, "dead_letter": {"queue_name": "dead", "max_reservations": 1}}})
    ask.post("a")
    ask.reserve(timeout=1)
    ask.now += 99
    assert ask.bodies() == []
    ask.now += 999
    assert ask.peek(queue="dead") == ["a"]
    ask.now += 1
    assert ask.peek(queue="dead") == []


def test_touches_count_for_dead_letters_when_reserved(ask):
    """A touch goes over the limit without moving anything; the next reserve moves it."""
    ask("PUT", "/queues/q", {"queue": {"dead_letter": {"queue_name": "dead", "max_reservations": 1}}})
    ask.post("a")
    (message,) = ask.reserve()
    touch = {"reservation_id": message["reservation_id"], "timeout": 30}
    assert ask("POST", f"/queues/q/messages/{message['id']}/touch", touch)[0] == 200
    assert (ask.size(), ask.size("dead")) == (1, 0)
    ask.now += 30
    assert (ask.bodies(), ask.peek(queue="dead")) == ([], ["a"])


def test_dead_letters_are_switched_off(ask):
    """An empty name of the queue ends it; without a name the number alone is changed."""
    ask("PUT", "/queues/q", {"queue": {"dead_letter": {"queue_name": "dead"}}})
    content = ask("PATCH", "/queues/q", {"queue": {"dead_letter": {"max_reservations": 3}}})[1]
    assert content["queue"]["dead_letter"] == {"queue_name": "dead", "max_reservations": 3}
    assert "dead_letter" not in ask("PUT", "/queues/q", {"queue": {"dead_letter": {"queue_name": ""}}})[1]["queue"]
    assert ask("GET", "/queues/dead")[0] == 200


def test_a_poll_waits_on_when_all_it_could_get_is_dead(ask):
    """A message that moves does not end it."""
    ask("PUT", "/queues/q", {"queue": {"dead_letter": {"queue_name": "dead", "max_reservations": 1}}})
    ask.post("a")
    ask.reserve(timeout=1)
    poll = ask.reserve(wait=30)
    ask.now += 1
    assert ask.settle() == []
    assert ask.peek(queue="dead") == ["a"]
    ask.post("b")
    assert [message["body"] for message in poll.answer.content["messages"]] == ["b"]


# -- push queues and alerts

SUBSCRIBER = {"name": "one", "url": "http://h/1"}


def test_subscribers_are_added_replaced_and_removed(ask):
    """One with a known name takes its place; at least one has to stay; a pull queue has none."""
    assert ask("PUT", "/queues/q", {"queue": {"push": {"subscribers": [SUBSCRIBER]}}})[1]["queue"]["type"] == "multicast"

    def names():
        push = ask("GET", "/queues/q")[1]["queue"]["push"]
        return [(each["name"], each["url"][-1]) for each in push["subscribers"]]

    more = {"subscribers": [{"name": "two", "url": "http://h/2", "headers": {"a": "b"}}, {"name": "one", "url": "http://h/3"}]}
    assert ask("POST", "/queues/q/subscribers", more) == (200, {"msg": "Updated"})
    assert names() == [("one", "3"), ("two", "2")]
    assert ask("DELETE", "/queues/q/subscribers", {"subscribers": [{"name": "one"}]})[0] == 200
    assert names() == [("two", "2")]
    assert error(ask("DELETE", "/queues/q/subscribers", {"subscribers": [{"name": "two"}]}))[0] == 400
    assert ask("PUT", "/queues/q/subscribers", {"subscribers": [SUBSCRIBER]})[0] == 200
    assert names() == [("one", "1")]
    ask("PUT", "/queues/pull")
    assert error(ask("POST", "/queues/pull/subscribers", {"subscribers": [SUBSCRIBER]}))[0] == 400
    assert error(ask("PATCH", "/queues/pull", {"queue": {"push": {"subscribers": [SUBSCRIBER]}}}))[0] == 400


def test_a_push_queue_is_changed_in_part(ask):
    """What a change does not name stays, subscribers too."""
    ask("PUT", "/queues/q", {"queue": {"type": "unicast", "push": {"subscribers": [SUBSCRIBER], "retries": 7}}})
    push = ask("PATCH", "/queues/q", {"queue": {"push": {"error_queue": "errors"}}})[1]["queue"]["push"]
    assert push == {"subscribers": [SUBSCRIBER], "retries": 7, "retries_delay": 60, "error_queue": "errors"}


def test_messages_of_a_push_queue_wait_for_a_push(ask):
    """They are not reserved, and tell for each subscriber that nothing was tried yet; those of a pull queue tell nothing."""
    ask("PUT", "/queues/q", {"queue": {"push": {"subscribers": [SUBSCRIBER], "retries": 5}}})
    (found,) = ask.post("a")
    assert error(ask("POST", "/queues/q/reservations", {}))[0] == 400
    (status,) = ask("GET", f"/queues/q/messages/{found}/subscribers")[1]["subscribers"]
    assert status.items() >= {**SUBSCRIBER, "tries": 0, "retries_remaining": 5, "status": "queued"}.items()
    assert error(ask("GET", "/queues/q/messages/1/subscribers")) == (404, "Message not found")
    (found,) = ask.post("a", queue="pull")
    assert error(ask("GET", f"/queues/pull/messages/{found}/subscribers"))[0] == 400


def test_alerts_are_kept(ask):
    """They are stored as they are given, and removed; a push queue has none."""
    alert = {"type": "fixed", "trigger": 100, "direction": "asc", "queue": "target", "snooze": 60}
    ask("PUT", "/queues/q")
    assert ask("PATCH", "/queues/q", {"queue": {"alerts": [alert]}})[1]["queue"]["alerts"] == [alert]
    assert ask("DELETE", "/queues/q/alerts", {"alerts": [alert]})[0] == 200
    assert "alerts" not in ask("GET", "/queues/q")[1]["queue"]
    ask("PUT", "/queues/push", {"queue": {"push": {"subscribers": [SUBSCRIBER]}}})
    assert error(ask("PATCH", "/queues/push", {"queue": {"alerts": [alert]}}))[0] == 400


# -- what the sources leave open


@pytest.mark.parametrize(
    ("option", "method", "path", "content", "status"),
    [
        ({"minimum_timeout": 30}, "POST", "/queues/q/reservations", {"timeout": 29}, 400),
        ({"minimum_timeout": 30}, "POST", "/queues/q/reservations", {"timeout": 30}, 200),
        ({"minimum_timeout": 30}, "PUT", "/queues/q", {"queue": {"message_timeout": 29}}, 400),
        ({"clamp_n": True}, "POST", "/queues/q/reservations", {"n": 1000}, 200),
        ({"clamp_n": True}, "POST", "/queues/q/reservations", {"n": 0}, 400),
        ({"missing_field_status": 406}, "POST", "/queues/q/messages", {}, 406),
        ({"missing_field_status": 406}, "POST", "/queues/q/messages", {"messages": [{}]}, 406),
        ({"missing_field_status": 406}, "POST", "/queues/q/messages/1/touch", {}, 406),
        ({"maximum_size": 10, "too_large_status": 400}, "POST", "/queues/q/messages", {"messages": [{"body": "a"}]}, 400),
        ({"maximum_list": 500}, "GET", "/queues?per_page=500", None, 200),
        ({"patch_creates": True}, "PATCH", "/queues/new", {}, 200),
    ],
)
def test_options_about_requests(option, method, path, content, status):
    """Each of these points is decided by its option."""
    ask = Asking(**option)
    ask("PUT", "/queues/q")
    assert ask(method, path, content)[0] == status


def reserved_twice(ask):
    ask.post("a", "b")
    (first,) = ask.reserve(timeout=30)
    ask.now += 30
    return [message["body"] for message in ask.reserve(2)], first


def test_options_about_messages():
    """What comes back may come last, touches and releases may count otherwise, and looks may show more or less."""
    assert reserved_twice(Asking(front=False))[0] == ["b", "a"]

    ask = Asking(touch_counts=False, release_counts=True)
    ask.post("a")
    (message,) = ask.reserve()
    path = f"/queues/q/messages/{message['id']}"
    touched = ask("POST", f"{path}/touch", {"reservation_id": message["reservation_id"]})[1]["reservation_id"]
    ask("POST", f"{path}/release", {"reservation_id": touched})
    assert ask.reserve()[0]["reserved_count"] == 1

    ask = Asking(size_counts_delayed=False, peek_shows_delayed=True, get_finds_delayed=False, get_finds_reserved=False)
    (late,) = ask.post("late", delay=10)
    (taken,) = ask.post("now")
    assert (ask.size(), ask.peek()) == (1, ["now", "late"])
    ask.reserve()
    assert [ask("GET", f"/queues/q/messages/{each}")[0] for each in (late, taken)] == [404, 404]


def test_options_about_deleting():
    """A pop may leave the reservation out, a delete of many may stop half way, a clear may spare what is reserved."""
    ask = Asking(popped_reservation=False, atomic_delete=False, clear_reserved=False)
    ids = ask.post("a", "b", "c", "d")
    assert "reservation_id" not in ask.reserve(delete=True)[0]
    assert ask("DELETE", "/queues/q/messages", {"ids": [{"id": ids[1]}, {"id": "1"}, {"id": ids[2]}]})[0] == 404
    assert ask.peek() == ["c", "d"]
    ask.reserve(timeout=30)
    ask("DELETE", "/queues/q/messages", {})
    assert ask.size() == 1
    ask.now += 30
    assert ask.bodies() == ["c"]


def test_options_about_time():
    """A delay may not count towards the expiry, and a release may be delayed for longer or shorter."""
    ask = Asking(delay_expires=False, maximum_release_delay=10)
    ask("PUT", "/queues/q", {"queue": {"message_expiration": 100}})
    ask.post("late", delay=200)
    ask.now += 200
    (message,) = ask.reserve()
    path = f"/queues/q/messages/{message['id']}/release"
    assert ask("POST", path, {"reservation_id": message["reservation_id"], "delay": 11})[0] == 400


def test_options_about_ids_and_polls():
    """Ids may be numbers; a poll on a deleted queue may be answered otherwise."""
    ask = Asking(ids_are_numbers=True, deleted_queue_status=400)
    (found,) = ask.post("a")
    assert isinstance(found, int)
    assert ask.reserve()[0]["id"] == found
    poll = ask.reserve(wait=30)
    ask("DELETE", "/queues/q")
    assert poll.answer.status == 400


def test_every_option_is_explained_and_marked():
    """The list of open points says for each what it is, with the mark of its source."""
    text = inspect.getdoc(Options)  # from 3.13 on Python itself takes the indentation away
    for name in Options.__dataclass_fields__:
        line = text.partition(f"\n    {name}:")[2].partition("\n    ")
        assert line[0], name
    assert text.count("[A]") + text.count("[!]") + text.count("[D]") == len(Options.__dataclass_fields__)


# -- sameness


def test_the_same_requests_get_the_same_ids():
    """By a seed; another one gives others, and none gives others each time."""

    def ids(seed):
        ask = Asking()
        ask.service = Service(token=TOKEN, project=PROJECT, seed=seed)
        return ask.post("a", "b"), [message["reservation_id"] for message in ask.reserve(2)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert ids(None) != ids(None)
