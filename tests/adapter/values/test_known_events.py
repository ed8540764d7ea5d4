"""Names that are nearly those of known events."""

from __future__ import annotations

import pytest

import stepwell
from stepwell.values.checks import Field
from stepwell.values.event import Event
from stepwell.values.event_names import event_name
from stepwell.values.known_events import meant_instead


class Shipped(Event, name="parcel/shipped"):
    pass


class ShippedAbroad(Shipped, name="parcel/shipped-abroad"):
    pass


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("parcel/shiped", "parcel/shipped"),
        ("Parcel/Shipped", "parcel/shipped"),
        ("parcels/shipped", "parcel/shipped"),
        ("parcel.shipped", "parcel/shipped"),
        ("parcel/shipped-abrod", "parcel/shipped-abroad"),
        ("inngest/function.finshed", "inngest/function.finished"),
    ],
)
def test_a_name_near_a_known_one_is_suspected(name: str, meant: str) -> None:
    """The classes of events, those below others as well, and the engine's own names are known."""
    assert meant_instead(name) == meant


@pytest.mark.parametrize(
    "name",
    [
        "parcel/shipped",
        "parcel/returned",
        "parcel/shipped.v2",
        "app/quite-another",
        "inngest/function.failed",
        "inngest/function.cancelled",
        "inngest/scheduled.timer",
    ],
)
def test_a_known_name_and_one_like_none_are_not(name: str) -> None:
    """What is declared, what is another word, another version, or another app's, is meant as it stands."""
    assert meant_instead(name) is None


def test_triggers_and_cancellations_are_told_where_the_function_is_defined() -> None:
    """The author of a function hears of each misspelt name; a wildcard names no event, and a class is known."""
    app = stepwell.App("shop", dev=True)
    with pytest.warns(stepwell.StepwellWarning) as told:

        @app.function(
            on=["parcel/shiped", "parcels/*", Shipped],
            cancel_on=stepwell.CancelOn("parcel/shippd", match="data.id"),
        )
        async def follow(ctx: stepwell.Context) -> None: ...

    assert [str(each.message).partition(": ")[0] for each in told] == [
        'function "follow", on',
        'function "follow", cancel_on.event',
    ]
    assert {each.filename for each in told} == {__file__}


def test_a_trigger_declares_its_name() -> None:
    """What starts a function may be waited for; a trigger is told only when it is very near another name."""
    assert meant_instead("parcel/skipped") == "parcel/shipped"
    event_name(Field("f", "on"), "parcel/skipped", wildcard=True)
    assert meant_instead("parcel/skipped") is None


def test_an_event_given_by_class_is_never_told(recwarn: pytest.WarningsRecorder) -> None:
    """A class names what it declares, however near another one's name is."""
    assert event_name(Field("f", "on"), ShippedAbroad) == "parcel/shipped-abroad"
    assert not recwarn.list
