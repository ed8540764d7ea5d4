"""Stand-ins for the mail and payment services of a small company."""

from __future__ import annotations

from decimal import Decimal


async def send_mail(email: str, subject: str) -> str:
    """Send a mail; returns its id."""
    return f"mail to {email}: {subject}"


async def charge(user_id: int, amount: Decimal) -> str:
    """Take the money; returns the receipt's number."""
    return f"receipt-{user_id}-{amount}"
