from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.serving.registration import registration_of
from stepwell.wire.encoding import decode, encode
from stepwell.wire.registration import FunctionConfig, Trigger, decode_registration
from tests.adapter.serving.support import URL

GOLDEN = Path(__file__).parent / "golden"


def test_a_server_reads_what_the_app_registers() -> None:
    """Every function arrives with its triggers, retries, options and the URL it is called at."""
    app = stepwell.App("shop", dev=True, env="pr-1")

    @app.function(on=["a", stepwell.cron("0 9 * * 1", tz="Europe/London")], retries=2, concurrency=5, on_failure=print)
    async def pay(ctx: Any) -> None: ...

    sent = registration_of(app, app.settings, url=URL, framework="asgi").encode()
    read = decode_registration(decode(encode(sent)))
    assert (read.app_id, read.url, read.framework, read.env) == ("shop", URL, "asgi", "pr-1")
    assert ":" in read.sdk
    assert read.functions == (
        FunctionConfig(
            id="shop-pay",
            name="pay",
            url=f"{URL}?fnId=shop-pay&stepId=step",
            triggers=(Trigger(event="a"), Trigger(cron="TZ=Europe/London 0 9 * * 1")),
            retries=2,
            options={"concurrency": [{"limit": 5}]},
        ),
        FunctionConfig(
            id="shop-pay-failure",
            name="pay (failure)",
            url=f"{URL}?fnId=shop-pay-failure&stepId=step",
            triggers=(Trigger("inngest/function.failed", "event.data.function_id == 'shop-pay'"),),
            retries=0,
        ),
    )


def test_the_same_definition_is_registered_as_the_official_sdk_does() -> None:
    """A function with every option has the triggers and options that the official Python SDK registers for it."""
    golden = decode_registration(decode((GOLDEN / "py-register.json").read_bytes()))
    theirs = next(function for function in golden.functions if function.id == "cap-everything-config")
    app = stepwell.App("cap", dev=True)

    @app.function(
        name="Everything",
        on=[stepwell.on("cap/every", if_="event.data.x == 1"), stepwell.cron("0 12 * * 5", tz="Europe/Paris")],
        retries=theirs.retries,
        cancel_on=stepwell.CancelOn("cap/x", match="data.a", timeout="1h"),
        concurrency=[stepwell.Concurrency(5, key="event.data.k", scope="env")],
        priority=stepwell.Priority("event.data.prio"),
        throttle=stepwell.Throttle(10, "1m", burst=2, key="event.data.k"),
        timeouts=stepwell.Timeouts(start="1m", finish="5m"),
    )
    def everything_config(ctx: Any) -> None: ...

    (ours,) = registration_of(app, app.settings, url=golden.url, framework="fast_api").functions
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "app_id", "sdk", "count", "failure"),
    [
        ("py-register", "cap", "py:v0.5.18", 43, "cap-on-failure-failure"),
        ("js-register", "capjs", "js:v4.18.1", 22, "capjs-fn-fail-failure"),
    ],
)
def test_what_the_official_sdks_register_is_read(name: str, app_id: str, sdk: str, count: int, failure: str) -> None:
    """Captured registrations decode whole, in spite of how each spells its members."""
    read = decode_registration(decode((GOLDEN / f"{name}.json").read_bytes()))
    assert (read.app_id, read.sdk, len(read.functions)) == (app_id, sdk, count)
    derived = next(function for function in read.functions if function.id == failure)
    assert derived.triggers == (
        Trigger("inngest/function.failed", f"event.data.function_id == '{failure.removesuffix('-failure')}'"),
    )
    assert all(f"fnId={function.id}&stepId=step" in function.url for function in read.functions)
