"""Taking events in: what is refused, with which words, and what is durable when (protocol 3)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from stepwell.errors import EventError
from stepwell.wire.ids import EventIdSeed, is_ulid, ulid_ms
from stepwell_orchestrator.accepting.event_validation import NO_NAME
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import EVENT_BYTES_MAX, EVENTS_PER_REQUEST_MAX, JSON_DEPTH_MAX
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.queue_item import QueueItem, Route
from stepwell_orchestrator.ports import Journal
from tests.orchestrator.fakes import NOW_MS, FixedClock, MemoryJournal, MemoryQueue

SEED = EventIdSeed(1_700_000_000_000, bytes(range(10)))
FIRST, SECOND = "01HF7YAT00000G40R40M30E20A", "01HF7YAT00000G40R40M30E20B"
OK: dict[str, Any] = {"name": "shop/order", "data": {"n": 1}}


def counting_entropy() -> Callable[[int], bytes]:
    """Entropy that counts, so that ids are the same in every test run."""
    counter = itertools.count(1)
    return lambda length: next(counter).to_bytes(length)


class World:
    """An ingest over fakes that write one common log."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.journal = MemoryJournal(self.log)
        self.queue = MemoryQueue(self.log)
        self.clock = FixedClock()
        self.notices: list[Notice] = []
        self.ingest = Ingest(
            cast("Journal", self.journal),
            self.queue,
            self.clock,
            FreshIds(self.clock, counting_entropy()),
            self.notices.append,
        )

    async def accept(self, value: Any, seed: EventIdSeed | None = None) -> list[str]:
        return await self.ingest.accept(json.dumps(value).encode(), seed)


@pytest.fixture
def world() -> World:
    return World()


async def test_event_is_stored_then_queued(world: World) -> None:
    """An event is stored whole, then queued for routing now, and only then its id is answered."""
    raw = {"name": "shop/order", "id": "o-1", "data": {"n": 1}, "ts": NOW_MS + 60_000, "user": {"id": 7}, "v": "2"}
    [internal_id] = await world.accept(raw)
    event = world.journal.events[internal_id]
    assert event.wire() == raw
    assert (event.received_at_ms, event.has_own_id) == (NOW_MS, True)
    assert world.queue.items == [QueueItem(f"{internal_id}:route", Route(internal_id), NOW_MS)]
    assert world.log == [f"event {internal_id}", f"item {internal_id}:route"]
    assert world.notices == [Notice(NOW_MS, NoticeKind.EVENT_RECEIVED, subject="shop/order")]


async def test_missing_members_get_defaults(world: World) -> None:
    """An event of a name alone has empty data and user, its internal id as id, and the time of receipt as ts."""
    [internal_id] = await world.accept({"name": "a", "data": None, "id": "", "ts": 0, "user": None, "other": 1})
    wire = {"id": internal_id, "name": "a", "data": {}, "ts": NOW_MS, "user": {}}
    assert world.journal.events[internal_id].wire() == wire
    assert ulid_ms(internal_id) == NOW_MS


@pytest.mark.parametrize("fraction", [0.25, 0.999])
async def test_a_time_with_a_fraction_is_the_millisecond_it_lies_in(world: World, fraction: float) -> None:
    """What a browser's clock says is cut to whole milliseconds."""
    [internal_id] = await world.accept({"name": "a", "ts": NOW_MS + fraction})
    assert world.journal.events[internal_id].ts_ms == NOW_MS


async def test_engine_member_of_data_is_removed(world: World) -> None:
    """The data member that belongs to the engine does not come in from outside."""
    [internal_id] = await world.accept({"name": "a", "data": {"_inngest": {"fn_id": "x"}, "n": 1}})
    assert world.journal.events[internal_id].data == {"n": 1}


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]"])
async def test_nothing_in_nothing_out(world: World, body: bytes) -> None:
    """An empty body and an empty list are accepted as no events."""
    assert await world.ingest.accept(body, None) == []
    assert world.log == []


async def test_ids_follow_from_the_seed(world: World) -> None:
    """With a seed, internal ids are those of the protocol's vector, counted from 1."""
    assert await world.accept([OK, OK], SEED) == [FIRST, SECOND]


async def test_repeat_of_a_seed_stores_once_and_queues_again(world: World) -> None:
    """A repeat answers the same ids, changes no event, tells nobody, and queues again what a crash may have lost."""
    await world.accept(OK, SEED)
    world.clock.ms += 5_000
    assert await world.accept({**OK, "data": {"n": 2}}, SEED) == [FIRST]
    assert world.journal.events[FIRST].data == {"n": 1}
    assert [item.id for item in world.queue.items] == [f"{FIRST}:route", f"{FIRST}:route"]
    assert len(world.notices) == 1


async def test_lost_queue_send_is_mended_by_the_repeat(world: World) -> None:
    """When queueing breaks, the request fails; its repeat with the same seed queues the event stored before."""
    world.queue.fail = True
    with pytest.raises(ConnectionError):
        await world.accept(OK, SEED)
    assert world.queue.items == []
    assert await world.accept(OK, SEED) == [FIRST]
    assert [item.id for item in world.queue.items] == [f"{FIRST}:route"]


async def test_fresh_ids_grow_within_a_millisecond(world: World) -> None:
    """Ids drawn in one millisecond, or after the clock stepped back, are ULIDs that sort in order of receipt."""
    ids = await world.accept([OK] * 3)
    world.clock.ms -= 10
    ids += await world.accept([OK] * 2)
    assert ids == sorted(set(ids))
    assert all(is_ulid(internal_id) for internal_id in ids)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (123, "Request body must contain an event object or an array of event objects"),
        (None, "Request body must contain an event object or an array of event objects"),
        ("text", "Request body must contain an event object or an array of event objects"),
        ({"data": {}}, NO_NAME),
        ({"name": None, "data": {}}, NO_NAME),
        ({"name": "", "data": {}}, "event name is empty"),
        ({"name": " \t", "data": {}}, "event name is empty"),
        ({"name": 7}, "event name must be a string, got a number"),
        ({"name": ["a"]}, "event name must be a string, got a list"),
        ({"name": "n" * 256}, "event name has 256 characters; the limit is 255: shorten it"),
        ({"name": "inngest/foo"}, "event name is reserved for internal use: inngest/foo"),
        ({"name": "Inngest/Foo"}, "event name is reserved for internal use: Inngest/Foo"),
        ({"name": "a", "data": [1]}, 'event data must be an object, got a list; wrap it, e.g. {"value": ...}'),
        ({"name": "a", "data": "s"}, 'event data must be an object, got a string; wrap it, e.g. {"value": ...}'),
        ({"name": "a", "user": 1}, 'event user must be an object, got a number; wrap it, e.g. {"value": ...}'),
        ({"name": "a", "id": 5}, "event id must be a string, got a number"),
        ({"name": "a", "v": True}, "event v must be a string, got a boolean"),
        ({"name": "a", "ts": "now"}, "event ts must be milliseconds since 1970, got a string"),
        ({"name": "a", "ts": [1]}, "event ts must be milliseconds since 1970, got a list"),
        ({"name": "a", "ts": -0.5}, "timestamp is before Jan 1, 1980; ts is milliseconds, not seconds"),
        ({"name": "a", "ts": 1_700_000_000.5}, "timestamp is before Jan 1, 1980; ts is milliseconds, not seconds"),
        (
            {"name": "a", "ts": 1e300},
            "timestamp is after Dec 31, 2100; ts is milliseconds, not micro- or nanoseconds",
        ),
        ({"name": "a", "ts": True}, "event ts must be milliseconds since 1970, got a boolean"),
        ({"name": "a", "ts": -5}, "timestamp is before Jan 1, 1980; ts is milliseconds, not seconds"),
        ({"name": "a", "ts": 1_700_000_000}, "timestamp is before Jan 1, 1980; ts is milliseconds, not seconds"),
        ({"name": "a", "ts": 315_532_799_999}, "timestamp is before Jan 1, 1980; ts is milliseconds, not seconds"),
        (
            {"name": "a", "ts": 4_133_980_800_000},
            "timestamp is after Dec 31, 2100; ts is milliseconds, not micro- or nanoseconds",
        ),
        (
            {"name": "a", "meta": {"sessions": {str(n): "x" for n in range(6)}}},
            "event meta has 6 sessions; the limit is 5",
        ),
        ({"name": "a", "meta": {"sessions": {"s": 1}}}, "event meta: session 's' must be a string, got a number"),
        (
            {"name": "a", "meta": {"sessions": {"s": "x" * 513}}},
            "event meta: session 's' is too long; the limit is 128 bytes a key and 512 an id",
        ),
    ],
)
async def test_bad_event_is_refused(world: World, event: Any, message: str) -> None:
    """Each bad event is refused in one line that says what is wrong, and nothing is stored."""
    with pytest.raises(EventError) as refusal:
        await world.accept([event])
    assert str(refusal.value) == message
    assert "\n" not in str(refusal.value)
    assert refusal.value.ids == ()
    assert world.log == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"name": ', "malformed JSON"),
        (b"not json", "malformed JSON"),
        (b'{"name": "a", "data": {"x": NaN}}', "no NaN"),
        (b'{"name": "a", "data": {"x": -Infinity}}', "no infinity"),
        (b'{"name": "a", "data": {"x": "\\ud800"}}', "no lone surrogate"),
        (b'{"name": "a", "data": {"x": "\xff"}}', "malformed JSON"),
        (b'{"name": "a", "data": {"x": ' + b"9" * 5000 + b"}}", "malformed JSON"),
        (b"[" * 100_000, "malformed JSON"),
    ],
)
async def test_bad_json_is_refused(world: World, body: bytes, says: str) -> None:
    """What is not JSON that can be stored is refused, and nothing is stored."""
    with pytest.raises(EventError, match=says):
        await world.ingest.accept(body, None)
    assert world.log == []


async def test_depth_is_bounded_exactly(world: World) -> None:
    """An event may be nested as deep as the limit and no deeper, however many brackets it has side by side."""

    def nested(levels: int) -> dict[str, Any]:
        value: Any = {}
        for _ in range(levels - 3):
            value = [value]
        return {"name": "deep", "data": {"x": value}}

    assert len(await world.accept([nested(JSON_DEPTH_MAX)])) == 1
    assert len(await world.accept([{"name": "wide", "data": {"x": [[]] * 500}}])) == 1
    with pytest.raises(EventError, match=f"nested more than {JSON_DEPTH_MAX} levels deep"):
        await world.accept([nested(JSON_DEPTH_MAX + 1)])


async def test_event_size_is_bounded_exactly(world: World) -> None:
    """An event may be as large as the limit in compact JSON and not one byte larger."""
    frame = len(b'{"name":"a","data":{"x":""}}')
    text = "y" * (EVENT_BYTES_MAX - frame)
    assert len(await world.accept({"name": "a", "data": {"x": text}})) == 1
    with pytest.raises(EventError) as refusal:
        await world.accept({"name": "a", "data": {"x": text + "y"}})
    size = f"Max {EVENT_BYTES_MAX} bytes / Size {EVENT_BYTES_MAX + 1} bytes"
    assert str(refusal.value).startswith(f"Event is over the max size: {size}")


async def test_batch_is_bounded(world: World) -> None:
    """A batch over the limit is refused whole; one at the limit is accepted."""
    with pytest.raises(EventError, match=r"^Cannot have more than 5000 events in a batch$"):
        await world.ingest.accept_events([OK] * (EVENTS_PER_REQUEST_MAX + 1), None)
    assert world.log == []
    assert len(await world.ingest.accept_events([OK] * EVENTS_PER_REQUEST_MAX, None)) == EVENTS_PER_REQUEST_MAX


async def test_events_before_the_bad_one_stay_accepted(world: World) -> None:
    """Of good, bad, good the first is stored, queued and named in the error; what follows is not looked at."""
    with pytest.raises(EventError, match=r"^event name is empty") as refusal:
        await world.accept([OK, {"data": {}}, OK], SEED)
    assert refusal.value.ids == (FIRST,)
    assert world.log == [f"event {FIRST}", f"item {FIRST}:route"]


async def test_sessions_are_merged(world: World) -> None:
    """Sessions the SDK propagated and the sender's own are merged; the sender's win, and null removes."""
    meta = {"propagated_sessions": {"a": "1", "b": "2", "c": "3"}, "sessions": {"b": "9", "c": None}, "other": 1}
    [internal_id] = await world.accept({"name": "a", "meta": meta})
    assert world.journal.events[internal_id].meta == {"sessions": {"a": "1", "b": "9"}, "other": 1}
