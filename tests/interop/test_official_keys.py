"""The official packages in production mode, with keys, and in dev mode: signatures, event keys, and who is refused."""

from __future__ import annotations

import pytest

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from tests.interop import tour
from tests.interop.node import typescript, why_not
from tests.interop.official import FRAMEWORKS, Define, inngest, official, official_client
from tests.interop.server import EVENT_KEY, KEYED, SIGNING_KEY

STYLES = {"async": tour.coroutines, "def": tour.threads}


@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_python_apps_run_with_keys_and_without(framework: str, style: str, keyed: bool) -> None:
    """Every kind of step works on FastAPI and Flask, with coroutines and threads, signed and unsigned."""
    define: Define = STYLES[style]
    async with official(define, framework=framework, settings=KEYED if keyed else None) as server:
        await tour.take(server)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_typescript_apps_run_with_keys() -> None:
    """Calls are signed, and its own requests carry the keys: it registers, sends, invokes and saves its steps."""
    with listen("127.0.0.1", 0) as listener:
        environment = {
            "INNGEST_DEV": "0",
            "INNGEST_BASE_URL": own_origin(listener),
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": SIGNING_KEY,
        }
        async with typescript(listener, environment, settings=KEYED, apps=("default", "off")) as server:
            for app in ("default", "off"):
                ended = [await server.outcome(f"{app}/{name}") for name in ("steps", "send", "invoke")]
                assert [outcome.status for outcome in ended] == ["Completed"] * 3


async def test_a_fallback_key_is_taken_while_keys_are_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that has the new key and the old one works with a server that has the old one only."""
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", SIGNING_KEY)
    async with official(tour.coroutines, settings=KEYED, signing_key="signkey-test-fedcba98") as server:
        await tour.take(server)


async def test_a_server_with_another_key_is_refused() -> None:
    """An app does not register with, nor run for, a server that signs with a key it does not know."""
    with pytest.raises(AssertionError, match="did not register: HTTP 500"):
        async with official(tour.coroutines, settings=KEYED, signing_key="signkey-test-fedcba98"):
            pass


async def test_an_event_key_that_is_not_known_is_refused() -> None:
    """Sending raises with what the server said, and nothing is stored."""
    async with official(tour.coroutines, settings=KEYED) as server:
        async with official_client(server.origin, keyed=True, event_key="wrong") as client:
            with pytest.raises(Exception, match="Event key not found"):
                await client.send(inngest.Event(name="official/tour"))
        assert await server.get("/v1/events") == []
