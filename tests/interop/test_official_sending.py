"""How the official packages send events to our server over a network that loses answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from tests.interop import tour
from tests.interop.node import typescript, why_not
from tests.interop.official import inngest, official, official_client
from tests.interop.proxies import passed_on, proxy
from tests.interop.server import Server

LOST = 3


@dataclass(slots=True)
class LossyProxy:
    """Passes requests on, and says that it could not for the first few: the server has those events all the same."""

    to: str
    seeds: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        answer = await passed_on(request, self.to + request.path_qs)
        if request.path.startswith("/e/"):
            self.seeds.append(request.headers.get("x-inngest-event-id-seed", ""))
            self.answers.append(answer.text or "")
            if len(self.answers) <= LOST:
                return web.Response(status=500)
        return answer


@asynccontextmanager
async def lossy_proxy(to: str) -> AsyncIterator[tuple[LossyProxy, str]]:
    """The proxy and its origin."""
    lossy = LossyProxy(to)
    async with proxy(lossy.handle) as origin:
        yield lossy, origin


async def sent_once(server: Server, lossy: LossyProxy, name: str) -> None:
    """Every attempt was the same request, and one event and one run came of them."""
    assert len(lossy.seeds) == LOST + 1
    assert len(set(lossy.seeds)) == len(set(lossy.answers)) == 1
    assert lossy.seeds[0]
    assert len({event["internal_id"] for event in await server.get(f"/v1/events?name={name}")}) == 1


async def test_a_repeated_python_send_starts_one_run() -> None:
    """When answers are lost, the package repeats the request with its seed, and the server knows the event."""
    async with official(tour.coroutines) as server, lossy_proxy(server.origin) as (lossy, origin):
        async with official_client(server.origin, event_api_base_url=origin) as client:
            [event_id] = await client.send(inngest.Event(name="official/tour"))
        assert len(await server.runs_of(event_id)) == 1
        await sent_once(server, lossy, "official/tour")


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_a_repeated_typescript_send_starts_one_run() -> None:
    """The same from inside a step of an app in TypeScript."""
    with listen("127.0.0.1", 0) as listener:
        dev = own_origin(listener)
        async with lossy_proxy(dev) as (lossy, origin):
            environment = {"INNGEST_DEV": dev, "INNGEST_EVENT_API_BASE_URL": origin}
            async with typescript(listener, environment, apps=("off",)) as server:
                assert (await server.outcome("off/send-one")).status == "Completed"
                await sent_once(server, lossy, "js/sent")
