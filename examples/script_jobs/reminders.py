"""Reminders of unpaid invoices: the first a week after the invoice, then each week until it is paid, three at most."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import taskq

app = taskq.App(os.environ.get("TASKQ_URL", "memory://"))
billing = app.queue("billing")

WEEK = timedelta(days=7)
paid: set[str] = set()


class MailServerError(Exception):
    """The mail server refuses mail for a while."""


def print_mail(text: str) -> None:
    """Stand for a mail server."""
    print(text, flush=True)


send: Callable[[str], None] = print_mail


def bill(invoice: str) -> bool:
    """Send an invoice once; return whether it was sent now."""
    result = billing.enqueue(remind.message(invoice, 1).named(f"remind-{invoice}").delayed(WEEK))
    if result.accepted:
        send(f"invoice {invoice}")
    return result.accepted


@billing.task(max_attempts=5, min_backoff=60, max_backoff=240)
def remind(invoice: str, number: int) -> None:
    """Remind once, and plan the next reminder."""
    if invoice in paid:
        return
    send(f"{datetime.now(UTC):%d %B}: reminder {number} for invoice {invoice}")
    if number < 3:
        billing.enqueue(remind.message(invoice, number + 1).delayed(WEEK))


@remind.fallback
def remind_failed(invoice: str, number: int) -> None:
    """Tell somebody that a reminder cannot be sent."""
    print(f"call the customer of invoice {invoice}: reminder {number} failed", file=sys.stderr, flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {'sent' if bill(name) else 'was sent before'}")
