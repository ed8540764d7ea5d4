from __future__ import annotations

import asyncio
import datetime as dt
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import stepwell
from stepwell.client import http
from stepwell.client.outbound import OutboundRequest, fetch
from stepwell.client.sender import Sender
from stepwell.client.settings import Overrides, read_settings
from stepwell.errors import DefinitionError, EventError, WireError
from stepwell.wire.encoding import decode
from stepwell.wire.ids import EventIdSeed, decode_seed
from stepwell.wire.signing import hash_signing_key
from tests.adapter.serving.support import FALLBACK, KEY, NOW_MS, SERVER, FakeServer, json_answer

SEED = EventIdSeed(NOW_MS, bytes(range(10)))
SETTINGS = read_settings(Overrides(base_url=SERVER, event_key="events", env="pr-1"), {})
EVENTS = [{"name": "a", "data": {}}, {"name": "b", "data": {}}]


class Flaky:
    """A server that gives ``answers`` in order; an exception among them is raised."""

    def __init__(self, *answers: http.HttpResponse | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[OutboundRequest] = []

    async def __call__(self, request: OutboundRequest) -> http.HttpResponse:
        """Give the next answer."""
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sender(server: Any, slept: list[int]) -> Sender:
    """A sender to ``server`` that notes its sleeps."""

    async def sleep_ms(delay_ms: int) -> None:
        slept.append(delay_ms)

    return Sender(SETTINGS, server, sleep_ms)


async def test_events_go_to_the_ingest_endpoint_with_their_seed() -> None:
    """One request carries all events, the key in its path, the environment and the seed of their ids."""
    server = FakeServer(lambda request: json_answer({"ids": ["1", "2"], "status": 200}))
    assert await sender(server, []).send_events(EVENTS, SEED) == ["1", "2"]
    (request,) = server.requests
    assert (request.method, request.url) == ("POST", f"{SERVER}/e/events")
    assert decode(request.body) == EVENTS
    assert decode_seed(request.headers["x-inngest-event-id-seed"]) == SEED
    assert request.headers["x-inngest-env"] == "pr-1"


async def test_a_failing_server_is_tried_five_times_with_one_seed() -> None:
    """Connection errors and 5xx are repeated with growing delays, and every attempt is the same request."""
    accepted = json_answer({"ids": ["1"], "status": 200})
    unwell = http.HttpResponse(503)
    server = Flaky(ConnectionError("refused"), unwell, unwell, ConnectionError("reset"), accepted)
    slept: list[int] = []
    assert await sender(server, slept).send_events(EVENTS[:1], SEED) == ["1"]
    assert slept == [100, 200, 400, 800]
    assert len(server.requests) == 5
    assert all(request == server.requests[0] for request in server.requests)


async def test_a_server_that_stays_away_is_named_without_the_key() -> None:
    """After the fifth connection error the refusal names the server, and the event key is not in it."""
    server = Flaky(*[ConnectionError("refused")] * 5)
    with pytest.raises(EventError, match="in 5 attempts") as refused:
        await sender(server, []).send_events(EVENTS, SEED)
    assert SERVER in str(refused.value)
    assert "/e/events" not in str(refused.value)


async def test_a_server_that_stays_unwell_is_reported() -> None:
    """After the fifth 5xx its status is in the refusal."""
    with pytest.raises(EventError, match="HTTP 502"):
        await sender(Flaky(*[http.HttpResponse(502, {}, b"<html>")] * 5), []).send_events(EVENTS, SEED)


@pytest.mark.parametrize(
    ("status", "body", "message", "ids"),
    [
        (400, {"ids": ["1"], "status": 400, "error": "event name is empty"}, "HTTP 400: event name is empty", ("1",)),
        (400, {"ids": [""], "status": 400, "error": "bad"}, "bad", ()),
        (200, {"ids": ["1"], "status": 400, "error": "bad"}, "bad", ("1",)),
        (401, {"status": 401, "error": "Event key not found"}, "HTTP 401: Event key not found", ()),
        (404, None, "HTTP 404: the answer is not that of an ingest endpoint", ()),
        (200, {"hello": "world"}, "not that of an ingest endpoint", ()),
        (200, [1], "not that of an ingest endpoint", ()),
    ],
)
async def test_a_refusal_keeps_the_ids_accepted_before_it(
    status: int, body: Any, message: str, ids: tuple[str, ...]
) -> None:
    """A refusal is not repeated, and says what the server said and which events it took."""
    server = FakeServer(lambda request: json_answer(body, status))
    with pytest.raises(EventError, match=message) as refused:
        await sender(server, []).send_events(EVENTS, SEED)
    assert refused.value.ids == ids
    assert len(server.requests) == 1


class Bounded:
    """A server that takes requests up to a bound, and says so in its own way or not at all."""

    def __init__(self, bytes_max: int, refusal: http.HttpResponse, *, wrapped: int = 0) -> None:
        self.bytes_max = bytes_max
        self.refusal = refusal
        self.wrapped = wrapped
        self.taken: list[list[str]] = []
        self.asked = 0

    async def __call__(self, request: OutboundRequest) -> http.HttpResponse:
        """Take the events, or refuse them as too large."""
        self.asked += 1
        if len(request.body) + self.wrapped > self.bytes_max:
            return self.refusal
        events = decode(request.body)
        seed = decode_seed(request.headers["x-inngest-event-id-seed"])
        assert seed is not None
        self.taken.append([event["name"] for event in events])
        if any(event["name"] == "bad" for event in events):
            return json_answer({"ids": [], "status": 400, "error": "event name is bad"}, 400)
        return json_answer({"ids": [seed.event_id(ordinal) for ordinal, _ in enumerate(events, 1)], "status": 200})


LAMBDA = json_answer({"Message": "Request must be smaller than 2000 bytes for the InvokeFunction operation"}, 413)
OURS = json_answer({"ids": [], "status": 413, "error": "the request body is over 2000 bytes; send it in parts"}, 413)
A_PROXY = http.HttpResponse(413, {"content-type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>")


@pytest.mark.parametrize(
    ("refusal", "wrapped", "asked"), [(LAMBDA, 0, 9), (OURS, 0, 9), (A_PROXY, 0, 15), (LAMBDA, 900, 23)]
)
async def test_a_send_that_is_too_large_goes_in_parts(refusal: http.HttpResponse, wrapped: int, asked: int) -> None:
    """Parts are as large as the server says, or half and half again; order and ids are those of a single request."""
    events = [{"name": f"e{number}", "data": {"text": "x" * 450}} for number in range(30)]
    server = Bounded(2_000, refusal, wrapped=wrapped)
    ids = await sender(server, []).send_events(events, SEED)
    assert ids == [SEED.event_id(ordinal) for ordinal in range(1, 31)]
    assert [name for part in server.taken for name in part] == [f"e{number}" for number in range(30)]
    assert server.asked == asked


@pytest.mark.parametrize(
    ("refusal", "why"),
    [(LAMBDA, "Request must be smaller than 2000 bytes"), (OURS, "is over 2000 bytes"), (A_PROXY, "is too large")],
)
async def test_an_event_that_is_too_large_alone_is_an_error(refusal: http.HttpResponse, why: str) -> None:
    """The error has the server's limit, the size and the way out, and the ids of the events that were taken before."""
    server = Bounded(2_000, refusal)
    large = {"name": "large", "data": {"text": "x" * 5_000}}
    with pytest.raises(EventError, match=f"HTTP 413: .*{why}.*alone makes a request of 5037 bytes: store") as refused:
        await sender(server, []).send_events([*EVENTS, large], SEED)
    assert "\n" not in str(refused.value)
    assert refused.value.ids == (SEED.event_id(1), SEED.event_id(2))


async def test_a_refusal_in_a_later_part_keeps_the_ids_of_the_parts_before() -> None:
    """What was taken before the bad event is told, and nothing behind it is sent."""
    events = [{"name": name, "data": {"text": "x" * 1_500}} for name in ("a", "b", "bad", "c")]
    server = Bounded(2_000, LAMBDA)
    with pytest.raises(EventError, match="HTTP 400: event name is bad") as refused:
        await sender(server, []).send_events(events, SEED)
    assert refused.value.ids == (SEED.event_id(1), SEED.event_id(2))
    assert server.taken == [["a"], ["b"], ["bad"]]


async def test_too_many_events_are_not_sent() -> None:
    """More events than a server takes in one request are refused before any is sent."""
    server = FakeServer()
    with pytest.raises(EventError, match="5001 events in one send"):
        await sender(server, []).send_events([{"name": "a"}] * 5001, SEED)
    assert server.requests == []


async def test_without_a_server_the_fix_is_named() -> None:
    """Sending from an app in cloud mode that knows no server says which setting is missing."""
    with pytest.raises(DefinitionError, match="STEPWELL_BASE_URL"):
        await stepwell.App("shop", dev=False).send(stepwell.Event(name="a"))


class Engine:
    """An embedded engine's end of ``app.transport``."""

    def __init__(self) -> None:
        self.sent: list[tuple[Sequence[Mapping[str, Any]], EventIdSeed]] = []
        self.signals: list[tuple[str, Any]] = []

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Take the events."""
        self.sent.append((events, seed))
        return [seed.event_id(ordinal) for ordinal, _ in enumerate(events, start=1)]

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Take the signal; a run waits for any but ``lost``."""
        self.signals.append((signal, data))
        return None if signal == "lost" else "run-1"


@pytest.fixture
def engine() -> Engine:
    """An engine that took nothing yet."""
    return Engine()


@pytest.fixture
def app(engine: Engine) -> stepwell.App:
    """An app that sends to ``engine``."""
    app = stepwell.App("shop", dev=False)
    app.transport = engine
    return app


async def test_an_embedded_engine_takes_the_events(app: stepwell.App, engine: Engine) -> None:
    """With a transport set nothing goes over HTTP, and each send has a seed of its own."""
    both = await app.send([stepwell.Event(name="a", data={"n": 1}), stepwell.Event(name="b")])
    one = await app.send(stepwell.Event(name="c"))
    assert [[event["name"] for event in events] for events, _ in engine.sent] == [["a", "b"], ["c"]]
    assert engine.sent[0][0][0]["data"] == {"n": 1}
    assert len({*both, *one}) == 3


async def test_a_malformed_event_stops_the_whole_send(app: stepwell.App, engine: Engine) -> None:
    """No event of a send goes out when one of them cannot."""
    with pytest.raises(EventError, match="reserved"):
        await app.send([stepwell.Event(name="a"), stepwell.Event(name="inngest/function.failed")])
    assert engine.sent == []


@pytest.mark.parametrize("wrong", [{"name": "a"}, "a/b"])
async def test_only_events_are_sent(app: stepwell.App, engine: Engine, wrong: Any) -> None:
    """What is not an Event is refused by its type."""
    with pytest.raises(EventError, match=r"got (dict|str)"):
        await app.send([stepwell.Event(name="a"), wrong] if isinstance(wrong, dict) else wrong)
    assert engine.sent == []


async def test_an_unreachable_address_is_a_connection_error() -> None:
    """The network client reports a refused connection as what it is, without the URL's key."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/e/sekret"
    with closed, pytest.raises(ConnectionError) as refused:
        await fetch(OutboundRequest("POST", url, {}, b"[]"))
    assert "sekret" not in str(refused.value)


async def test_sending_nothing_reaches_nobody(app: stepwell.App, engine: Engine) -> None:
    """An empty send returns no ids and makes no request."""
    assert await app.send([]) == []
    assert engine.sent == []


def test_send_sync_works_without_a_loop(app: stepwell.App, engine: Engine) -> None:
    """Plain code sends and gets the ids."""
    assert app.send_sync(stepwell.Event(name="a")) == [engine.sent[0][1].event_id(1)]


async def test_send_sync_works_inside_a_loop(app: stepwell.App, engine: Engine) -> None:
    """Plain code called on a running loop sends as well, in another thread and with a loop of its own."""
    assert asyncio.get_running_loop().is_running()
    assert app.send_sync(stepwell.Event(name="a")) == [engine.sent[0][1].event_id(1)]


def test_send_sync_raises_what_send_raises(app: stepwell.App) -> None:
    """A refusal reaches the caller unchanged."""
    with pytest.raises(EventError, match="reserved"):
        app.send_sync(stepwell.Event(name="inngest/x"))


NO_SIGNAL = json_answer({"error": "No signal found", "data": None, "status": 404}, 404)
RESUMED = json_answer({"data": {"run_id": "run-1"}, "metadata": {}})
KEYED = read_settings(Overrides(base_url=SERVER, signing_key=KEY, signing_key_fallback=FALLBACK, env="pr-1"), {})


@pytest.mark.parametrize(("answer", "run_id"), [(RESUMED, "run-1"), (NO_SIGNAL, None)])
async def test_a_signal_goes_to_the_api_with_the_key(answer: http.HttpResponse, run_id: str | None) -> None:
    """One authenticated request carries name and data; nobody waiting is an answer, not an error."""
    server = Flaky(answer)
    assert await Sender(KEYED, server).send_signal("go/1", {"by": "Ada"}) == run_id
    [request] = server.requests
    assert (request.method, request.url) == ("POST", f"{SERVER}/v1/signals")
    assert decode(request.body) == {"signal": "go/1", "data": {"by": "Ada"}}
    assert request.headers["authorization"] == f"Bearer {hash_signing_key(KEY)}"
    assert request.headers["x-inngest-env"] == "pr-1"


async def test_a_signal_is_sent_with_the_fallback_key_when_the_first_is_refused() -> None:
    """During a rotation of keys signals go on."""
    server = Flaky(http.HttpResponse(401), RESUMED)
    assert await Sender(KEYED, server).send_signal("go/1", None) == "run-1"
    assert server.requests[1].headers["authorization"] == f"Bearer {hash_signing_key(FALLBACK)}"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (json_answer({"error": "signal is too long", "status": 400}, 400), "HTTP 400: signal is too long"),
        (http.HttpResponse(401), "HTTP 401: the answer is not that of a signals endpoint"),
        (json_answer({"detail": "Not Found"}, 404), "HTTP 404: the answer is not that of a signals endpoint"),
        (json_answer({"data": None}), "HTTP 200: the answer is not that of a signals endpoint"),
        (http.HttpResponse(503), "HTTP 503"),
    ],
)
async def test_a_signal_that_is_not_taken_is_an_error(answer: http.HttpResponse, message: str) -> None:
    """A refusal is reported with status and reason, and nothing but a server's own 404 counts as nobody waiting."""
    server = Flaky(answer)
    with pytest.raises(WireError, match=message):
        await Sender(SETTINGS, server).send_signal("go/1", None)
    assert len(server.requests) == 1


async def test_a_signal_is_not_repeated_when_its_answer_is_lost() -> None:
    """A repeat would find that nobody waits any more, so the caller is told instead."""
    server = Flaky(ConnectionError("reset"))
    with pytest.raises(ConnectionError):
        await Sender(SETTINGS, server).send_signal("go/1", None)
    assert len(server.requests) == 1


async def test_an_app_sends_signals_through_its_transport(app: stepwell.App, engine: Engine) -> None:
    """The data is made JSON, and the id of the run that waited is given, or None."""
    moment = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    assert await app.send_signal("go/1", {"at": moment}) == "run-1"
    assert await app.send_signal("lost") is None
    assert engine.signals == [("go/1", {"at": "2030-01-01T00:00:00Z"}), ("lost", None)]


@pytest.mark.parametrize("name", ["", "s" * 256, None])
async def test_a_signal_needs_a_name(app: stepwell.App, engine: Engine, name: Any) -> None:
    """A name that is none is refused before anything is sent."""
    with pytest.raises(DefinitionError, match="1 to 255 characters"):
        await app.send_signal(name)
    assert engine.signals == []
