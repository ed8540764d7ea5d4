"""Executing a gateway step: ask the function for its opcode, make the request, and give the outcome as a step's.

The key and the headers live in this call alone. A worker that dies before the outcome is committed leaves nothing but a
claim that runs out; the next claimant asks again, and makes the request once more (promise 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from stepwell.errors import EncodingError, WireError
from stepwell.wire.opcodes import Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Reply
from stepwell_orchestrator.engine.calls.gateways import answered, request_of, unanswered
from stepwell_orchestrator.engine.opcodes.gateway import GATEWAYS
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.ports import Fetcher, FetchError
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Gateways:
    """Executes gateway steps."""

    tools: Tools
    caller: Caller
    fetcher: Fetcher

    async def perform(self, run: Run, function: Function | None, step_id: str) -> Reply:
        """Execute one attempt of a claimed step. The reply is as to a targeted call of a step with a body.

        A reply without the step's opcode means that the function has no such step any more. It reports its other
        steps here too; those are the driver's, who hears of them in its own calls.
        """
        reply = await self.caller.ask(run, function, step_id)
        match reply.outcome:
            case Failed() | Finished():
                return reply
            case Instructions(opcodes):
                wanted = [opcode for opcode in opcodes if opcode.id == step_id and opcode.op in GATEWAYS]
            case _:
                assert_never(reply.outcome)
        if not wanted or await self._has_ended(run):
            return Reply(Instructions(()), reply.request_version)
        outcome = await self._fetch(wanted[0], run, run.entries[step_id].attempt)
        return Reply(outcome, reply.request_version)

    async def _has_ended(self, run: Run) -> bool:
        """Whether the run was cancelled while the function was asked: no request begins after that (promise 9)."""
        header = await self.tools.journal.get_header(run.header.run_id)
        return header is None or header.outcome is not None

    async def _fetch(self, opcode: Opcode, run: Run, attempt: int) -> Instructions:
        try:
            request = request_of(opcode, run.header.run_id, attempt)
            fetched = await self.fetcher.fetch(request)
        except FetchError as error:
            return unanswered(opcode, str(error), final=error.final)
        except (WireError, EncodingError) as error:
            return unanswered(opcode, f"the step cannot be carried out: {error}", final=True)
        return answered(opcode, fetched, bytes_max=self.tools.limits.step_bytes, now_ms=self.tools.clock.now_ms())
