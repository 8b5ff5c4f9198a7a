"""The IronMQ server on a socket, as a program, and without a socket under a virtual loop."""

import asyncio
import http.client
import json
import signal
import socket
import threading

import httpx
import pytest

from taskq_testing.ironmq_server import IronMQTransport, ManualClock, Options, Request, Service, ironmq_server
from taskq_testing.ironmq_server.__main__ import main
from taskq_testing.ironmq_server.driver import Driver
from taskq_testing.ironmq_server.http import Connection
from taskq_testing.loop import VirtualLoop
from taskq_testing.services.processes import Processes

HEADERS = {"Authorization": "OAuth token"}


@pytest.fixture(scope="module")
def server():
    with ironmq_server() as server:
        yield server


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.base_url, headers=HEADERS) as client:
        yield client


def waiting(server):
    return server.look(lambda service: service.next_change()) < float("inf")


def until(condition):
    deadline = threading.Event()
    for _ in range(5000):
        if condition():
            return
        deadline.wait(0.002)
    raise AssertionError("it did not come to it in 10 s")


# -- HTTP


def test_answers_are_json_with_a_type(client):
    """Every answer says that it is JSON, errors too, for a client fails without."""
    for response in (client.get("/queues"), client.get("/nonsense"), client.get("/queues", headers={"Authorization": ""})):
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert isinstance(response.json(), dict)


def test_one_connection_serves_many_requests(server):
    """It stays open, whatever is answered, until the client closes it or asks for its end."""
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.connect()
    before = connection.sock
    for path in ("/version", "/nonsense", "/3/projects/project/queues"):
        connection.request("GET", path, headers=HEADERS)
        connection.getresponse().read()
        assert connection.sock is before
    connection.request("GET", "/version", headers={"Connection": "close"})
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection")) == (200, "close")
    connection.close()


def test_bodies_may_come_in_chunks_and_late(server):
    """A chunked body, and one that waits for `100 Continue`, are read to their ends."""
    connection = http.client.HTTPConnection(server.host, server.port)
    chunks = [b'{"messages": [{"bo', b'dy": "a"}]}']
    connection.request("POST", "/3/projects/project/queues/chunks/messages", iter(chunks), HEADERS, encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    with socket.create_connection((server.host, server.port)) as raw:
        head = "POST /3/projects/project/queues/chunks/messages HTTP/1.1\r\nHost: h\r\nAuthorization: OAuth token\r\n"
        raw.sendall(f"{head}Content-Length: 29\r\nExpect: 100-continue\r\n\r\n".encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b'{"messages": [{"body": "b"}]}')
        assert raw.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_requests_may_be_pipelined_behind_a_long_poll(server, client):
    """A request that comes while one waits is answered after it."""
    client.put("/queues/pipe", json={})
    with socket.create_connection((server.host, server.port)) as raw:
        head = "HTTP/1.1\r\nHost: h\r\nAuthorization: OAuth token\r\n"
        body = '{"wait": 30}'
        poll = f"POST /3/projects/project/queues/pipe/reservations {head}Content-Length: {len(body)}\r\n\r\n{body}"
        raw.sendall(poll.encode())
        until(lambda: waiting(server))
        raw.sendall(f"GET /version {head}\r\n".encode())
        client.post("/queues/pipe/messages", json={"messages": [{"body": "found"}]})
        received = b""
        while b"version" not in received:
            received += raw.recv(10_000)
    assert received.index(b"found") < received.index(b"version")


class Written:
    """Stands for a connection's writer, and keeps what is written."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    async def drain(self):
        """Do nothing."""

    def close(self):
        """Do nothing."""


def test_a_request_that_comes_in_the_moment_of_an_answer_is_not_lost():
    """The poll before it is answered in the very step in which it arrives; both are answered."""

    async def scenario():
        reader, writer, driver = asyncio.StreamReader(), Written(), Driver(Service())
        asyncio.get_running_loop().call_later(1, reader.feed_eof)
        connection = asyncio.create_task(Connection(driver, reader, writer).run())
        await driver.request(Request(method="PUT", target="/3/projects/p/queues/q"))
        reader.feed_data(b'POST /3/projects/p/queues/q/reservations HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{"wait":9}')
        await asyncio.sleep(0.1)
        reader.feed_data(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
        await driver.request(
            Request(method="POST", target="/3/projects/p/queues/q/messages", body=b'{"messages":[{"body":"found"}]}')
        )
        await connection
        return writer.data

    data, _ = virtually(scenario())
    assert data.index(b"found") < data.index(b"version")


def test_what_is_no_http_is_refused(server):
    """It is answered with 400, and the connection ends."""
    with socket.create_connection((server.host, server.port)) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        received = b""
        while data := raw.recv(1000):
            received += data
    assert received.startswith(b"HTTP/1.1 400 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"msg": "this is not HTTP/1.1"}


def test_a_connection_that_ends_in_the_middle(server, client):
    """Half a request is none, and the server goes on."""
    with socket.create_connection((server.host, server.port)) as raw:
        raw.sendall(b"POST /3/projects/project/queues/half/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
    assert client.get("/queues/half").status_code == 404


def test_a_long_poll_waits_in_real_time(client):
    """It ends with the message that is posted meanwhile, and empty after its time."""
    client.put("/queues/poll", json={})
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.post("/queues/poll/reservations", json={"wait": 20}).json()))
    thread.start()
    client.post("/queues/poll/messages", json={"messages": [{"body": "a"}]})
    thread.join(60)
    assert [message["body"] for message in answers[0]["messages"]] == ["a"]
    assert client.post("/queues/poll/reservations", json={"wait": 1}).json() == {"messages": []}


def test_a_client_that_leaves_gets_nothing_reserved(server, client):
    """Its poll is forgotten as soon as its connection ends."""
    client.put("/queues/left", json={})
    raw = socket.create_connection((server.host, server.port))
    body = '{"wait": 30}'
    head = f"HTTP/1.1\r\nHost: h\r\nAuthorization: OAuth token\r\nContent-Length: {len(body)}\r\n\r\n"
    raw.sendall(f"POST /3/projects/project/queues/left/reservations {head}{body}".encode())
    until(lambda: waiting(server))
    raw.close()
    until(lambda: not waiting(server))
    client.post("/queues/left/messages", json={"messages": [{"body": "a"}]})
    assert len(client.post("/queues/left/reservations", json={}).json()["messages"]) == 1


def test_the_server_tells_what_it_was_asked(server, client):
    """For tests: each request with its answer, in order."""
    client.get("/queues/told")
    request, answer = server.requests[-1]
    assert (request.method, request.target, answer.status) == ("GET", "/3/projects/project/queues/told", 404)
    assert request.headers["authorization"] == "OAuth token"


def test_servers_end_with_their_block():
    """Nobody listens any more, no thread is left, and who waits is cut off."""
    before = set(threading.enumerate())
    with ironmq_server(token="t", project="a b", options=Options(clamp_n=True)) as server:
        assert server.url == f"ironmq+http://a%20b:t@127.0.0.1:{server.port}/"
        headers = {"Authorization": "OAuth t"}
        httpx.put(f"{server.base_url}/queues/q", headers=headers, json={})
        raw = socket.create_connection((server.host, server.port))
        body = '{"wait": 30}'
        head = f"HTTP/1.1\r\nHost: h\r\nAuthorization: OAuth t\r\nContent-Length: {len(body)}\r\n\r\n"
        raw.sendall(f"POST /3/projects/a%20b/queues/q/reservations {head}{body}".encode())
        until(lambda: waiting(server))
    assert raw.recv(1000) == b""
    raw.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))


# -- a manual clock


def test_a_manual_clock_moves_when_it_is_told():
    """Reservations and polls end at their own moments, in order, however far the clock is moved at once."""
    with ironmq_server(manual=True) as server, httpx.Client(base_url=server.base_url, headers=HEADERS) as client:
        client.post("/queues/q/messages", json={"messages": [{"body": "a"}, {"body": "b", "delay": 5}]})
        client.post("/queues/q/reservations", json={"timeout": 60})
        answers = []
        poll = threading.Thread(target=lambda: answers.append(client.post("/queues/q/reservations", json={"wait": 30}).json()))
        poll.start()
        until(lambda: waiting(server))
        server.advance(1000)
        poll.join(60)
        assert [message["body"] for message in answers[0]["messages"]] == ["b"]
        clock = f"http://{server.host}:{server.port}/clock"
        assert httpx.get(clock).json() == {"now": 1000.0}
        assert httpx.post(clock, json={"advance": 0.5}).json() == {"now": 1000.5}
        assert [httpx.post(clock, content=text).status_code for text in (b"{", b"{}", b'{"advance": "x"}')] == [400] * 3


def test_a_real_clock_is_not_moved(client, server):
    """The call that moves the clock does not exist then."""
    assert httpx.post(f"http://{server.host}:{server.port}/clock", headers=HEADERS, json={"advance": 1}).status_code == 404


# -- in this process, in virtual time


def virtually(scenario):
    """Run it on a virtual loop, and return its result and the seconds that it took there."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario), runner.get_loop().time()


def client_of(service, clock=None):
    return httpx.AsyncClient(transport=IronMQTransport(service, clock), base_url="http://h/3/projects/p", headers=HEADERS)


def test_a_client_in_virtual_time():
    """Delays, reservations and long polls take virtual seconds: hours pass at once, and to the nanosecond."""

    async def scenario():
        async with client_of(Service(token="token", project="p")) as client:
            await client.post("/queues/q/messages", json={"messages": [{"body": "a", "delay": 3600}]})
            bodies = []
            while not bodies:
                answer = await client.post("/queues/q/reservations", json={"wait": 30, "timeout": 86_400})
                bodies = [message["body"] for message in answer.json()["messages"]]
            due = asyncio.get_running_loop().time()
            answer = await client.post("/queues/q/reservations", json={"wait": 0})
            assert answer.json() == {"messages": []}
            await asyncio.sleep(86_399)
            again = await client.post("/queues/q/reservations", json={"wait": 5})
            return bodies, due, again.json()["messages"][0]["reserved_count"]

    assert virtually(scenario()) == ((["a"], 3600.0, 2), 90_000.0)


def test_a_cancelled_request_reserves_nothing():
    """A client that stops waiting leaves no poll behind, even if a message comes in the same moment."""

    async def scenario():
        async with client_of(Service(token="token", project="p")) as client:
            await client.put("/queues/q", json={})
            poll = asyncio.create_task(client.post("/queues/q/reservations", json={"wait": 30}))
            await asyncio.sleep(1)
            poll.cancel()
            await client.post("/queues/q/messages", json={"messages": [{"body": "a"}]})
            await asyncio.gather(poll, return_exceptions=True)
            return len((await client.post("/queues/q/reservations", json={})).json()["messages"])

    assert virtually(scenario()) == (1, 1.0)


def test_a_clock_of_ones_own():
    """The service's time can be set by hand in the same process too."""
    clock = ManualClock()

    async def scenario():
        transport = IronMQTransport(Service(), clock)
        async with httpx.AsyncClient(transport=transport, base_url="http://h/3/projects/p") as client:
            await client.post("/queues/q/messages", json={"messages": [{"body": "a", "delay": 10}]})
            poll = asyncio.create_task(client.post("/queues/q/reservations", json={"wait": 30}))
            await asyncio.sleep(100)
            assert not poll.done()
            transport.driver.advance(10)
            return len((await poll).json()["messages"])

    assert virtually(scenario()) == (1, 100.0)


# -- as a program


@pytest.mark.slow
def test_the_program_serves_until_it_is_stopped():
    """It says where it listens, has the token, project, clock and ids it was told, and ends with status 0."""
    with Processes() as processes:
        words = ("--port", "0", "--token", "t", "--project", "p", "--clock", "manual", "--seed", "7")
        process = processes.python("-m", "taskq_testing.ironmq_server", *words)
        url = process.wait_for(r"listens on (http://127\.0\.0\.1:\d+/3/projects/p)")[1]
        headers = {"Authorization": "OAuth t"}
        fields = {"messages": [{"body": "a", "delay": 60}]}
        first = httpx.post(f"{url}/queues/q/messages", headers=headers, json=fields).json()["ids"]
        assert first == same_ids(7)
        assert httpx.post(f"{url}/queues/q/messages", json={}).status_code == 401
        httpx.post(url.replace("/3/projects/p", "/clock"), json={"advance": 60})
        found = httpx.post(f"{url}/queues/q/reservations", headers=headers, json={}).json()["messages"]
        assert [message["body"] for message in found] == ["a"]
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def same_ids(seed):
    async def scenario():
        service = Service(token="token", project="p", seed=seed)
        async with client_of(service) as client:
            return (await client.post("/queues/q/messages", json={"messages": [{"body": "a"}]})).json()["ids"]

    return virtually(scenario())[0]


def test_a_port_that_is_taken(server, capsys):
    """The program says which, and what to do."""
    assert main(["--port", str(server.port)]) == 1
    assert "give another --port" in capsys.readouterr().err
