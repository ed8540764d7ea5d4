"""What an order is made of, and what its steps return. Steps and events carry these models as they are."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field

import stepwell


class Customer(BaseModel):
    """Who ordered."""

    name: str
    email: str
    loyalty_id: str | None = None


class Address(BaseModel):
    """Where it goes. ``country`` is an ISO code of two letters."""

    street: str
    city: str
    postcode: str
    country: str


class Line(BaseModel):
    """So many pieces of one article. ``unit_price`` is in the order's currency."""

    sku: str
    name: str
    quantity: int = Field(gt=0)
    unit_price: Decimal


class Trouble(BaseModel):
    """How the outside world treats this order: part of the input, so that every run of the demo is the same."""

    gateway_busy: int = 0
    gateway_timeouts: int = 0
    card_declined: bool = False
    fraud_score: int = 5
    loyalty_down: bool = False


class Order(BaseModel):
    """One order of a web shop."""

    id: str
    customer: Customer
    address: Address
    currency: str
    lines: list[Line]
    trouble: Trouble = Trouble()


class Reservation(BaseModel):
    """Stock set aside for one line; ``left`` is what the bin still holds."""

    sku: str
    quantity: int
    left: int


class Quote(BaseModel):
    """What shipping costs, in the order's currency."""

    carrier: str
    price: Decimal


class Charge(BaseModel):
    """A successful payment."""

    id: str
    amount: Decimal


class Receipt(BaseModel):
    """What a fulfilled order comes to."""

    order_id: str
    currency: str
    goods: Decimal
    shipping: Decimal
    total: Decimal
    charge_id: str
    points: int


class Offer(BaseModel):
    """What a supplier wants for a refill."""

    supplier: str
    price: Decimal


class LowBin(BaseModel):
    """A bin that an order nearly emptied."""

    order_id: str
    sku: str
    left: int


class OrderCreated(stepwell.Event, name="order/created"):
    """A customer ordered."""

    data: Order


class Fulfilled(BaseModel):
    """Which order is on its way, and whom to tell."""

    order_id: str
    customer: Customer
    total: Decimal
    currency: str


class OrderFulfilled(stepwell.Event, name="order/fulfilled"):
    """An order is on its way."""

    data: Fulfilled


class StockLow(stepwell.Event, name="stock/low"):
    """An article needs refilling."""

    data: LowBin
