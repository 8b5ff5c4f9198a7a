"""What the API hands over: mails, and a report that takes its time."""

import asyncio
import os
from datetime import timedelta

import taskq

app = taskq.App(os.environ.get("TASKQ_URL", "memory://"))
mail = app.queue("mail")
reports = app.queue("reports", worker_limit=2)

FOLLOW_UP = timedelta(days=3)
outbox: list[tuple[str, str]] = []
left: set[str] = set()


class MailServerError(Exception):
    """The mail server refuses mail for a while."""


async def send(address: str, subject: str) -> None:
    """Stand for a mail server."""
    outbox.append((address, subject))


@mail.task(max_attempts=4, min_backoff=10, max_backoff=60)
async def welcome(address: str) -> None:
    """Greet somebody who has signed up, and write again after three days."""
    await send(address, "welcome")
    await mail.enqueue_async(follow_up.message(address).named(f"follow-up-{address}").delayed(FOLLOW_UP))


@mail.task
async def follow_up(address: str) -> None:
    """Ask how it is going, unless they have left."""
    if address not in left:
        await send(address, "how is it going?")


@reports.task
async def report(context: taskq.Context, address: str, pages: int) -> None:
    """Write a report, a minute a page, and mail it."""
    for _ in range(pages):
        await asyncio.sleep(60)
        if context.cancelled:
            return
    await send(address, f"your report of {pages} pages")
