"""Official apps behind a proxy that takes the start of the path away, so that they do not know their own address."""

from __future__ import annotations

import pytest

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from tests.interop import tour
from tests.interop.node import node_apps, why_not
from tests.interop.official import official
from tests.interop.proxies import stripping_proxy
from tests.interop.server import KEYED, dev_server

PREFIX = "/svc"


@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("framework", ["fastapi", "flask"])
async def test_python_apps_are_called_where_they_were_reached(framework: str, keyed: bool) -> None:
    """Registered at the proxy's URL, an app is called there, with every kind of step."""
    settings = KEYED if keyed else None
    async with official(tour.threads, framework=framework, settings=settings, prefix=PREFIX) as server:
        await tour.take(server)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_typescript_apps_are_called_where_they_were_reached() -> None:
    """The same with the package of npm, whose apps are told their path."""
    with listen("127.0.0.1", 0) as listener:
        async with (
            node_apps({"INNGEST_DEV": own_origin(listener)}) as apps,
            stripping_proxy(apps, PREFIX) as origin,
            dev_server(listener, (f"{origin}/api/off",)) as server,
        ):
            ended = [await server.outcome(f"off/{name}") for name in ("steps", "parallel")]
            assert [outcome.status for outcome in ended] == ["Completed"] * 2
