"""The API and its jobs together, in virtual time."""

from collections.abc import Iterator

import httpx
import jobs
import pytest
from api import api
from fastapi.testclient import TestClient
from jobs import FOLLOW_UP, MailServerError, follow_up, report, welcome

from taskq_testing import Harness


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Return a client of the API, with empty stores behind it."""
    monkeypatch.setattr(jobs, "outbox", [])
    jobs.left.clear()
    with TestClient(api) as client:
        yield client


def test_signing_up_enqueues_a_welcome(client: TestClient, taskq_sim: Harness) -> None:
    """The answer comes before the mail; the job is in the queue with its arguments."""
    assert client.post("/signups", json={"address": "ada@example.org"}).status_code == 202
    taskq_sim.assert_enqueued(welcome, args=("ada@example.org",), delay=0)
    assert jobs.outbox == []


def test_the_follow_up_comes_after_three_days(client: TestClient, taskq_sim: Harness) -> None:
    """The job of a job is delayed, and runs when its time has come."""
    client.post("/signups", json={"address": "ada@example.org"})
    taskq_sim.drain()
    taskq_sim.assert_enqueued(follow_up, delay=FOLLOW_UP, name="follow-up-ada@example.org")
    taskq_sim.advance(days=2, hours=23)
    assert [subject for _, subject in jobs.outbox] == ["welcome"]
    taskq_sim.advance(hours=1)
    assert [subject for _, subject in jobs.outbox] == ["welcome", "how is it going?"]


def test_who_has_left_is_not_asked(client: TestClient, taskq_sim: Harness) -> None:
    """What happens between enqueueing and running counts."""
    client.post("/signups", json={"address": "ada@example.org"})
    taskq_sim.advance(days=1)
    assert client.delete("/signups/ada@example.org").status_code == 204
    taskq_sim.run_until_idle()
    assert [subject for _, subject in jobs.outbox] == ["welcome"]
    assert taskq_sim.performed(follow_up) == 1


def test_a_mail_server_that_is_down(client: TestClient, taskq_sim: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The welcome is tried again after 10, 20 and 40 seconds, then put aside."""

    async def refuse(address: str, subject: str) -> None:
        raise MailServerError(address, subject)

    monkeypatch.setattr(jobs, "send", refuse)
    client.post("/signups", json={"address": "ada@example.org"})
    with pytest.raises(MailServerError):
        taskq_sim.drain()
    taskq_sim.run_until_idle(raise_errors=False)
    assert [run.started for run in taskq_sim.performances(welcome)] == [0, 10, 30, 70]
    assert [letter.args for letter in taskq_sim.dead_letters()] == [("ada@example.org",)]


def test_two_reports_are_written_at_a_time(client: TestClient, taskq_sim: Harness) -> None:
    """Async handlers wait in virtual time, side by side, as many as the limit allows."""
    for pages in (10, 20, 30):
        client.post("/reports", params={"address": "ada@example.org", "pages": pages})
    taskq_sim.drain()
    ended = [run.ended for run in taskq_sim.performances(report)]
    assert ended == pytest.approx([600, 1200, 600 + 1800], abs=2)


@pytest.mark.taskq(mode="inline")
def test_end_to_end(client: TestClient, taskq_sim: Harness) -> None:
    """In inline mode the mail is sent before the answer comes."""
    client.post("/signups", json={"address": "ada@example.org"})
    assert jobs.outbox == [("ada@example.org", "welcome")]
    taskq_sim.assert_enqueued(follow_up)


@pytest.mark.anyio
async def test_from_an_async_test(taskq_sim: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """An async test uses the same fixture in the same way."""
    monkeypatch.setattr(jobs, "outbox", [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://test") as client:
        response = await client.post("/signups", json={"address": "ada@example.org"})
        assert response.status_code == 202
        taskq_sim.advance(days=3)
    assert len(jobs.outbox) == 2


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio."""
    return "asyncio"
