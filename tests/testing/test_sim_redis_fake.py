"""fakeredis in virtual time: what is put right is still wrong, and the scripts do there what they do on a real server."""

import random
import re
import threading
from importlib.metadata import version

import pytest
import redis
from fakeredis import FakeRedisConnection, FakeServer
from redis.exceptions import ResponseError

from taskq.backends.redis import scripts
from taskq_testing.services import redis_server
from taskq_testing.simulator.redis.fake import DIVERGENCES, EPOCH_MS, FakeRedis, error_of

MS = 1_000_000


KNOWN = "2.41.0"
"""The fakeredis whose divergences are put right."""

READ = ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
WAIT = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", "60000", "STREAMS", "s", ">")


def ask(connection, *words):
    connection.send_command(*words)
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


@pytest.fixture
def plain():
    """Fakeredis as it is."""
    return connected(FakeServer(version=(7,), server_type="redis"))


def connected(server):
    connection = FakeRedisConnection(server=server, protocol=2)
    connection.connect()
    connection.of = server
    return connection


def blocking(plain):
    ask(plain, "XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waits = threading.Thread(target=ask, args=(plain, *WAIT), daemon=True)
    waits.start()
    waits.join(0.02)
    waited = waits.is_alive()
    ask(connected(plain.of), "XADD", "s", "*", "a", "b")
    waits.join(30)
    return waited


def time_moves(plain):
    script = "local a = redis.call('TIME') for i = 1, 30000 do redis.sha = i end local b = redis.call('TIME') return a[2] ~= b[2]"
    return ask(plain, "EVAL", script.replace("redis.sha = i", "local x = i"), 0) == 1


def missing_stream(plain):
    return "NOGROUP" not in str(ask(plain, *READ))


def wrong_type(plain):
    ask(plain, "SET", "s", "x")
    try:
        ask(plain, *READ)
    except AttributeError:
        return True
    return False


def pcall(plain):
    ask(plain, "SET", "s", "x")
    return isinstance(ask(plain, "EVAL", "return redis.pcall('XADD', 's', '*', 'a', 'b').err .. ''", 0), ResponseError)


def info(plain):
    return isinstance(ask(plain, "INFO"), ResponseError)


STILL_WRONG = {
    "blocking": blocking, "time": time_moves, "missing_stream": missing_stream, "wrong_type": wrong_type, "pcall": pcall,
    "info": info,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_a_divergence_is_still_there(name, plain):
    """Each thing that is put right is wrong in fakeredis as we know it; a newer one that mended it says that the cure may go."""
    differs = STILL_WRONG[name](plain)
    if not differs and version("fakeredis") != KNOWN:
        pytest.skip(f"fakeredis {version('fakeredis')} has mended this: {DIVERGENCES[name]}")
    assert differs


def test_commands_see_one_moment_of_virtual_time():
    """TIME, entry ids, idle times and times to live are those of the moment that was given, to the microsecond."""
    fake = FakeRedis()
    now = 1_234_567_891
    assert fake.execute([b"TIME"], now) == [b"%d" % (EPOCH_MS // 1000 + 1), b"234567"]
    script = b"local a = redis.call('TIME') for i = 1, 99999 do local x = i end return a[2] == redis.call('TIME')[2]"
    assert fake.execute([b"EVAL", script, b"0"], now) == 1
    assert fake.execute([b"XADD", b"s", b"*", b"a", b"b"], now) == b"%d-0" % (EPOCH_MS + 1234)
    fake.execute([b"XGROUP", b"CREATE", b"s", b"g", b"0"], now)
    fake.execute(b"XREADGROUP GROUP g c STREAMS s >".split(), now)
    assert fake.execute(b"XPENDING s g - + 9".split(), now + 5000 * MS)[0][2] == 5000
    fake.execute([b"SET", b"k", b"v", b"PX", b"1000"], now)
    assert fake.execute([b"PTTL", b"k"], now + 400 * MS) == 600
    assert [fake.execute([b"GET", b"k"], now + moment) for moment in (1000 * MS, 1001 * MS)] == [b"v", None]


def test_real_time_is_left_alone():
    """After a command fakeredis goes by the machine's clock again, for whoever else uses it."""
    FakeRedis().execute([b"PING"], 0)
    plain = redis.Redis(connection_pool=redis.ConnectionPool(FakeRedisConnection, server=FakeServer()))
    assert plain.time()[0] * 1000 > EPOCH_MS - 10**10
    assert plain.time()[0] * 1000 != EPOCH_MS
    assert [FakeRedis().execute([b"TIME"], 0)[0]] == [b"%d" % (EPOCH_MS // 1000)]


def test_errors_are_answers():
    """What a server refuses comes back as redis-py would raise it."""
    fake = FakeRedis()
    assert str(fake.execute(b"XREADGROUP GROUP g c STREAMS s >".split(), 0)).startswith("NOGROUP")
    fake.execute([b"SET", b"s", b"x"], 0)
    assert str(fake.execute([b"XADD", b"s", b"*", b"a", b"b"], 0)).startswith("WRONGTYPE")
    assert type(error_of("READONLY You can't write")).__name__ == "ReadOnlyError"
    assert b"redis_version:7" in fake.execute([b"INFO"], 0)


def test_everything_comes_back():
    """A copy of all keys holds streams with their groups and who owns what, and times to live, which go on meanwhile."""
    fake = FakeRedis()
    fake.execute([b"XADD", b"s", b"1-1", b"a", b"b"], 0)
    fake.execute([b"XGROUP", b"CREATE", b"s", b"g", b"0"], 0)
    fake.execute(b"XREADGROUP GROUP g c STREAMS s >".split(), 0)
    for key, ttl in ((b"short", b"1000"), (b"long", b"5000")):
        fake.execute([b"SET", key, b"v", b"PX", ttl], 0)
    fake.execute([b"ZADD", b"z", b"5", b"m"], 0)
    saved = fake.dump(100 * MS)
    fake.execute([b"XACK", b"s", b"g", b"1-1"], 200 * MS)
    fake.execute([b"FLUSHALL"], 200 * MS)
    fake.execute([b"SET", b"new", b"v"], 200 * MS)
    fake.load(saved, 2000 * MS)
    assert sorted(fake.execute([b"KEYS", b"*"], 2000 * MS)) == [b"long", b"s", b"z"]
    assert fake.execute([b"PTTL", b"long"], 2000 * MS) == 3000
    assert fake.execute(b"XPENDING s g - + 9".split(), 2000 * MS) == [[b"1-1", b"c", 2000, 1]]


def test_a_server_can_forget_its_scripts():
    """A digest that was known is not known any more."""
    fake = FakeRedis()
    fake.execute([b"EVAL", scripts.SIZE.text, b"3", b"a", b"b", b"c", b"g"], 0)
    known = [b"EVALSHA", scripts.SIZE.sha, b"3", b"a", b"b", b"c", b"g"]
    assert fake.execute(known, 0) == [0, 0, 0, 0]
    fake.forget_scripts(0)
    assert type(fake.execute(known, 0)).__name__ == "NoScriptError"


# -- in lock step with a real server


class Simulated:
    """The simulated server; a millisecond passes with each command."""

    def __init__(self):
        self.fake, self.now = FakeRedis(), 0

    def ask(self, *words):
        self.now += 2 * MS
        return self.fake.execute([word if isinstance(word, bytes) else str(word).encode() for word in words], self.now)


class Real:
    """A real one."""

    def __init__(self, url):
        self.client = redis.Redis.from_url(url, protocol=2)
        self.client.flushall()
        self.connection = self.client.connection_pool.get_connection()

    def ask(self, *words):
        return ask(self.connection, *words)


class Both:
    """Asks both and compares what they say; entry ids are called by when they were first seen, and taken from the first."""

    def __init__(self, *servers):
        self.servers = servers
        self.names = [{} for _ in servers]

    def said(self, index, answer):
        if isinstance(answer, list):
            return [self.said(index, each) for each in answer]
        if isinstance(answer, Exception):
            return type(answer).__name__
        if isinstance(answer, bytes) and re.fullmatch(rb"\d{13}-\d+", answer):
            names = self.names[index]
            return names.setdefault(answer, f"entry {len(names) + 1}")
        return answer

    def word(self, index, word):
        found = [entry for entry, name in self.names[index].items() if name == word]
        return found[0] if found else word

    def ask(self, *words, leaving_out=None):
        """Ask both; of rows, one column may be left out of the comparison."""
        answers = []
        for index, server in enumerate(self.servers):
            answer = server.ask(*(self.word(index, word) for word in words))
            if leaving_out is not None and isinstance(answer, list):
                answer = [row[:leaving_out] + row[leaving_out + 1 :] if isinstance(row, list) else 0 for row in answer]
            answers.append(self.said(index, answer))
        assert answers[0] == answers[1], words

    def script(self, script, keys, *args, **how):
        self.ask("EVAL", script.text, len(keys), *keys, *args, **how)


GROUP = b"taskq"
S, Z, D = b"s", b"z", b"d"


def look(both):
    """Compare everything that a queue consists of."""
    both.ask("XRANGE", S, "-", "+")
    both.ask("XRANGE", D, "-", "+")
    both.ask("ZCARD", Z)
    both.ask("XPENDING", S, GROUP, "-", "+", 99, leaving_out=2)


def a_step(both, rng, step):
    """Do one random thing that the adapter does."""
    entries = sorted({name for names in both.names for name in names.values()}) or ["0-1"]
    entry, other, consumer = rng.choice(entries), rng.choice(entries), rng.choice([b"a", b"b"])
    body = b"body %d" % rng.randrange(9)
    ttl = rng.choice([b"", 10_000_000])
    name = [b"once %d" % rng.randrange(3)] if ttl else []
    ways = {
        "send": lambda: both.script(scripts.SEND, [S, Z, b"lane", *name], step, 60_000, body, rng.choice([b"", 10_000_000]), ttl),
        "late": lambda: both.script(scripts.SEND, [S, Z, b"lane"], step - 2, 60_000, body, b"", b""),
        "delayed": lambda: both.ask("ZADD", Z, rng.choice([1, 10**15]), body),
        "read": lambda: both.ask("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", rng.randint(1, 3), "STREAMS", S, ">"),
        "ack": lambda: both.script(scripts.ACK, [S], GROUP, entry, other),
        "release": lambda: both.script(scripts.RELEASE, [S, Z], GROUP, consumer, entry, body, rng.choice([0, 10**7])),
        "bury": lambda: both.script(scripts.BURY, [S, D], GROUP, consumer, entry, b"reason", b"why", b"body", body),
        "extend": lambda: both.script(scripts.EXTEND, [S], GROUP, consumer, entry, rng.choice([0, 5000])),
        "promote": lambda: both.script(scripts.PROMOTE, [S, Z, b"lock"], 2, leaving_out=0),
        "recover": lambda: both.script(scripts.RECOVER, [S], GROUP, 0, 100),
        "strays": lambda: both.script(scripts.RECOVER, [S], GROUP, b"ids", entry),
        "size": lambda: both.script(scripts.SIZE, [S, Z, D], GROUP),
        "purge": lambda: both.script(scripts.PURGE, [S, Z], GROUP, 2),
        "redrive": lambda: both.script(scripts.REDRIVE, [D, S], entry, body),
        "leave": lambda: both.script(scripts.LEAVE, [S], GROUP, consumer),
        "sweep": lambda: both.script(scripts.SWEEP, [S], GROUP, 0),
        "lock": lambda: both.script(scripts.LOCK, [b"l"], consumer, 10_000_000),
        "unlock": lambda: both.script(scripts.UNLOCK, [b"l"], consumer),
        "swap": lambda: both.script(scripts.SWAP, [b"r"], b"1.5", b"1.5", 10_000_000, b"1"),
        "group": lambda: both.ask("XGROUP", "CREATE", S, GROUP, "0", "MKSTREAM"),
        "no group": lambda: both.ask("XGROUP", "DESTROY", S, GROUP),
        "spoil": lambda: [both.ask("DEL", S), both.ask("SET", S, "x")],
        "mend": lambda: both.ask("DEL", S),
    }
    likely = [9 if way in ("send", "read", "ack", "release") else 1 if way in ("no group", "spoil") else 4 for way in ways]
    ways[rng.choices(list(ways), likely)[0]]()


@pytest.mark.slow
def test_the_scripts_do_there_what_they_do_on_a_real_server():
    """Random sequences of all that the adapter asks for are answered alike, and leave the same behind."""
    with redis_server() as real:
        for seed in range(6):
            both, rng = Both(Simulated(), Real(real.url)), random.Random(seed)
            both.ask("XGROUP", "CREATE", S, GROUP, "0", "MKSTREAM")
            for step in range(1, 60):
                a_step(both, rng, step)
                look(both)
            assert all(both.names)  # there were entries to be alike
