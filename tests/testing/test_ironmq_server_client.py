"""The official Python client (iron-mq 0.9 with iron-core), unchanged, against the server on a socket."""

import iron_mq
import pytest
import requests

from taskq_testing.ironmq_server import ironmq_server


@pytest.fixture(scope="module")
def server():
    with ironmq_server(manual=True) as server:
        yield server


@pytest.fixture
def client(server):
    return iron_mq.IronMQ(host=server.host, port=server.port, protocol="http", project_id=server.project, token=server.token)


@pytest.fixture
def queue(client, request):
    return client.queue(request.node.name.replace("[", "-").replace("]", ""))


def status_of(call, *arguments, **fields):
    with pytest.raises(requests.HTTPError) as caught:
        call(*arguments, **fields)
    return caught.value.response.status_code


def test_a_message_from_its_post_to_its_end(server, queue):
    """Posted in each form that the client has, reserved, touched, released, reserved again, deleted."""
    posted = queue.post("one", {"body": "two"}, {"body": "three", "delay": 10})
    assert posted["msg"] == "Messages put on queue."
    assert [each["body"] for each in queue.peek(10)["messages"]] == ["one", "two"]
    assert (queue.size(), queue.total_messages()) == (3, 3)
    one, two = queue.reserve(max=10, timeout=60)["messages"]
    assert (one["id"], one["body"], one["reserved_count"]) == (posted["ids"][0], "one", 1)
    touched = queue.touch(one["id"], one["reservation_id"], timeout=120)
    assert touched["msg"] == "Touched"
    assert status_of(queue.delete, one["id"], one["reservation_id"]) == 403
    assert queue.delete(one["id"], touched["reservation_id"]) == {"msg": "Deleted"}
    assert status_of(queue.get_message_by_id, one["id"]) == 404
    assert queue.release(two["id"], two["reservation_id"], delay=5) == {"msg": "Released"}
    assert queue.reserve()["messages"] == []
    server.advance(10)
    again = queue.get(max=10)
    assert [(each["body"], each["reserved_count"]) for each in again["messages"]] == [("two", 2), ("three", 1)]
    assert queue.delete_multiple(messages=again) == {"msg": "Deleted"}
    assert queue.size() == 0


def test_a_reservation_that_ended(server, queue):
    """The message comes back; whoever had it is told 403, and without a reservation 400."""
    queue.post("a")
    (first,) = queue.reserve(timeout=30)["messages"]
    server.advance(30)
    assert status_of(queue.touch, first["id"], first["reservation_id"]) == 403
    assert status_of(queue.release, first["id"], first["reservation_id"]) == 403
    (second,) = queue.reserve()["messages"]
    assert second["reserved_count"] == 2
    assert status_of(queue.delete, first["id"], first["reservation_id"]) == 403
    assert status_of(queue.delete, first["id"]) == 400
    assert queue.get_message_by_id(second["id"])["body"] == "a"


def test_pop_clear_and_unreserved_deletes(queue):
    """A reserve may delete at once, ids alone delete what nobody has reserved, and a clear all of it."""
    ids = queue.post(*"abcde")["ids"]
    assert queue.reserve(delete=True)["messages"][0]["body"] == "a"
    assert queue.delete_multiple(ids=ids[1:3]) == {"msg": "Deleted"}
    assert queue.delete(ids[3]) == {"msg": "Deleted"}
    assert queue.clear() == {"msg": "Cleared"}
    assert queue.size() == 0


def test_queues_come_and_go(client, queue):
    """Made with options, changed, told about, deleted; a queue that is gone is not found."""
    assert client.create_queue(queue.name, {"message_timeout": 120})["message_timeout"] == 120
    assert client.update_queue(queue.name, {"message_expiration": 3600})["message_expiration"] == 3600
    assert queue.update({"message_timeout": 90})["message_timeout"] == 90
    assert queue.info()["name"] == queue.name
    assert client.getQueueDetails(queue.name)["type"] == "pull"
    assert status_of(queue.update, {"type": "unicast"}) == 403
    assert queue.delete_queue() == {"msg": "Deleted"}
    assert status_of(queue.info) == 404
    assert status_of(queue.reserve) == 404


def test_subscribers_and_alerts(client, queue):
    """What the client offers for push queues and alerts is understood."""
    subscriber = {"name": "one", "url": "http://127.0.0.1/one"}
    client.create_queue(queue.name, {"type": "unicast", "push": {"subscribers": [subscriber]}})
    assert queue.add_subscribers({"name": "two", "url": "http://127.0.0.1/two"}) == {"msg": "Updated"}
    assert queue.remove_subscribers("one") == {"msg": "Updated"}
    assert queue.replace_subscribers(subscriber) == {"msg": "Updated"}
    (found,) = queue.post("a")["ids"]
    assert queue.get_message_push_statuses(found)["subscribers"][0]["name"] == "one"
    pull = client.queue(queue.name + "-pull")
    pull.post("a")
    alert = {"type": "fixed", "trigger": 1, "direction": "asc", "queue": "other"}
    assert pull.add_alerts(alert)["alerts"] == [alert]
    assert pull.update_alerts(alert | {"trigger": 2})["alerts"][0]["trigger"] == 2
    assert pull.remove_alerts()["msg"] == "Updated"


def test_a_long_poll(server, queue):
    """It is answered when its time is over, which here is when the clock says so."""
    queue.post("a")
    assert len(queue.reserve(wait=30)["messages"]) == 1
    with requests.Session() as session:  # the client blocks: ask beside it
        answers = []
        import threading

        thread = threading.Thread(target=lambda: answers.append(queue.reserve(wait=20)))
        thread.start()
        while server.look(lambda service: service.next_change()) == float("inf"):
            pass
        server.advance(20)
        thread.join(10)
        session.close()
    assert answers == [{"messages": []}]


def test_a_wrong_token(server):
    """The client is told 401."""
    client = iron_mq.IronMQ(host=server.host, port=server.port, protocol="http", project_id=server.project, token="wrong")
    assert status_of(client.queue("q").post, "a") == 401


def test_the_clients_environment_is_understood(server, monkeypatch, tmp_path):
    """Configured by variables alone, as its documentation says, the client finds the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = {"TOKEN": server.token, "PROJECT_ID": server.project, "HOST": server.host, "PORT": server.port, "PROTOCOL": "http"}
    for name, value in settings.items():
        monkeypatch.setenv(f"IRON_MQ_{name}", str(value))
    assert iron_mq.IronMQ().queue("by-environment").post("a")["ids"]
