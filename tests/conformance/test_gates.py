from __future__ import annotations

import asyncio

import pytest

from stepwell_orchestrator.flow_ports import Gates
from stepwell_orchestrator.model.flow import Holder, Place, Waiter
from stepwell_orchestrator.model.queue_item import Execute, Start
from tests.conformance.samples import NOW_MS, UNTIL_MS

GATE = "0123456789abcdef"
OTHER = "fedcba9876543210"


async def take(gates: Gates, holder: str, most: int = 2, *, now_ms: int = NOW_MS, until_ms: int | None = UNTIL_MS):
    """Ask for a slot."""
    return await gates.take_slot(GATE, most, holder, now_ms=now_ms, until_ms=until_ms)


async def holders(gates: Gates, now_ms: int = NOW_MS) -> set[str]:
    """Who holds a slot."""
    return {holder.name for holder in (await gates.look(GATE, now_ms, waiters=0)).holders}


def a_waiter(order_ms: int, name: str = "run", **changes: object) -> Waiter:
    """Somebody who waits to start."""
    members = {"function_id": "shop-sum", "limit_id": "calls fn", "work": Start(name), "since_ms": NOW_MS}
    return Waiter(Place(order_ms, name), **members | changes)


async def line(gates: Gates, limit: int = 10) -> list[str]:
    """The names of those who wait, first to last."""
    return [waiter.place.waiter for waiter in (await gates.look(GATE, NOW_MS, waiters=limit)).line]


async def waited_at(gates: Gates, limit: int = 10) -> list[str]:
    """All gates with a line, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await gates.gates_waited_at(cursor=cursor, limit=limit)
        found += page
        if cursor is None:
            return found


async def test_no_more_than_the_limit_hold_slots(gates: Gates):
    """Of three who ask for two slots two get one, and the third one changes nothing."""
    assert [await take(gates, name) for name in "abc"] == [True, True, False]
    assert await holders(gates) == {"a", "b"}


async def test_who_holds_a_slot_takes_no_second_one(gates: Gates):
    """A holder that asks again has its slot for the new time, also when all are held."""
    await take(gates, "a", 1)
    assert await take(gates, "a", 1, until_ms=UNTIL_MS + 5)
    assert (await gates.look(GATE, NOW_MS, waiters=0)).holders == (Holder("a", UNTIL_MS + 5),)


async def test_a_slot_given_back_is_free(gates: Gates):
    """What a holder gives back another one takes."""
    await take(gates, "a", 1)
    await gates.give_slot(GATE, "a")
    assert await take(gates, "b", 1)


async def test_a_slot_is_given_back_by_its_holder_alone(gates: Gates):
    """Who holds nothing gives nothing back."""
    await take(gates, "a", 1)
    await gates.give_slot(GATE, "b")
    assert await holders(gates) == {"a"}


async def test_a_slot_whose_time_is_up_is_free(gates: Gates):
    """A holder that died makes way at the end of its time, and not a millisecond before."""
    await take(gates, "dead", 1)
    assert not await take(gates, "b", 1, now_ms=UNTIL_MS - 1, until_ms=UNTIL_MS + 9)
    assert await take(gates, "b", 1, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    assert await holders(gates, UNTIL_MS) == {"b"}


async def test_who_lost_a_slot_asks_like_anybody(gates: Gates):
    """A holder whose time is up, and whose slot another one has, is refused when all are held."""
    await take(gates, "slow", 1)
    await take(gates, "b", 1, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    assert not await take(gates, "slow", 1, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    assert not await gates.renew_slot(GATE, "slow", UNTIL_MS + 9)


async def test_a_slot_without_a_time_is_held_until_it_is_given_back(gates: Gates):
    """The slot of a run stays, however long it takes."""
    await take(gates, "run", 1, until_ms=None)
    assert not await take(gates, "b", 1, now_ms=UNTIL_MS * 2, until_ms=None)
    await gates.give_slot(GATE, "run")
    assert await take(gates, "b", 1, until_ms=None)


async def test_a_renewed_slot_is_held_until_the_new_time(gates: Gates):
    """A renewal counts from then on."""
    await take(gates, "a", 1)
    assert await gates.renew_slot(GATE, "a", UNTIL_MS + 100)
    assert not await take(gates, "b", 1, now_ms=UNTIL_MS + 99, until_ms=UNTIL_MS + 200)
    assert not await gates.renew_slot(GATE, "nobody", UNTIL_MS)


async def test_a_lowered_limit_counts_those_who_hold_more(gates: Gates):
    """While more hold slots than a lowered limit allows, nobody is let in, until fewer do."""
    for number in range(60):
        assert await take(gates, f"h{number}", 60)
    assert not await take(gates, "new", 3)
    for number in range(57):
        await gates.give_slot(GATE, f"h{number}")
    assert not await take(gates, "new", 3)
    await gates.give_slot(GATE, "h57")
    assert await take(gates, "new", 3)
    assert not await take(gates, "newer", 3)
    assert await holders(gates) == {"h58", "h59", "new"}


async def test_two_at_once_never_get_the_last_slot(gates: Gates):
    """Of eight who ask at once for three slots, three have them."""
    taken = await asyncio.gather(*(take(gates, f"h{number}", 3) for number in range(8)))
    assert sum(taken) == 3
    assert len(await holders(gates)) == 3


async def test_gates_know_nothing_of_each_other(gates: Gates):
    """A slot of one gate is none of another one."""
    await take(gates, "a", 1)
    assert await gates.take_slot(OTHER, 1, "b", now_ms=NOW_MS, until_ms=UNTIL_MS)


async def test_a_line_is_in_the_order_of_its_places(gates: Gates):
    """Who was to start first stands first, whoever came first; those of one time by their names."""
    for order_ms, name in ((30, "late"), (10, "early"), (20, "b"), (20, "a")):
        await gates.join_line(GATE, a_waiter(order_ms, name))
    assert await line(gates) == ["early", "a", "b", "late"]
    assert await line(gates, 2) == ["early", "a"]


async def test_a_waiter_is_read_as_it_joined(gates: Gates):
    """Everything about a waiter comes back, of a step too."""
    waiter = a_waiter(10, "run s", work=Execute("run", "s", 3, limited=True), limit_id='calls env "x y"')
    await gates.join_line(GATE, waiter)
    assert (await gates.look(GATE, NOW_MS, waiters=1)).line == (waiter,)


async def test_who_joins_again_has_waited_since_the_first_time(gates: Gates):
    """A waiter stands in line once, with its newest work and its first time."""
    await gates.join_line(GATE, a_waiter(10))
    await gates.join_line(GATE, a_waiter(10, work=Execute("run", "s", 0), since_ms=NOW_MS + 5))
    again = a_waiter(10, work=Execute("run", "s", 0), turn=2)
    assert (await gates.look(GATE, NOW_MS, waiters=5)).line == (again,)


async def test_who_leaves_the_line_is_gone(gates: Gates):
    """Leaving takes out the one place, and does nothing where nobody stands."""
    for order_ms, name in ((10, "a"), (20, "b")):
        await gates.join_line(GATE, a_waiter(order_ms, name))
    await gates.leave_line(GATE, Place(10, "a"))
    await gates.leave_line(GATE, Place(10, "a"))
    assert await line(gates) == ["b"]


async def test_those_ahead_are_counted(gates: Gates):
    """As many as stand before a place, and no more than were asked for."""
    for number in range(5):
        await gates.join_line(GATE, a_waiter(10 + number, f"r{number}"))
    assert await gates.count_ahead(GATE, Place(13, "r3"), 10) == 3
    assert await gates.count_ahead(GATE, Place(13, "r3"), 2) == 2
    assert await gates.count_ahead(GATE, Place(10, "r0"), 10) == 0


@pytest.mark.parametrize("limit", [1, 100])
async def test_gates_with_a_line_are_found(gates: Gates, limit: int):
    """The sweep finds every gate somebody waits at, once, and none whose line was forgotten when it was empty."""
    names = sorted(f"{number:016x}" for number in range(7))
    for name in names:
        await gates.join_line(name, a_waiter(10))
    await gates.leave_line(names[0], Place(10, "run"))
    for name in names[:2]:
        await gates.forget_line(name)
    assert sorted(await waited_at(gates, limit)) == names[1:]


async def test_a_held_gate_without_a_line_is_not_found(gates: Gates):
    """Slots alone are nothing to look after."""
    await take(gates, "a")
    assert await waited_at(gates) == []


async def test_who_waits_for_another_limit_by_now_stays_in_line(gates: Gates):
    """Who is to leave as one that waits for a limit stays when it joined again for another one."""
    first = a_waiter(1, limit_id="halt a")
    await gates.join_line(GATE, first)
    await gates.leave_line(GATE, first.place, "halt b")
    await gates.leave_line(GATE, Place(99, "nobody"), "halt a")
    assert await line(gates) == ["run"]
    await gates.join_line(GATE, a_waiter(1, limit_id="halt b"))
    await gates.leave_line(GATE, first.place, "halt a")
    assert await line(gates) == ["run"]
    await gates.leave_line(GATE, first.place, "halt b")
    assert await line(gates) == []
