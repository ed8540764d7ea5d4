"""A deployment whose processes die between any two calls: everything in one event loop, on one clock, with no threads
but the functions' own.

``Stage`` is what stands for AWS around the processes: it hands out messages, fires schedules, invokes the function, and
puts a new process in the place of one that died.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from stepwell_orchestrator.aws.backend import Services
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.aws.invoke_lambda import WholeReplies
from stepwell_orchestrator.aws.service import Service, inline
from stepwell_orchestrator.entry.aws.assemble import Deployment
from stepwell_orchestrator.entry.aws.settings import DeployedSettings
from stepwell_orchestrator.entry.queue import Batches
from stepwell_orchestrator.entry.sweep import sweeping
from stepwell_orchestrator.entry.sync import Registration
from stepwell_orchestrator.limits import SWEEP_MS
from tests.orchestrator.aws.account import QUEUE_FUNCTION_MS, SIGNING_KEY, SYNC_FUNCTION_MS, Lambdas, context
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.receiving import Record, done, take_records

T = TypeVar("T")

SWEPT: Final = 2
"""How many sweeps look after what a dead process left behind, one a minute."""


class DiedError(Exception):
    """The process is gone."""


class Fate:
    """At which boundary a process dies (counted from 1; None: never): before a call, or before it answers its caller.

    As nothing happens between two calls of one process, to die before one of them is to die after the one before it.
    """

    def __init__(self, at: int | None) -> None:
        self.boundaries: list[str] = []
        self.death = asyncio.Event()
        self._at = at

    async def boundary(self, what: str) -> None:
        """Pass a boundary alive, or never."""
        if not self.death.is_set():
            self.boundaries.append(what)
            if len(self.boundaries) == self._at:
                self.death.set()
        if self.death.is_set():
            await asyncio.get_running_loop().create_future()


class Process:
    """One process of the deployment."""

    def __init__(self, bed: Bed, functions: Any, fate: Fate, seed: int) -> None:
        self.fate = fate
        settings = DeployedSettings(bed.names, "event-key", "signing-key")
        entropy = random.Random(seed).randbytes
        self.deployment = Deployment(settings, _MortalClients(bed, functions, fate), clock=bed.clock, entropy=entropy)
        self.queue = Batches(self.deployment)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Work that ends with an answer. Raises DiedError."""

        async def answered() -> T:
            answer = await work
            await self.fate.boundary("an answer")
            return answer

        doing, dying = asyncio.create_task(answered()), asyncio.create_task(self.fate.death.wait())
        await asyncio.wait((doing, dying), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            dying.cancel()
            return await doing
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        raise DiedError


class _MortalService(Service):
    """A service as a process calls it that may die before any call."""

    def __init__(self, name: str, client: Any, fate: Fate) -> None:
        super().__init__(name, client, inline)
        self._fate = fate

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        await self._fate.boundary(f"{self.name}.{operation}")
        return await super().call(operation, **parameters)


class _MortalClients(Clients):
    """Clients whose calls are made where they are asked for, one after the other."""

    def __init__(self, bed: Bed, functions: Any, fate: Fate) -> None:
        super().__init__()
        self.services = Services(**{name: _MortalService(name, client, fate) for name, client in bed.clients.items()})
        self.secrets = _MortalService("secretsmanager", _Secrets(), fate)
        self.functions = _MortalService("lambda", WholeReplies(functions), fate)


class _Secrets:
    """All secrets hold one key."""

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        return {"SecretString": SIGNING_KEY}


class _Elsewhere:
    """Functions, which run somewhere else while their caller does nothing but wait."""

    def __init__(self, lambdas: Lambdas) -> None:
        self._lambdas = lambdas
        self._threads = ThreadPoolExecutor(1)

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        return self._threads.submit(self._lambdas.invoke, **parameters).result()


class Stage:
    """AWS around the processes. The first process has ``fate``; those after it live for ever."""

    def __init__(self, bed: Bed, lambdas: Lambdas, fate: Fate) -> None:
        self.bed = bed
        self._functions = _Elsewhere(lambdas)
        self._processes = 1
        self.process = Process(bed, self._functions, fate, 1)
        self._sweeps_at_ms: list[int] = []

    async def register(self, name: str) -> None:
        """Register the app of a function."""
        deployment = self._immortal().deployment
        asked = {"action": "sync", "function": name}
        answer = await Registration(lambda: deployment).handle(asked, context("sync", SYNC_FUNCTION_MS))
        assert answer["ok"], answer

    async def send(self, event: Mapping[str, Any]) -> None:
        """Send an event until it is accepted. It has an id, so it may be sent twice."""
        while await self._done(lambda process: process.deployment.ingest.accept_events([event], None)) is None:
            pass

    async def work_until(self, until_ms: int) -> None:
        """Hand out messages, fire schedules and sweep at their times, until nothing is left or it is that time."""
        while True:
            await self._work()
            times = [*self._sweeps_at_ms[:1], *filter(None, [self.bed.next_at_ms()])]
            if not times or min(times) > until_ms:
                break
            await self._turn_to(min(times))
        await self._turn_to(until_ms)

    async def _turn_to(self, at_ms: int) -> None:
        await self.bed.clock.advance(max(at_ms - self.bed.clock.now_ms(), 0))
        for fired in self.bed.fire_schedules(at_ms):
            self.bed.clients["sqs"].send_message(QueueUrl=self.bed.names.queue_url, MessageBody=fired.target["Input"])
        if self._sweeps_at_ms and self._sweeps_at_ms[0] <= at_ms:
            self._sweeps_at_ms.pop(0)
            await self._done(lambda process: sweeping(process.deployment)({}, None))

    async def _work(self) -> None:
        """Have messages worked on for as long as there are any; those that were done are deleted."""
        while (at_ms := self.bed.next_at_ms()) is not None and at_ms <= self.bed.clock.now_ms():
            await self._work_on(take_records(self.bed))

    async def _work_on(self, records: list[Record]) -> None:
        event, limits = {"Records": records}, context("queue", QUEUE_FUNCTION_MS)
        answer = await self._done(lambda process: process.queue.handle(event, limits))
        if answer is not None:
            assert answer == {"batchItemFailures": []}, "an item failed, though no call did"
            for record in records:
                done(self.bed, record["receiptHandle"])

    async def _done(self, work: Callable[[Process], Coroutine[Any, Any, T]]) -> T | None:
        """What the process answers; None when it died, and then another takes its place and the sweep comes round."""
        try:
            return await self.process.do(work(self.process))
        except DiedError:
            self.process = self._immortal()
            now_ms = self.bed.clock.now_ms()
            self._sweeps_at_ms = [(now_ms // SWEEP_MS + turn) * SWEEP_MS for turn in range(1, SWEPT + 1)]
            return None

    def _immortal(self) -> Process:
        self._processes += 1
        return Process(self.bed, self._functions, Fate(None), self._processes)
