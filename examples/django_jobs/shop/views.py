"""The shop's views: they write to the database and enqueue when that is committed."""

from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from shop.jobs import PAY_WITHIN, cancel_unpaid, confirm, orders
from shop.models import Order


@csrf_exempt
@require_POST
@transaction.atomic
def create_order(request: HttpRequest) -> JsonResponse:
    """Take an order."""
    order = Order.objects.create(address=request.POST["address"])
    transaction.on_commit(partial(confirm.enqueue, order.pk))
    transaction.on_commit(partial(orders.enqueue, cancel_unpaid.message(order.pk).delayed(PAY_WITHIN)))
    return JsonResponse({"number": order.pk}, status=201)


@csrf_exempt
@require_POST
def pay_order(request: HttpRequest, number: int) -> JsonResponse:  # noqa: ARG001 - a view's signature
    """Take the payment of an order."""
    paid = Order.objects.filter(pk=number, state="open").update(state="paid")
    return JsonResponse({"paid": bool(paid)}, status=200 if paid else 409)
