"""Functions of every shape asyncio knows, for laws that must hold for all of them.

Each decides by its event and its steps alone. Those in RACES may finish differently when steps finish in another
order; the others may not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from stepwell.errors import StepError
from stepwell.steps.calls import StepOptions
from tests.adapter.executing.support import fail, give, io


async def sequence(ctx: Any) -> Any:
    first = await ctx.step.run("a", give, 1)
    await ctx.step.sleep("nap", "30s")
    return [first, await ctx.step.run("b", give, first + 1)]


async def loop(ctx: Any) -> Any:
    return [await ctx.step.run("same", give, number) for number in range(4)]


async def gathered(ctx: Any) -> Any:
    together = await asyncio.gather(*(ctx.step.run(f"p{n}", give, n) for n in range(4)))
    return [together, await ctx.step.run("after", give, "done")]


async def nested_gather(ctx: Any) -> Any:
    step = ctx.step
    pair = asyncio.gather(step.run("a", give, "a"), step.run("b", give, "b"))
    return await asyncio.gather(pair, step.sleep("nap", 1), step.run("c", give, "c"))


async def chains(ctx: Any) -> Any:
    async def chain(name: str) -> list[Any]:
        return [await ctx.step.run(f"{name}{n}", give, f"{name}{n}") for n in range(3)]

    return await asyncio.gather(chain("p"), chain("q"), ctx.step.run("r", give, "r"))


async def shared_ids(ctx: Any) -> Any:
    async def branch(name: str) -> list[Any]:
        return [await ctx.step.run("shared", give, name), await ctx.step.run("own", give, name)]

    return await asyncio.gather(branch("p"), branch("q"), branch("r"))


async def task_group(ctx: Any) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ctx.step.run(name, give, name)) for name in "abc"]
        inside = await ctx.step.run("inside", give, "i")
    return [inside, *(task.result() for task in tasks)]


async def await_later(ctx: Any) -> Any:
    first, second = ctx.step.run("first", give, 1), ctx.step.run("second", give, 2)
    third = await ctx.step.run("third", give, 3)
    return [await second, await first, third, await second]


async def tasks_ahead(ctx: Any) -> Any:
    async def branch() -> Any:
        for _ in range(5):
            await asyncio.sleep(0)
        return [await ctx.step.run("b1", give, 1), await ctx.step.run("b2", give, 2)]

    task = asyncio.create_task(branch())
    return [await ctx.step.run("own", give, 0), await task]


async def spins(ctx: Any) -> Any:
    seen = []
    for number in range(3):
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append(await ctx.step.run("spin", give, number))
    return seen


async def waits_outside(ctx: Any) -> Any:
    async def branch(name: str) -> list[Any]:
        await io()
        first = await ctx.step.run(f"{name}1", give, name)
        await asyncio.to_thread(str, name)
        return [first, await ctx.step.run(f"{name}2", give, name)]

    return await asyncio.gather(branch("p"), branch("q"))


async def semaphore(ctx: Any) -> Any:
    slots = asyncio.Semaphore(2)

    async def branch(n: int) -> Any:
        async with slots:
            return await ctx.step.run(f"s{n}", give, n)

    return await asyncio.gather(*(branch(n) for n in range(5)))


async def hand_over(ctx: Any) -> Any:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    ready = asyncio.Event()

    async def produce() -> None:
        await queue.put(await ctx.step.run("make", give, "made"))
        ready.set()

    async def consume() -> Any:
        await ready.wait()
        return await ctx.step.run("use", give, await queue.get())

    return (await asyncio.gather(consume(), produce()))[0]


async def shielded(ctx: Any) -> Any:
    return await asyncio.shield(ctx.step.run("kept", give, "k"))


async def timed(ctx: Any) -> Any:
    try:
        first = await asyncio.wait_for(ctx.step.run("timed", give, "t"), timeout=60)
    except TimeoutError:
        first = "late"
    return [first, await ctx.step.run("after", give, first)]


async def caught(ctx: Any) -> Any:
    try:
        await ctx.step.run(StepOptions("bad", retries=0), fail)
    except StepError as error:
        return [error.message, await ctx.step.run("recover", give, "ok")]


async def collected(ctx: Any) -> Any:
    bad = ctx.step.run(StepOptions("bad", retries=0), fail)
    results = await asyncio.gather(bad, ctx.step.run("good", give, 1), return_exceptions=True)
    return [str(item) for item in results]


async def first_of_two(ctx: Any) -> Any:
    tasks = [asyncio.create_task(ctx.step.run(name, give, name), name=name) for name in "ab"]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    winner = done.pop().result()
    return [winner, await ctx.step.run(f"after-{winner}", give, winner)]


async def first_of_chains(ctx: Any) -> Any:
    async def chain(name: str) -> str:
        await ctx.step.run(f"{name}1", give, name)
        return str(await ctx.step.run(f"{name}2", give, name))

    tasks = [asyncio.ensure_future(chain(name)) for name in "abc"]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    return [done.pop().result(), await ctx.step.run("after", give, 1)]


async def as_they_come(ctx: Any) -> Any:
    order = []
    for each in asyncio.as_completed([ctx.step.run(name, give, name) for name in "abc"]):
        name = await each
        order.append(await ctx.step.run(f"then-{name}", give, name))
    return order


async def first_failure(ctx: Any) -> Any:
    bad = ctx.step.run(StepOptions("bad", retries=0), fail)
    try:
        return await asyncio.gather(bad, ctx.step.run("good", give, 1), ctx.step.sleep("nap", 1))
    except StepError as error:
        return [error.message, await ctx.step.run("undo", give, "undone")]


async def group_failure(ctx: Any) -> Any:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step.run("good", give, 1))
            group.create_task(ctx.step.run(StepOptions("bad", retries=0), fail))
    except* StepError:
        pass
    return await ctx.step.run("after", give, "after")


def plain(ctx: Any) -> Any:
    first = ctx.step.run("a", give, 1)
    ctx.step.sleep("nap", 1)
    return [first, ctx.step.run("b", lambda: first + 1)]


def plain_parallel(ctx: Any) -> Any:
    names = "abc"
    together = ctx.step.parallel([lambda name=name: ctx.step.run(name, give, name) for name in names])
    return [together, ctx.step.run("after", give, "done")]


def plain_branches(ctx: Any) -> Any:
    def chain(name: str) -> list[Any]:
        return [ctx.step.run(f"{name}1", give, name), ctx.step.run(f"{name}2", give, name)]

    def nested() -> list[Any]:
        return list(ctx.step.parallel(lambda: ctx.step.run("n1", give, 1), lambda: chain("m")))

    return ctx.step.parallel(lambda: chain("p"), nested)


ORDERLY: tuple[Callable[[Any], Any], ...] = (
    sequence,
    loop,
    gathered,
    nested_gather,
    chains,
    shared_ids,
    task_group,
    await_later,
    tasks_ahead,
    spins,
    waits_outside,
    semaphore,
    hand_over,
    shielded,
    caught,
    collected,
    plain,
    plain_parallel,
    plain_branches,
)
RACES: tuple[Callable[[Any], Any], ...] = (
    timed,
    first_of_two,
    first_of_chains,
    as_they_come,
    first_failure,
    group_failure,
)
