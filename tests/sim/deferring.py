"""Functions that defer another one beside whatever they do, and take some of it back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.encoding import decode, encode
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.ports import HttpReply
from tests.sim.scripted import Entered, Script, ScriptedStep, Stage
from tests.sim.steps import Do, Memos, Step

DEFERRED_EVENT: Final = "inngest/deferred.schedule"


@dataclass(frozen=True, slots=True)
class Deferring:
    """A script that defers ``function`` once for each name, one more with each step that is done; it aborts some.

    A step's body defers too, and so steps that are executed at once may report the same deferral.
    """

    script: Script
    function: str
    names: tuple[str, ...]
    aborted: frozenset[str]

    @property
    def steps(self) -> Sequence[Step]:
        """The script's own: what is deferred is no step."""
        return self.script.steps

    @property
    def naps_ms(self) -> int:
        """The script's own."""
        return self.script.naps_ms

    @property
    def actions(self) -> int:
        """The script's own."""
        return self.script.actions

    def expected(self, memos: Memos, max_attempts: int) -> Any:
        """What the script returns."""
        return self.script.expected(memos, max_attempts)

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The script's reply, and with it what the server does not know to be deferred, or aborted."""
        reply = await self.script.answer(request, target, entered)
        returns = reply.status == 200
        count = len(request.steps) + (1 if target == DISCOVERY_STEP_ID else 2)
        opcodes = self._opcodes(request, len(self.names) if returns else count, returns=returns)
        if not opcodes or not (returns or reply.status == 206):
            return reply
        body = decode(reply.body)
        if returns:
            return replace(reply, status=206, body=encode([*opcodes, _complete(body)]))
        return replace(reply, body=encode([*body, *opcodes]))

    def _opcodes(self, request: CallRequest, count: int, *, returns: bool) -> list[dict[str, Any]]:
        opcodes: list[dict[str, Any]] = []
        for name in self.names[:count]:
            known = request.defers.get(hash_step_id(name))
            if known is None:
                opcodes.append(self._add(name))
            if name in self.aborted and (known or (known is None and returns)):
                opcodes.append(_abort(name))
        return opcodes

    def _add(self, name: str) -> dict[str, Any]:
        opts = {"fn_slug": self.function, "input": {"name": name}}
        return {"op": "DeferAdd", "id": hash_step_id(name), "name": name, "opts": opts}


def draw_deferring(chance: random.Random, script: Script, function: str) -> Deferring:
    """The script with one to three deferrals."""
    names = tuple(f"later{number}" for number in range(chance.randint(1, 3)))
    return Deferring(script, function, names, frozenset(name for name in names if chance.random() < 0.3))


def deferred_script() -> Script:
    """What is deferred: one step."""
    return Script((Stage("join", (ScriptedStep(Do("work")),)),))


def _abort(name: str) -> dict[str, Any]:
    opts = {"target_hashed_id": hash_step_id(name), "id": name}
    return {"op": "DeferAbort", "id": hash_step_id(f"{name}:abort"), "name": name, "opts": opts}


def _complete(result: Any) -> dict[str, Any]:
    return {"op": "RunComplete", "id": hash_step_id("complete"), "data": result}
