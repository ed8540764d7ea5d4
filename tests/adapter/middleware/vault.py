"""An app that has secrets to keep."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import stepwell
from stepwell.middleware import Encryption

NEW = bytes(range(32))
OLD = base64.urlsafe_b64encode(b"o" * 32).decode().rstrip("=")
SECRET = "correct-horse-battery-staple"


class Card(BaseModel):
    """What a step gives."""

    number: str


class CardData(BaseModel):
    """What an event carries."""

    order: str
    card: Card


class Paid(stepwell.Event, name="card/paid"):
    """A typed event with a secret in it."""

    data: CardData


@dataclass
class Receipt:
    """What a function gives."""

    text: str


def give(value: Any) -> Any:
    """A step body."""
    return value


def vault(**options: Any) -> stepwell.App:
    """An app that has a secret in every place that can be encrypted: events, results, an invocation."""
    app = stepwell.App("vault", middleware=[Encryption([NEW, OLD], event_fields=["card"])], **{"dev": True} | options)

    def read_card(card: Card) -> Card:
        return Card(number=card.number + "!")

    @app.function()
    async def stamp(ctx: stepwell.Context) -> Receipt:
        return Receipt(ctx.event.data["card"]["number"])

    @app.function(on=Paid)
    async def pay(ctx: stepwell.Context) -> Receipt:
        card = await ctx.step.run("read", read_card, ctx.event.data.card)
        assert isinstance(card, Card)
        await ctx.step.sleep("nap", "1s")
        receipt = await ctx.step.invoke("stamp", function=stamp, data={"card": card})
        assert isinstance(receipt, Receipt)
        wait = ctx.step.wait_for_event("told", event="card/told", match="data.order", timeout="1d", lookback="run")
        tell = ctx.step.send_event(
            "tell", stepwell.Event(name="card/told", data={"order": "o1", "card": {"number": receipt.text}})
        )
        await tell
        told = await wait
        assert told is not None
        return Receipt(told.data["card"]["number"])

    return app
