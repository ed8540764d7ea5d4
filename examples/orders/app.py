"""Order fulfilment: what happens between a click on "buy" and a parcel, written as ordinary functions.

`stepwell demo` feeds it the orders of `orders.jsonl`; `stepwell dev examples.orders.app:app` serves it.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial

import stepwell
from examples.orders import services
from examples.orders.models import (
    Charge,
    Fulfilled,
    LowBin,
    Offer,
    Order,
    OrderCreated,
    OrderFulfilled,
    Quote,
    Receipt,
    StockLow,
)
from stepwell import NonRetriableError, StepError, StepOptions

FRAUD_SCORE_MAX = 80
LOW_BIN = 4

app = stepwell.App("shop")


async def record_rejection(ctx: stepwell.Context) -> dict[str, str]:
    """An order that cannot be fulfilled ends here, for somebody to look at."""
    failure = ctx.event.data
    order_id, reason = failure["event"]["data"]["id"], failure["error"]["message"]
    return {"order_id": order_id, "ticket": await ctx.step.run("open-ticket", "{}: {}".format, order_id, reason)}


@app.function(on=OrderCreated, on_failure=record_rejection)
async def fulfil_order(ctx: stepwell.Context) -> Receipt:
    """Price, reserve, check, charge, reward, announce."""
    step = ctx.step
    order: Order = ctx.event.data
    goods = await step.run("price-order", price, order)

    reserved = [await step.run("reserve-line", services.reserve, order.id, line) for line in order.lines]
    try:
        quote, charge = await check_and_charge(ctx, order, goods)
    except (StepError, NonRetriableError) as problem:
        await step.run("release-stock", services.release, order.id, reserved)
        raise NonRetriableError(f"{order.id} is rejected: {problem}") from problem

    try:
        bonus = StepOptions("award-points", retries=1)
        points = await step.run(bonus, services.award_points, order, pieces(order))
    except StepError as error:  # no reason to keep the parcel back
        ctx.logger.warning("no points for %s: %s", order.id, error)
        points = 0

    await step.sleep("cool-off", "1s")

    low = [LowBin(order_id=order.id, sku=bin_.sku, left=bin_.left) for bin_ in reserved if bin_.left < LOW_BIN]
    fulfilled = Fulfilled(order_id=order.id, customer=order.customer, total=charge.amount, currency=order.currency)
    await step.send_event("announce", [OrderFulfilled(data=fulfilled), *(StockLow(data=each) for each in low)])

    return Receipt(
        order_id=order.id,
        currency=order.currency,
        goods=goods,
        shipping=quote.price,
        total=charge.amount,
        charge_id=charge.id,
        points=points,
    )


@app.function(on=OrderFulfilled)
async def notify_customer(ctx: stepwell.Context) -> str:
    """Tell the customer that the parcel is on its way."""
    fulfilled: Fulfilled = ctx.event.data
    return await ctx.step.run(
        "send-mail", services.send_mail, fulfilled.customer, f"{fulfilled.order_id} is on its way"
    )


@app.function(on=StockLow)
def restock(ctx: stepwell.SyncContext) -> str:
    """Ask all suppliers side by side and order from the cheapest. A plain function: no asyncio needed."""
    step, sku = ctx.step, ctx.event.data.sku
    offers: list[Offer] = step.parallel(
        [partial(step.run, f"ask {name}", services.ask_supplier, name, sku) for name in services.SUPPLIERS]
    )
    best = min(offers, key=lambda offer: offer.price)
    return step.run("order-refill", services.order_refill, best, sku)


def price(order: Order) -> Decimal:
    """The sum of the lines. An order without lines is no order."""
    if not order.lines:
        raise NonRetriableError(f"order {order.id} has no lines")
    return sum((line.quantity * line.unit_price for line in order.lines), Decimal(0))


async def check_and_charge(ctx: stepwell.Context, order: Order, goods: Decimal) -> tuple[Quote, Charge]:
    """Check for fraud while asking what shipping costs; then take the money."""
    score, quote = await asyncio.gather(
        ctx.step.run("fraud-check", services.fraud_score, order),
        ctx.step.run("shipping-quote", services.shipping_quote, order.address, pieces(order)),
    )
    if score > FRAUD_SCORE_MAX:
        raise NonRetriableError(f"held for review, fraud score {score}")
    payment = StepOptions("charge", retries=3, timeout="10s")
    return quote, await ctx.step.run(payment, services.charge_card, order, goods + quote.price, ctx.attempt)


def pieces(order: Order) -> int:
    """How many pieces there are to ship."""
    return sum(line.quantity for line in order.lines)
