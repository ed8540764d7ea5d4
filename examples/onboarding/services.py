"""Stand-ins for the mail, account and payment services of a small company."""

from __future__ import annotations

from decimal import Decimal


async def send_mail(email: str, subject: str) -> str:
    """Send a mail; returns its id."""
    return f"mail to {email}: {subject}"


async def count_projects(user_id: int) -> int:
    """How many projects a user has."""
    return user_id % 2


async def charge(user_id: int, amount: Decimal) -> str:
    """Take the money; returns the receipt's number."""
    return f"receipt-{user_id}-{amount}"
