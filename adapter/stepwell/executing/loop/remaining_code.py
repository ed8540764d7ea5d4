"""What the code of a suspended frame has left to do, read from its instructions."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Final

_SUSPENDS: Final = frozenset({"SEND", "YIELD_VALUE", "GET_AWAITABLE", "GET_ANEXT", "BEFORE_ASYNC_WITH"})
_ENDS: Final = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"})
_JUMPS: Final = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})


def returns_at_once(frame: FrameType | None) -> bool:
    """Whether the function in ``frame`` returns what its current call returns and does nothing more."""
    return frame is not None and _returns_after(frame.f_code, frame.f_lasti)


def waits_again(frame: FrameType | None) -> bool:
    """Whether the coroutine in ``frame`` may wait for anything more once its current await has given a result.

    What happens when the await raises does not count. True of a frame that cannot be read.
    """
    return frame is None or _suspends_after(frame.f_code, frame.f_lasti)


@functools.lru_cache(maxsize=4096)
def _returns_after(code: CodeType, offset: int) -> bool:
    following = (each.opname for each in dis.get_instructions(code) if each.offset > offset)
    return next(following, "") == "RETURN_VALUE"


@functools.lru_cache(maxsize=4096)
def _suspends_after(code: CodeType, offset: int) -> bool:
    instructions = list(dis.get_instructions(code))
    at = {each.offset: index for index, each in enumerate(instructions)}
    awaits = [each for each in instructions if each.opname == "SEND" and each.offset <= offset < each.argval]
    if not awaits:
        return True
    ahead, seen = [at[awaits[-1].argval]], set[int]()
    while ahead:
        index = ahead.pop()
        if index in seen:
            continue
        seen.add(index)
        if instructions[index].opname in _SUSPENDS:
            return True
        ahead.extend(_successors(instructions, index, at))
    return False


def _successors(instructions: list[dis.Instruction], index: int, at: dict[int, int]) -> Iterator[int]:
    instruction = instructions[index]
    if instruction.opname in _ENDS:
        return
    if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
        yield at[instruction.argval]
    if instruction.opname not in _JUMPS:
        yield index + 1
