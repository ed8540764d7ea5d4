"""The flows of the official Python package whose request counts its own tests fix (protocol 5.6), and a large one."""

from __future__ import annotations

from typing import Any

from tests.interop.official import inngest

MEGABYTE = 1024 * 1024


def _on(name: str) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=f"official/{name}")


def functions(client: inngest.Inngest) -> list[Any]:
    """Two chains side by side in either mode, two steps in a row, ten steps of a megabyte."""

    async def one() -> int:
        return 1

    async def chain(step: inngest.Step, name: str) -> object:
        await step.run(f"{name}1", one)
        return await step.run(f"{name}2", one)

    def both(step: inngest.Step) -> Any:
        return (lambda: chain(step, "a"), lambda: chain(step, "b"))

    @client.create_function(fn_id="chains", trigger=_on("chains"))
    async def chains(ctx: inngest.Context) -> object:
        return list(await ctx.group.parallel(both(ctx.step)))

    @client.create_function(fn_id="racing", trigger=_on("racing"))
    async def racing(ctx: inngest.Context) -> object:
        return list(await ctx.group.parallel(both(ctx.step), parallel_mode=inngest.ParallelMode.RACE))

    @client.create_function(fn_id="two", trigger=_on("two"))
    async def two(ctx: inngest.Context) -> object:
        return await chain(ctx.step, "a")

    @client.create_function(fn_id="big", trigger=_on("big"))
    async def big(ctx: inngest.Context) -> object:
        async def megabyte() -> str:
            return "x" * MEGABYTE

        return [len(await ctx.step.run(f"step-{n}", megabyte)) for n in range(10)]

    return [chains, racing, two, big]
