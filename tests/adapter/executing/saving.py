"""A server that takes checkpoints, and answers them as it is told to."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from stepwell.authoring.checkpointing import Checkpointing, Pace
from stepwell.executing.saving import Save, Saver
from stepwell.values.checks import Field
from stepwell.wire.checkpoint import Checkpoint, decode_checkpoint
from stepwell.wire.encoding import decode, encode
from stepwell.wire.memo import value_memo
from stepwell.wire.opcodes import Opcode
from tests.adapter.executing.support import NOW_MS, Fn, Server, label, runtime

LOST = "lost"
"""An answer that never arrives, to a checkpoint that was taken."""

MAY_SAVE = {"fn_id": "fn-1", "qi_id": "item-1", "request_id": "call-1", "generation_id": 1}


def pace(**options: Any) -> Pace:
    """How ``stepwell.Checkpointing(...)`` saves."""
    return Checkpointing(**options).pace(Field("fn", "checkpoint"))


@dataclass
class Clock:
    """The time, which moves when somebody sleeps or is told to take a while."""

    at_ms: int = NOW_MS
    slept: list[int] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_ms(self, delay_ms: int) -> None:
        self.slept.append(delay_ms)
        self.at_ms += delay_ms


@dataclass
class Saves:
    """The checkpoint endpoint: the answers it gives in order, 200 when there is none left, and what it was sent.

    ``asked`` is set by the first.
    """

    answers: list[Any] = field(default_factory=list)
    otherwise: Any = 200
    clock: Clock = field(default_factory=Clock)
    taken: Callable[[Opcode], None] | None = None
    sent: list[Checkpoint] = field(default_factory=list)
    connections: int = 0
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def labels(self) -> list[list[str]]:
        """The steps of each checkpoint that arrived."""
        return [[label(opcode) for opcode in checkpoint.steps] for checkpoint in self.sent]

    async def save(self, checkpoint: Checkpoint) -> int:
        """Take a checkpoint, over the wire and back."""
        self.sent.append(decode_checkpoint(decode(encode(checkpoint.encode())), checkpoint.run_id))
        self.asked.set()
        answer = self.answers.pop(0) if self.answers else self.otherwise
        if isinstance(answer, Exception):
            raise answer
        if answer in (200, LOST) and self.taken is not None:
            for opcode in self.sent[-1].steps:
                self.taken(opcode)
        if answer == LOST:
            raise ConnectionError("the connection was closed")
        return int(answer)

    def saver(self) -> Saver:
        """What saves here."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[Save]:
            self.connections += 1
            yield self.save

        return Saver(connect, self.clock.now_ms, self.clock.sleep_ms, jitter_ms=lambda bound_ms: bound_ms - 1)


async def carried_on(handler: Callable[[Any], Any], saves: Saves | None = None, **options: Any) -> Server:
    """Drive a function to its end on a server that takes checkpoints."""
    saves = saves or Saves()
    changes = {"saver": saves.saver(), "now_ms": saves.clock.now_ms} | options.pop("runtime", {})
    function = Fn(handler, pace=options.pop("pace", pace()), retries=options.pop("retries", 4))
    server = Server(function, context=MAY_SAVE | options.pop("context", {}), runtime=runtime(**changes), **options)

    def taken(opcode: Opcode) -> None:
        if opcode.id not in server.memos:
            server.labels[opcode.id] = label(opcode)
            server.memos[opcode.id] = value_memo(opcode.data)
            server.stack.append(opcode.id)

    saves.taken = taken
    await server.run()
    return server
