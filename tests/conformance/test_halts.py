from __future__ import annotations

import asyncio

from stepwell_orchestrator.model.flow import Halt, Halted, HaltScope
from stepwell_orchestrator.ports import Registry
from tests.conformance.test_registry import MAIL, SHOP, a_function

FUNCTION, APP = HaltScope("function", "shop-a"), HaltScope("app", "shop")
PAUSED = Halt("s1", "c1", 10, by="ada", reason="the bank is down")
DRAINING = Halt("s2", None, 20)


async def test_nothing_stands_still_at_first(registry: Registry):
    """Neither before the first app is registered nor after that."""
    assert (await registry.halts()).by_scope == {}
    await registry.put_app(SHOP, [a_function("shop-a", "x")])
    assert (await registry.halts_now()).by_scope == {}


async def test_a_halt_comes_back_as_it_was_put(registry: Registry):
    """Every member survives storage, of several halts at once, and is known to both reads."""
    assert await registry.put_halt(FUNCTION, PAUSED, instead_of=None) is True
    assert await registry.put_halt(APP, DRAINING, instead_of=None) is True
    for halts in (await registry.halts(), await registry.halts_now()):
        assert halts.by_scope == {FUNCTION: PAUSED, APP: DRAINING}


async def test_a_halt_is_replaced_and_lifted(registry: Registry):
    """Another halt stands in place of the one before; a lifted one is gone, and the others are not."""
    await registry.put_halt(FUNCTION, PAUSED, instead_of=None)
    await registry.put_halt(APP, PAUSED, instead_of=None)
    assert await registry.put_halt(FUNCTION, DRAINING, instead_of=PAUSED) is True
    assert (await registry.halts_now()).by_scope == {FUNCTION: DRAINING, APP: PAUSED}
    assert await registry.put_halt(FUNCTION, None, instead_of=DRAINING) is True
    assert (await registry.halts()).by_scope == {APP: PAUSED}


async def test_a_halt_that_is_another_one_by_now_stays(registry: Registry):
    """Who read another halt than there is changes nothing, whether one was put, replaced or lifted."""
    await registry.put_halt(FUNCTION, PAUSED, instead_of=None)
    assert await registry.put_halt(FUNCTION, DRAINING, instead_of=None) is False
    assert await registry.put_halt(FUNCTION, None, instead_of=DRAINING) is False
    assert (await registry.halts_now()).by_scope == {FUNCTION: PAUSED}
    await registry.put_halt(FUNCTION, None, instead_of=PAUSED)
    assert await registry.put_halt(FUNCTION, DRAINING, instead_of=PAUSED) is False
    assert (await registry.halts_now()).by_scope == {}


async def test_of_two_at_once_one_is_put(registry: Registry):
    """Of two that put a halt of one thing at the same time one is told so, and of different things both."""
    both = await asyncio.gather(
        registry.put_halt(FUNCTION, PAUSED, instead_of=None), registry.put_halt(FUNCTION, DRAINING, instead_of=None)
    )
    assert sorted(both) == [False, True]
    others = [HaltScope("app", f"app{number}") for number in range(5)]
    assert all(await asyncio.gather(*(registry.put_halt(one, PAUSED, instead_of=None) for one in others)))
    assert (await registry.halts_now()).by_scope.keys() == {FUNCTION, *others}


async def test_a_registration_lifts_nothing(registry: Registry):
    """Apps may be put, replaced and removed, first of all or later: what stands still goes on standing."""
    await registry.put_halt(APP, PAUSED, instead_of=None)
    assert await registry.put_app(SHOP, [a_function("shop-a", "x")]) is True
    assert await registry.put_app(MAIL, []) is True
    assert await registry.remove_app(SHOP.url) is True
    assert (await registry.halts_now()).by_scope == {APP: PAUSED}
    assert await registry.list_apps() == [MAIL]


async def test_what_a_halt_keeps_a_function_from(registry: Registry):
    """A pause closes starts and calls, a drain starts alone; a function's own halt comes before its app's."""
    await registry.put_halt(APP, PAUSED, instead_of=None)
    await registry.put_halt(FUNCTION, DRAINING, instead_of=None)
    halts = await registry.halts_now()
    assert halts.closing(Halted.STARTS, "shop-a", "shop") == "s2"
    assert halts.closing(Halted.CALLS, "shop-a", "shop") == "c1"
    assert halts.closing(Halted.STARTS, "shop-b", "shop") == "s1"
    assert halts.closing(Halted.CALLS, "mail-a", "mail") is None
    assert [halts.in_force(closing) for closing in ("s1", "c1", "s2", "c2")] == [True, True, True, False]
