"""Functions that wait in every style Python has, each with its result; none of them does anything but steps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio

from tests.adapter.executing.support import give


async def anyio_group(ctx: Any) -> Any:
    got: list[int] = []

    async def branch(number: int) -> None:
        got.append(await ctx.step.run(f"s{number}", give, number))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(branch, number)
    return sorted(got)


async def anyio_started(ctx: Any) -> Any:
    async def serve(*, task_status: Any) -> None:
        task_status.started(await ctx.step.run("ready", give, "up"))
        await ctx.step.run("served", give, 1)

    async with anyio.create_task_group() as group:
        return await group.start(serve)


async def anyio_memory_stream(ctx: Any) -> Any:
    sending, receiving = anyio.create_memory_object_stream[int](10)

    async def produce() -> None:
        async with sending:
            for number in range(2):
                await sending.send(await ctx.step.run(f"p{number}", give, number))

    async with anyio.create_task_group() as group, receiving:
        group.start_soon(produce)
        return [number async for number in receiving]


async def anyio_event(ctx: Any) -> Any:
    ready = anyio.Event()

    async def set_it() -> None:
        await ctx.step.run("set", give, 1)
        ready.set()

    async with anyio.create_task_group() as group:
        group.start_soon(set_it)
        await ready.wait()
        return await ctx.step.run("after", give, 2)


async def anyio_limiter(ctx: Any) -> Any:
    limiter, got = anyio.CapacityLimiter(1), []

    async def branch(number: int) -> None:
        async with limiter:
            got.append(await ctx.step.run(f"l{number}", give, number))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(branch, number)
    return sorted(got)


async def own_future(ctx: Any) -> Any:
    done = asyncio.get_running_loop().create_future()

    async def resolve() -> None:
        done.set_result(await ctx.step.run("p", give, 1))

    task = asyncio.create_task(resolve())
    result = await done
    await task
    return result


async def done_callback(ctx: Any) -> Any:
    done = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(ctx.step.run("p", give, 1))
    task.add_done_callback(lambda finished: finished.cancelled() or done.set_result(finished.result()))
    return await done


async def event(ctx: Any) -> Any:
    ready = asyncio.Event()

    async def set_it() -> None:
        await ctx.step.run("set", give, 1)
        ready.set()

    async def wait() -> Any:
        await ready.wait()
        return await ctx.step.run("after", give, 2)

    return (await asyncio.gather(set_it(), wait()))[1]


async def condition(ctx: Any) -> Any:
    changed, items = asyncio.Condition(), []

    async def produce() -> None:
        for number in range(2):
            items.append(await ctx.step.run(f"p{number}", give, number))
            async with changed:
                changed.notify_all()

    async def consume() -> Any:
        async with changed:
            await changed.wait_for(lambda: len(items) == 2)
        return items

    return (await asyncio.gather(produce(), consume()))[1]


async def queue(ctx: Any) -> Any:
    waiting: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for number in range(3):
            await waiting.put(await ctx.step.run(f"p{number}", give, number))

    async def consume() -> Any:
        return [await ctx.step.run(f"c{number}", give, await waiting.get()) for number in range(3)]

    return (await asyncio.gather(produce(), consume()))[1]


async def semaphore(ctx: Any) -> Any:
    limit = asyncio.Semaphore(2)

    async def branch(number: int) -> Any:
        async with limit:
            return await ctx.step.run(f"s{number}", give, number)

    return await asyncio.gather(*map(branch, range(4)))


async def async_generator(ctx: Any) -> Any:
    async def numbers() -> AsyncIterator[Any]:
        for number in range(3):
            yield await ctx.step.run(f"g{number}", give, number)

    async with contextlib.aclosing(numbers()) as each:
        return [number async for number in each]


async def generators_side_by_side(ctx: Any) -> Any:
    async def numbers(name: str) -> AsyncIterator[Any]:
        for number in range(2):
            yield await ctx.step.run(f"{name}{number}", give, number)

    async def total(name: str) -> int:
        return sum([number async for number in numbers(name)])

    return await asyncio.gather(total("a"), total("b"))


async def barrier(ctx: Any) -> Any:
    together = asyncio.Barrier(2)

    async def branch(name: str) -> Any:
        await ctx.step.run(name, give, name)
        await together.wait()
        return await ctx.step.run(f"{name}-after", give, name)

    return await asyncio.gather(branch("a"), branch("b"))


STYLES: dict[Callable[[Any], Awaitable[Any]], Any] = {
    anyio_group: [0, 1, 2],
    anyio_started: "up",
    anyio_memory_stream: [0, 1],
    anyio_event: 2,
    anyio_limiter: [0, 1, 2],
    own_future: 1,
    done_callback: 1,
    event: 2,
    condition: [0, 1],
    queue: [0, 1, 2],
    semaphore: [0, 1, 2, 3],
    async_generator: [0, 1, 2],
    generators_side_by_side: [1, 1],
    barrier: ["a", "b"],
}
