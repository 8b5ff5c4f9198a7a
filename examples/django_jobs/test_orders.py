"""Orders and their jobs, in Django's own test classes: jobs see the transaction of their test."""

from datetime import timedelta
from smtplib import SMTPServerDisconnected
from unittest.mock import patch

import pytest
from django.core import mail
from django.test import TestCase
from django.utils import timezone
from shop.jobs import PAY_WITHIN, cancel_unpaid, confirm
from shop.models import Order

from taskq_testing import Harness


class OrderTests(TestCase):
    """From the order to its end."""

    sim: Harness

    def order(self, address: str = "ada@example.org") -> Order:
        """Order through the web, up to the commit."""
        with self.captureOnCommitCallbacks(execute=True):
            response = self.client.post("/orders/", {"address": address})
        assert response.status_code == 201
        return Order.objects.get(pk=response.json()["number"])

    def test_an_order_enqueues_its_jobs(self) -> None:
        """The confirmation is due at once, the cancellation in half an hour."""
        order = self.order()
        self.sim.assert_enqueued(confirm, args=(order.pk,), delay=0)
        self.sim.assert_enqueued(cancel_unpaid, kwargs={"number": order.pk}, delay=PAY_WITHIN)

    def test_nothing_is_enqueued_before_the_commit(self) -> None:
        """A job must not run before its order can be seen."""
        self.client.post("/orders/", {"address": "ada@example.org"})
        self.sim.refute_enqueued()

    def test_the_confirmation_is_mailed(self) -> None:
        """The job finds the order in the open transaction of this test."""
        order = self.order()
        self.sim.drain()
        assert [(message.to, message.subject) for message in mail.outbox] == [(["ada@example.org"], f"Order {order.pk}")]
        self.sim.assert_enqueued(cancel_unpaid)

    def test_an_unpaid_order_is_cancelled_after_half_an_hour(self) -> None:
        """Not a second before, and with the virtual time of day in the database."""
        order = self.order()
        began = timezone.now()
        self.sim.advance(minutes=29, seconds=59)
        order.refresh_from_db()
        assert order.state == "open"
        self.sim.advance(1)
        order.refresh_from_db()
        assert order.state == "cancelled"
        assert order.cancelled is not None
        assert abs(order.cancelled - order.created - PAY_WITHIN) < timedelta(seconds=1)
        assert timezone.now() - began == PAY_WITHIN

    def test_a_paid_order_stays(self) -> None:
        """The job runs and finds nothing to cancel."""
        order = self.order()
        self.sim.advance(minutes=20)
        assert self.client.post(f"/orders/{order.pk}/pay/").json() == {"paid": True}
        self.sim.run_until_idle()
        order.refresh_from_db()
        assert order.state == "paid"
        assert self.sim.performed(cancel_unpaid) == 1

    def test_a_mail_server_that_is_down(self) -> None:
        """The confirmation is tried again after 15 and 30 seconds."""
        self.order()
        with patch("shop.jobs.send_mail", side_effect=SMTPServerDisconnected("down")):
            with pytest.raises(SMTPServerDisconnected, match="down"):
                self.sim.drain()
            self.sim.advance(15, raise_errors=False)
        self.sim.advance(30)
        assert [(run.started, run.outcome) for run in self.sim.performances(confirm)] == [
            (0, "retried"),
            (15, "retried"),
            (45, "ok"),
        ]
        assert len(mail.outbox) == 1
        self.sim.assert_enqueued(cancel_unpaid)

    def test_one_job_alone(self) -> None:
        """A job is performed without a queue; an order that is gone is an error."""
        with pytest.raises(Order.DoesNotExist):
            self.sim.perform(confirm, 4711)

    def test_inline(self) -> None:
        """In inline mode the mail is sent with the commit."""
        with self.sim.inline():
            self.order()
        assert len(mail.outbox) == 1
        self.sim.assert_enqueued(cancel_unpaid)
