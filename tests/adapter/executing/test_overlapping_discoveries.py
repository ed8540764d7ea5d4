"""Functions under a server whose discoveries overlap: each body once, and the run ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stepwell.errors import StepError
from stepwell.steps.calls import StepOptions
from tests.adapter.executing import corpus
from tests.adapter.executing.overlapping import finish_overlapping
from tests.adapter.executing.support import call, data, fail, give, modes, ops, result

Group = Callable[[Any, Callable[[str], Awaitable[Any]]], Awaitable[Any]]
SEEDS = (None, *range(12))


class Bodies:
    """A function that begins with a group of steps, and goes on with a step, a sleep and a step; counts its bodies."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.ran: Counter[str] = Counter()

    async def handler(self, ctx: Any) -> str:
        def step(name: str) -> Awaitable[Any]:
            return ctx.step.run(name, self._body, name)  # type: ignore[no-any-return]

        await self.group(ctx, step)
        await step("after")
        await ctx.step.sleep("nap", "1s")
        await step("last")
        return "ok"

    async def _body(self, name: str) -> str:
        self.ran[name] += 1
        return name


async def flat(_ctx: Any, step: Any) -> None:
    await asyncio.gather(*(step(f"n{n}") for n in range(6)))


async def nested(_ctx: Any, step: Any) -> None:
    async def pair(n: int) -> Any:
        first, second = await asyncio.gather(step(f"n{n}"), step(f"m{n}"))
        return first + second

    await asyncio.gather(*(pair(n) for n in range(3)))


async def invokes(ctx: Any, _step: Any) -> None:
    await asyncio.gather(*(ctx.step.invoke(f"i{n}", function="dp3-leaf") for n in range(3)))


async def signals(ctx: Any, _step: Any) -> None:
    await asyncio.gather(*(ctx.step.wait_for_signal(f"s{n}", signal=f"s{n}", timeout="1h") for n in range(3)))


async def task_group(_ctx: Any, step: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(step(f"n{n}"))


async def waited(_ctx: Any, step: Any) -> None:
    await asyncio.wait([asyncio.create_task(step(f"n{n}")) for n in range(3)])


async def one_task(_ctx: Any, step: Any) -> None:
    await asyncio.create_task(step("n0"))


async def branches(_ctx: Any, step: Any) -> None:
    async def branch(n: int) -> str:
        name = await step(f"n{n}")
        return f"{name}!"

    await asyncio.gather(*(branch(n) for n in range(3)))


async def first_completed(_ctx: Any, step: Any) -> None:
    tasks = [asyncio.create_task(step(f"n{n}")) for n in range(3)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def losers_cancelled(_ctx: Any, step: Any) -> None:
    tasks = [asyncio.create_task(step(f"n{n}")) for n in range(3)]
    _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()


async def awaited_later(_ctx: Any, step: Any) -> None:
    first, second, third = step("n0"), step("n1"), step("n2")
    await first
    await step("between")
    await second
    await third


async def chains(_ctx: Any, step: Any) -> None:
    async def chain(n: int) -> None:
        await step(f"n{n}")
        await step(f"m{n}")

    await asyncio.gather(*(chain(n) for n in range(3)))


async def timed(_ctx: Any, step: Any) -> None:
    try:
        await asyncio.wait_for(step("n0"), timeout=60)
    except TimeoutError:
        await step("late")


async def one_fails(ctx: Any, step: Any) -> None:
    bad = ctx.step.run(StepOptions("bad", retries=0), fail)
    try:
        await asyncio.gather(step("n0"), bad, step("n1"))
    except StepError:
        await step("undo")


async def failures_kept(ctx: Any, step: Any) -> None:
    bad = [ctx.step.run(StepOptions(name, retries=0), fail) for name in ("bad", "worse")]
    await asyncio.gather(step("n0"), *bad, step("n1"), return_exceptions=True)


async def race_then_join(ctx: Any, step: Any) -> None:
    await first_completed(ctx, step)
    await asyncio.gather(step("j0"), step("j1"), ctx.step.sleep("jn", "1s"))


async def signal_of_a_later_step(ctx: Any, step: Any) -> None:
    answer = ctx.step.wait_for_signal("answer", signal="s", timeout="1h")
    await step("ask")
    await step("asked")
    await answer


JOINED: dict[Group, int] = {
    flat: 6,
    nested: 6,
    invokes: 0,
    signals: 0,
    task_group: 3,
    waited: 3,
    branches: 3,
}
"""Groups that are joined, and how many calls their steps take beside the discovery that finds them."""

RACES: tuple[Group, ...] = (
    first_completed,
    losers_cancelled,
    awaited_later,
    chains,
    timed,
    one_fails,
    race_then_join,
    signal_of_a_later_step,
)


@pytest.mark.parametrize("group", [*JOINED, *RACES, one_task, failures_kept])
async def test_every_body_runs_once_and_the_run_ends(group: Group) -> None:
    """Whatever overlaps, nothing behind a group is executed twice, and the run is called until it is complete."""
    for seed in SEEDS:
        function = Bodies(group)
        server = await finish_overlapping(function.handler, seed=seed)

        assert result(server.ended) == "ok"
        assert set(function.ran.values()) == {1}, (seed, function.ran)


@pytest.mark.parametrize(("group", "calls"), JOINED.items())
async def test_a_joined_group_is_discovered_once(group: Group, calls: int) -> None:
    """It is told as joined, whatever it joins: its steps take a call each, and one discovery follows the last."""
    for seed in SEEDS:
        server = await finish_overlapping(Bodies(group).handler, seed=seed)

        assert set(server.modes.values()) == {None}
        # Around it are five: to find the group, for "after", the sleep, "last" and the end.
        assert len(server.calls) == calls + 5


async def test_after_a_race_steps_are_planned() -> None:
    """A call cannot know whether it is the only one: it plans, which several may do of one step, and says race."""
    memos = {"n1": data(1), "n0": data(0), "n2": data(2)}

    outcome = await call(Bodies(first_completed).handler, memos)

    assert (ops(outcome), modes(outcome)) == ([("StepPlanned", "after")], {"race"})


async def test_a_server_of_our_own_makes_one_discovery_at_a_time() -> None:
    """It says so, and the step behind a race is executed in place."""
    memos = {"n1": data(1), "n0": data(0), "n2": data(2)}

    outcome = await call(Bodies(first_completed).handler, memos, from_stepwell=True)

    assert ops(outcome) == [("StepRun", "after")]


@pytest.mark.parametrize(("ours", "mode"), [(True, "race"), (False, None)])
async def test_an_invocation_that_may_raise_is_joined_where_discoveries_overlap(ours: bool, mode: str | None) -> None:
    """A failure is seen at once where that costs nothing, and with the last of the group elsewhere."""
    assert modes(await call(Bodies(invokes).handler, from_stepwell=ours)) == {mode}


def plain_chains(ctx: Any) -> Any:
    """A function whose branches each go on after their first step, and a step behind them."""
    together = ctx.step.parallel([lambda name=name: _plain_chain(ctx, name) for name in "pq"])
    return [*together, ctx.step.run("after", give, "z")]


def _plain_chain(ctx: Any, name: str) -> Any:
    first = ctx.step.run(f"{name}1", give, f"{name}1")
    return [first, ctx.step.run(f"{name}2", give, f"{name}2")]


@pytest.mark.parametrize("handler", [plain_chains, corpus.plain_parallel])
async def test_plain_functions_too(handler: Callable[[Any], Any]) -> None:
    """Branches of step.parallel that go on by themselves are a race like any other."""
    for seed in SEEDS:
        server = await finish_overlapping(handler, seed=seed)

        done = [name for name in server.calls if name != "discover"]
        assert len(done) == len(set(done))
        assert server.labels[server.stack[-1]] == "after"


@pytest.mark.parametrize("handler", corpus.ORDERLY)
async def test_the_corpus_ends_as_it_does_elsewhere(handler: Callable[[Any], Any]) -> None:
    """Every style of function that decides by its steps alone ends, with the same result under every order."""
    expected = result((await finish_overlapping(handler)).ended)
    for seed in range(4):
        assert result((await finish_overlapping(handler, seed=seed)).ended) == expected


async def test_a_lookback_that_the_server_does_not_know_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The wait would end at its timeout in silence; a server of our own knows it."""

    async def handler(ctx: Any) -> None:
        await ctx.step.wait_for_event("told-once", event="a/b", timeout="1h", lookback="run")

    await call(handler, from_stepwell=True)
    assert caplog.messages == []
    await call(handler)
    await call(handler)

    (message,) = caplog.messages
    assert message.startswith('function "app-fn", step "told-once": this server does not know lookback')
