from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.ports import Waits
from tests.conformance.samples import NOW_MS, a_pause, event_id, run_id

NAME, SHAPE = "order/paid", a_pause().shape
OTHER_SHAPE = '[["data","id"],["user","id"]]'


async def filed(waits: Waits, *pauses: Pause) -> None:
    """File pauses one after the other."""
    for pause in pauses:
        await waits.put_pause(pause)


async def found(waits: Waits, *, name: str = NAME, shape: str = SHAPE, index: str = "i") -> list[Pause]:
    """Everything under one index."""
    return await waits.pauses(name, shape, index, after=None, limit=100)


@pytest.mark.parametrize(
    "pause",
    [
        a_pause(),
        a_pause(kind=PauseKind.CANCEL, pause_id="cancel:0"),
        a_pause(shape="", index="", expression=None),
        a_pause(expression='async.data.text == "é\\u0000" && event.data.n != 5.0'),
        a_pause(since_ms=0, expires_at_ms=2**53),
        a_pause(excluded=(event_id(1), event_id(2))),
        a_pause(name="Größe/ändern *%_", index="0" * 24),
        a_pause(name="n" * 255, expression="e" * 4096),
    ],
    ids=["a step's", "a cancellation", "catch-all", "expression", "times", "excluded", "name", "long"],
)
async def test_a_pause_comes_back_as_it_was_filed(waits: Waits, pause: Pause):
    """Every member of a pause survives storage."""
    await waits.put_pause(pause)
    key = pause.key
    assert await found(waits, name=key.event_name, shape=pause.shape, index=key.filed_under) == [pause]


async def test_nothing_is_filed_at_first(waits: Waits):
    """An event name nobody waits for has neither shapes nor pauses."""
    assert await waits.shapes(NAME) == []
    assert await found(waits) == []


async def test_filing_a_pause_again_changes_nothing(waits: Waits):
    """A pause that is filed twice, or by several at once, is there once."""
    await filed(waits, a_pause(), a_pause())
    await asyncio.gather(*(waits.put_pause(a_pause()) for _ in range(3)))
    assert await found(waits) == [a_pause()]
    assert await waits.shapes(NAME) == [SHAPE]


async def test_pauses_are_found_under_their_own_index_alone(waits: Waits):
    """What is filed under another event name, shape or index is not found, however alike the spelling."""
    mine = a_pause()
    await filed(
        waits,
        mine,
        a_pause(2, "order/paid2"),
        a_pause(3, "ORDER/PAID"),
        a_pause(4, index="I"),
        a_pause(5, index="i2"),
        a_pause(6, index=""),
        a_pause(7, shape=OTHER_SHAPE),
        a_pause(8, shape=""),
    )
    assert await found(waits) == [mine]
    assert await found(waits, name="order/%") == []
    assert await found(waits, name="order/*") == []


async def test_shapes_are_kept_by_event_name(waits: Waits):
    """Every shape of an event name is listed once, those of other names are not, and a shape outlives its pauses."""
    await filed(
        waits,
        a_pause(1),
        a_pause(2, shape=OTHER_SHAPE),
        a_pause(3, index="j"),
        a_pause(4, shape=""),
        a_pause(5, "order/refunded", shape='[["name"]]'),
    )
    expected = ["", SHAPE, OTHER_SHAPE]
    assert sorted(await waits.shapes(NAME)) == sorted(expected)
    await waits.drop_pauses([a_pause(1).key, a_pause(2).key, a_pause(3, index="j").key, a_pause(4).key])
    assert set(await waits.shapes(NAME)) <= set(expected)
    await filed(waits, a_pause(6))
    assert SHAPE in await waits.shapes(NAME)
    assert await found(waits) == [a_pause(6)]


async def test_pauses_are_ordered_by_key(waits: Waits):
    """Under one index pauses come in the order of their run ids, then of their pause ids, however they were filed."""
    ordered = [a_pause(run, pause_id=pause_id) for run in (1, 2, 10) for pause_id in ("Z", "a", "cancel:0", "é")]
    await filed(waits, *reversed(ordered[::2]), *ordered[1::2])
    assert await found(waits) == sorted(ordered, key=lambda pause: pause.key)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pauses_are_read_page_by_page(waits: Waits, limit: int):
    """Following the last key of each page gives every pause once, in order, and then an empty page."""
    ordered = [a_pause(run, pause_id=pause_id) for run in range(1, 4) for pause_id in ("a", "b")]
    await filed(waits, *ordered, a_pause(1, index="h"), a_pause(9, index="j"))
    pages: list[list[Pause]] = [await waits.pauses(NAME, SHAPE, "i", after=None, limit=limit)]
    while pages[-1]:
        pages.append(await waits.pauses(NAME, SHAPE, "i", after=pages[-1][-1].key, limit=limit))
    assert [pause for page in pages for pause in page] == ordered
    assert all(len(page) == limit for page in pages[:-2])


async def test_a_page_begins_after_a_key_that_is_gone(waits: Waits):
    """A page goes on after its key although the pause of that key was taken out, and sees what was filed since."""
    await filed(waits, a_pause(1), a_pause(2), a_pause(4))
    (_, second) = await waits.pauses(NAME, SHAPE, "i", after=None, limit=2)
    await waits.drop_pauses([second.key])
    await filed(waits, a_pause(3))
    assert await waits.pauses(NAME, SHAPE, "i", after=second.key, limit=9) == [a_pause(3), a_pause(4)]


async def test_dropped_pauses_are_gone(waits: Waits):
    """Exactly the pauses named are taken out, of whatever event name, index and run."""
    one, two, three, four = a_pause(1), a_pause(2), a_pause(1, "order/refunded", pause_id="b"), a_pause(3, index="j")
    await filed(waits, one, two, three, four)
    await waits.drop_pauses([one.key, three.key, four.key])
    assert await found(waits) == [two]
    assert await found(waits, name="order/refunded") == []
    assert await found(waits, index="j") == []


async def test_dropping_what_is_not_there_is_ignored(waits: Waits):
    """A key that is not filed, named twice, or gone already stops nothing."""
    await filed(waits, a_pause(1), a_pause(2))
    await waits.drop_pauses([])
    await waits.drop_pauses([a_pause(3).key, a_pause(1).key, a_pause(1).key])
    await waits.drop_pauses([a_pause(1).key])
    assert await found(waits) == [a_pause(2)]


async def test_a_dropped_pause_may_be_filed_anew(waits: Waits):
    """A pause that was taken out can come back, and is then as it is filed the second time."""
    again = a_pause(since_ms=NOW_MS + 5, excluded=(event_id(9),))
    await filed(waits, a_pause())
    await waits.drop_pauses([a_pause().key])
    await filed(waits, again)
    assert await found(waits) == [again]


async def test_many_keys_are_dropped_at_once(waits: Waits):
    """One call takes out as many pauses as a run may have."""
    pauses = [a_pause(1, pause_id=f"step-{number:04}") for number in range(1_000)]
    await asyncio.gather(*(waits.put_pause(pause) for pause in pauses))
    await waits.drop_pauses([pause.key for pause in pauses])
    assert await found(waits) == []


async def test_filing_and_dropping_at_once_leaves_nothing_half_done(waits: Waits):
    """A pause that is filed and dropped at the same time is either wholly there or not at all."""
    pauses = [a_pause(number) for number in range(1, 9)]
    await asyncio.gather(
        *(waits.put_pause(pause) for pause in pauses), *(waits.drop_pauses([pause.key]) for pause in pauses)
    )
    assert [pause for pause in await found(waits) if pause not in pauses] == []


async def test_runs_and_steps_are_told_apart(waits: Waits):
    """The same step of two runs, and two steps of one run, wait each for themselves."""
    mine = a_pause(1, pause_id="a")
    others = [a_pause(1, pause_id="b"), a_pause(2, pause_id="a")]
    await filed(waits, mine, *others)
    await waits.drop_pauses([mine.key])
    assert await found(waits) == others
    assert mine.key == PauseKey(NAME, "i", run_id(1), "a")
    assert replace(mine, key=others[0].key) == others[0]
