"""Many calls at once, but not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

AT_ONCE: Final = 10


async def gather_limited(
    call: Callable[[ArgumentT], Awaitable[ResultT]], arguments: Iterable[ArgumentT], *, at_once: int = AT_ONCE
) -> list[ResultT]:
    """Call for each argument, with at most ``at_once`` calls under way. Returns the results in the order of arguments.

    No call is left behind: when some fail, the first failure in order is raised after all calls have ended.
    """
    turns = asyncio.Semaphore(at_once)

    async def in_turn(argument: ArgumentT) -> ResultT:
        async with turns:
            return await call(argument)

    calls = [in_turn(argument) for argument in arguments]
    if len(calls) == 1:
        return [await calls[0]]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
