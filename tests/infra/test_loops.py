"""Lambda ends a chain of some sixteen invocations as a loop. A long run is such a chain, and is meant.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

import io
from typing import Any, Final

import pytest
from botocore.awsrequest import AWSResponse

from stepwell.authoring.app import App
from stepwell.steps.context import Context
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.entry.rehearsal.rehearsal import rehearsing
from tests.infra.templates import APP, ENGINE, load, resources

CHAIN_MAX: Final = 16
CHAIN: Final = "Root=1-67f2b1a4-0123456789abcdef01234567;Lineage=1:c1b2d3e4:15"


def recursive_loop(template: str, name: str) -> Any:
    """What a function of a template is deployed with."""
    shared = load(template).get("Globals", {}).get("Function", {})
    return resources(template, "AWS::Serverless::Function")[name]["Properties"].get(
        "RecursiveLoop", shared.get("RecursiveLoop")
    )


@pytest.mark.parametrize(
    ("template", "name"),
    [(template, name) for template in (ENGINE, APP) for name in resources(template, "AWS::Serverless::Function")],
)
def test_no_function_is_stopped_as_a_loop(template: str, name: str) -> None:
    """Every function of the stacks may be part of a long chain."""
    assert recursive_loop(template, name) == "Allow"


def napping() -> App:
    """An app whose function sleeps twenty times."""
    app = App("naps", dev=False, checkpoint=False)

    @app.function(on="naps/due")
    async def nap(ctx: Context) -> None:
        for number in range(20):
            await ctx.step.sleep(f"nap-{number}", "1m")

    return app


def test_a_long_run_is_a_long_chain_that_goes_on() -> None:
    """Twenty short sleeps are more invocations in a chain than Lambda allows unasked, and the run gets through."""
    with rehearsing({"naps": napping()}) as rehearsal:
        rehearsal.send([{"name": "naps/due"}])
        rehearsal.advance(21 * MINUTE_MS)
        drops = (
            max(rehearsal.queue.hops_max - CHAIN_MAX, 0) if recursive_loop(ENGINE, "QueueFunction") != "Allow" else 0
        )
        assert rehearsal.queue.hops_max > CHAIN_MAX
        assert drops == 0


async def test_an_app_is_called_outside_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker invokes is not told by which chain it was reached, so no setting of an app's function matters."""
    sent: list[Any] = []

    def send(self: Any, request: Any) -> AWSResponse:
        sent.append(request)
        body = io.BytesIO(b"{}")
        body.stream = lambda *_, **__: iter([b"{}"])  # type: ignore[attr-defined]
        return AWSResponse(request.url, 200, {}, body)

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    for name, value in {
        "AWS_LAMBDA_FUNCTION_NAME": "queue",
        "_X_AMZN_TRACE_ID": CHAIN,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
    }.items():
        monkeypatch.setenv(name, value)
    await Clients().functions.call("invoke", FunctionName="shop", Payload=b"{}")
    assert "X-Amzn-Trace-Id" not in sent[0].headers
