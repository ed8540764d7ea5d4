"""Stand-ins for the shop's outside world: warehouse, fraud check, carriers, payment gateway, loyalty, mail, suppliers.

They take their time and fail the way such services do, as the order's own ``trouble`` says.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from examples.orders.models import Address, Charge, Customer, Line, Offer, Order, Quote, Reservation
from stepwell import NonRetriableError, RetryAfterError

BIN_SIZE = 12
POINTS_PER_PIECE = 10
PIECES_PER_PARCEL = 5
CARRIERS = {
    "BR": ("Correios", "24.90"),
    "CA": ("Canada Post", "14.50"),
    "DE": ("DHL", "4.90"),
    "ES": ("Correos", "5.40"),
    "FR": ("Colissimo", "5.20"),
    "GB": ("Royal Mail", "3.95"),
    "IN": ("India Post", "90.00"),
    "JP": ("Yamato", "800"),
    "KE": ("G4S", "350.00"),
    "NG": ("GIG Logistics", "1500.00"),
    "SE": ("PostNord", "49.00"),
    "US": ("USPS", "6.50"),
}
SUPPLIERS = {"Leaf & Bean": "1.80", "Harbour Imports": "1.65", "Northern Mill": "2.10"}


async def reserve(order_id: str, line: Line) -> Reservation:
    """Set stock aside; asking twice for the same order and article reserves once."""
    await asyncio.sleep(0.008)
    return Reservation(sku=line.sku, quantity=line.quantity, left=BIN_SIZE - line.quantity % BIN_SIZE)


async def release(order_id: str, reservations: list[Reservation]) -> int:
    """Put reserved stock back; returns the number of pieces."""
    await asyncio.sleep(0.005)
    return sum(reservation.quantity for reservation in reservations)


async def fraud_score(order: Order) -> int:
    """From 0 (trust) to 100."""
    await asyncio.sleep(0.045)
    return order.trouble.fraud_score


async def shipping_quote(address: Address, pieces: int) -> Quote:
    """The price of as many parcels as it takes."""
    await asyncio.sleep(0.025)
    if address.country not in CARRIERS:
        raise NonRetriableError(f"no carrier delivers to {address.country}")
    carrier, fee = CARRIERS[address.country]
    return Quote(carrier=carrier, price=Decimal(fee) * -(-pieces // PIECES_PER_PARCEL))


async def charge_card(order: Order, amount: Decimal, attempt: int) -> Charge:
    """Take the money. The gateway is busy at the first attempts, then it times out, then it answers."""
    await asyncio.sleep(0.06)
    trouble = order.trouble
    if attempt < trouble.gateway_busy:
        raise RetryAfterError("the payment gateway is busy", after="1s")
    if attempt < trouble.gateway_busy + trouble.gateway_timeouts:
        raise TimeoutError("the payment gateway did not answer")
    if trouble.card_declined:
        raise NonRetriableError("the card was declined")
    return Charge(id=f"ch-{order.id}", amount=amount)


async def award_points(order: Order, pieces: int) -> int:
    """Book loyalty points; returns how many."""
    await asyncio.sleep(0.01)
    if order.trouble.loyalty_down:
        raise ConnectionError("the loyalty service is down")
    return POINTS_PER_PIECE * pieces if order.customer.loyalty_id else 0


async def send_mail(customer: Customer, subject: str) -> str:
    """Send a mail; returns its id."""
    await asyncio.sleep(0.015)
    return f"mail to {customer.email}: {subject}"


def ask_supplier(supplier: str, sku: str) -> Offer:
    """What a refill of the bin costs there."""
    return Offer(supplier=supplier, price=Decimal(SUPPLIERS[supplier]) * BIN_SIZE)


def order_refill(offer: Offer, sku: str) -> str:
    """Order a refill; returns the order's number."""
    return f"refill of {sku} from {offer.supplier} for {offer.price}"
