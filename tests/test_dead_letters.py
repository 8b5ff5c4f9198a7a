"""Dead letters of a queue: looked at, put back as if they were new, dropped."""

import pytest
from support import run

import taskq
from taskq.backends.base import DeadLetters, Outgoing
from taskq.errors import NotSupported


@pytest.fixture
def queue(app):
    queue = app.queue("q")

    @queue.task(max_attempts=2, min_backoff=0.0)
    def fails(n: int) -> None:
        raise OSError(n)

    return queue


def test_a_redriven_message_starts_anew(app, queue):
    """A dead letter tells why; after a redrive it has all its attempts again, and is given up again."""
    queue.enqueue(queue.message("fails", 1))
    for _ in range(2):
        run(app.consumer(queue).process_all())
        (letter,) = run(queue.dead_letters())
        assert "OSError: 1" in letter.reason
        assert taskq.queue.envelope.decode(letter.body).attempt == 2
        assert run(queue.redrive([letter])) == 1
        assert run(queue.redrive([letter])) == 0
    assert app.consumer(queue).stats().retries == 2


def test_a_corrupt_letter_is_put_back_as_it_is(app, queue):
    """What cannot be read is redriven untouched, and dropped when it is told to."""
    queue.backend.send_blocking([Outgoing(b"bad", b"\xc1")])
    for _ in range(2):
        run(app.consumer(queue).process_all())
        (letter,) = run(queue.dead_letters())
        assert letter.body == b"\xc1"
        run(queue.redrive([letter]))
    run(app.consumer(queue).process_all())
    assert run(queue.discard(run(queue.dead_letters()))) == 1
    assert run(queue.dead_letters()) == []


def test_a_backend_without_dead_letters_says_so(queue, monkeypatch):
    """Where they cannot be looked at, one sentence says where else to look."""
    monkeypatch.setattr(queue, "backend", object())
    assert not isinstance(queue.backend, DeadLetters)
    with pytest.raises(NotSupported, match="use the service's own tools"):
        run(queue.dead_letters())
