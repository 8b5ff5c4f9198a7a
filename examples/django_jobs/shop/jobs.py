"""The shop's jobs. A worker runs them with `DJANGO_SETTINGS_MODULE=project.settings taskq worker shop.jobs:app`."""

from datetime import timedelta

import django
from django.apps import apps
from django.conf import settings
from django.core.mail import send_mail

import taskq

if not apps.ready:  # the worker imports this module first
    django.setup()

from django.utils import timezone

from shop.models import Order

app = taskq.App(settings.TASKQ_URL)
orders = app.queue("orders")

PAY_WITHIN = timedelta(minutes=30)


@orders.task(max_attempts=6, min_backoff=timedelta(seconds=15), max_backoff=timedelta(minutes=2))
def confirm(number: int) -> None:
    """Confirm an order by mail."""
    order = Order.objects.get(pk=number)
    send_mail(f"Order {number}", f"Please pay within {PAY_WITHIN}.", "shop@example.org", [order.address])


@orders.task
def cancel_unpaid(number: int) -> None:
    """Cancel an order that nobody has paid for."""
    Order.objects.filter(pk=number, state="open").update(state="cancelled", cancelled=timezone.now())
