"""Three weeks of reminders, tested in milliseconds."""

from datetime import timedelta

import pytest
import reminders
from reminders import WEEK, MailServerError, bill, remind

from taskq_testing import Harness


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what was sent; nothing is printed."""
    mails: list[str] = []
    monkeypatch.setattr(reminders, "send", mails.append)
    monkeypatch.setattr(reminders, "paid", set())
    return mails


def test_the_first_reminder_waits_a_week(taskq_sim: Harness, outbox: list[str]) -> None:
    """A bill plans one reminder, and a second bill of the same name is none."""
    assert bill("A1")
    assert not bill("A1")
    taskq_sim.assert_enqueued(remind, args=("A1", 1), delay=WEEK, name="remind-A1", count=1)
    assert outbox == ["invoice A1"]


@pytest.mark.taskq(start="2026-01-01T09:00:00+00:00")
def test_three_reminders_in_three_weeks(taskq_sim: Harness, outbox: list[str]) -> None:
    """Each reminder comes a week after the last, and the handler sees that day."""
    bill("A1")
    taskq_sim.advance(days=6)
    assert len(outbox) == 1
    taskq_sim.advance(days=1)
    assert outbox[1:] == ["08 January: reminder 1 for invoice A1"]
    taskq_sim.run_until_idle()
    assert outbox[2:] == ["15 January: reminder 2 for invoice A1", "22 January: reminder 3 for invoice A1"]
    assert taskq_sim.elapsed == timedelta(days=21).total_seconds()


def test_a_paid_invoice_is_left_alone(taskq_sim: Harness, outbox: list[str]) -> None:
    """Once it is paid there are no further reminders."""
    bill("A1")
    taskq_sim.advance(days=7)
    reminders.paid.add("A1")
    taskq_sim.run_until_idle()
    assert len(outbox) == 2
    taskq_sim.refute_enqueued(remind)


def refuse(_: str) -> None:
    """Stand for a mail server that is down."""
    raise MailServerError


def test_a_mail_server_that_is_down(taskq_sim: Harness, outbox: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A reminder is tried again after one, two and four minutes, until the server is up."""
    bill("A1")
    with monkeypatch.context() as patch:
        patch.setattr(reminders, "send", refuse)
        assert taskq_sim.advance(WEEK, raise_errors=False).retried == 1
        assert [taskq_sim.jump_to_next(raise_errors=False) for _ in range(2)] == [60, 120]
    assert taskq_sim.jump_to_next() == 240
    assert [run.outcome for run in taskq_sim.performances(remind)] == ["retried", "retried", "retried", "ok"]
    assert len(outbox) == 2
    taskq_sim.assert_enqueued(remind, args=("A1", 2), delay=WEEK)


def test_a_mail_server_that_stays_down(
    taskq_sim: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fifth attempt is the last; when it fails, somebody is told."""
    monkeypatch.setattr(reminders, "send", refuse)
    last = taskq_sim.perform(remind, "A1", 1, attempt=5, raise_errors=False)
    assert last.outcome == "failed"
    assert capsys.readouterr().err == "call the customer of invoice A1: reminder 1 failed\n"


def test_a_mistake_is_found_where_it_is_made(taskq_sim: Harness) -> None:
    """Arguments that the handler does not take raise where they are enqueued."""
    with pytest.raises(TypeError, match="remind"):
        remind.enqueue("A1", "first")  # type: ignore[arg-type]
    taskq_sim.refute_enqueued(remind)
