"""A world on DynamoDB, by moto: each worker has a backend of its own, and faults strike every call it makes.

What becomes a fact is told where it becomes one, in the table, by whoever's call it was done: a port's method may never
learn of it. So a worker has looked at a run no later than at the moment its port call began.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest.mock import patch

from botocore.exceptions import ClientError

from stepwell_orchestrator.aws.attribute_values import Item
from stepwell_orchestrator.aws.backend import AwsBackend, Services
from stepwell_orchestrator.aws.service import AwsError, Service, inline
from stepwell_orchestrator.aws.table import items
from stepwell_orchestrator.aws.table.journal import commits
from stepwell_orchestrator.aws.table.keys import ENTRY_PREFIX, EVENT_SK, HEADER_SK, id_of, read_place_sk, run_pk
from stepwell_orchestrator.aws.table.table import LEASED_UNDER, PK, SK
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.signal import SignalWait
from tests.orchestrator.aws.bed import a_bed
from tests.sim.aws_faults import AFTER, BEFORE_READ, BEFORE_WRITE, AwsFault, failed
from tests.sim.backends import Process, Queued
from tests.sim.chance import stream
from tests.sim.facts import (
    EntryWritten,
    EventStored,
    Fact,
    PauseFiled,
    RunCreated,
    RunEnded,
    RunStarted,
    SignalDropped,
    SignalTaken,
)
from tests.sim.node import InjectedError
from tests.sim.witness import HANDLING, NOBODY

if TYPE_CHECKING:
    from tests.sim.node import Node

T = TypeVar("T")
Parameters = Mapping[str, Any]

_WRITES: Final = ("put_item", "update_item", "delete_item", "transact_write_items")
_PAUSE: Final = "p#"
_SIGNAL: Final = "g#"
_NARROW: Final = 0.5
_LIMITS: Final = ((commits, "TRANSACTION_MAX", (2, 3, 4)), (items, "_OUTCOME_INLINE_MAX", (8,)))
"""What is too large for most worlds to reach, and how large it is in those where it is reached."""
_LINE: Final = "m#"
_LOOKS: Final = ("acquire", "load", "get_header", "claim")


class DynamoBackend(Queued):
    """One table, and the queue."""

    late_entries = True
    watches_gates = False

    def __init__(self, seed: int, tell: Callable[[Fact], int], count: Callable[[], int]) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._bed = self._stack.enter_context(a_bed(straight=True))
        chance = stream(seed, "limits")
        for module, limit, lower in _LIMITS:
            if chance.random() < _NARROW:
                self._stack.enter_context(patch.object(module, limit, chance.choice(lower)))
        self._bed.clients["dynamodb"] = self._table = _Table(self._bed.clients["dynamodb"].client, tell)
        self._entropy = stream(seed, "writers").randbytes
        self._count = count
        own = self._backend(Service)
        self.journal, self.waits, self.registry = own.journal, own.waits, own.registry
        self._table.journal = own.journal

    def process(self, node: Node) -> Process:
        """A worker's own way to it."""
        own = self._backend(lambda name, client, carry: _NodeService(name, client, node))
        flow = (own.flow.gates, own.flow.rates, own.flow.debounces, own.flow.batches)
        journal, waits, registry, *flow_ports = (
            _Port(port, node, self._count) for port in (own.journal, own.waits, own.registry, *flow)
        )
        return Process(journal, waits, registry, FlowPorts(*flow_ports))

    async def leased(self) -> set[str]:
        """The runs whose drive lease is held, and in the index in which the sweep looks."""
        return {
            id_of(item[PK]["S"]) for item in self._bed.items() if item[SK]["S"] == HEADER_SK and LEASED_UNDER in item
        }

    async def in_line(self) -> set[str]:
        """The runs that stand in line."""
        keys = [(item[PK]["S"], item[SK]["S"]) for item in self._bed.items() if item[PK]["S"].startswith(_LINE)]
        return {read_place_sk(sk)[1].partition(":")[0] for _, sk in keys}

    async def filed(self) -> list[tuple[str, str, str]]:
        """Every pause: its run, its id and the name of its event."""
        keys = [(item[PK]["S"], item[SK]["S"]) for item in self._bed.items() if item[PK]["S"].startswith(_PAUSE)]
        return [(*pause_of(sk), pk.rpartition("#")[2]) for pk, sk in keys]

    async def signals(self) -> list[tuple[str, str]]:
        """Every signal that has a waiter: the waiter's run and the signal's name."""
        waits = [wait_of(item) for item in self._bed.items() if item[PK]["S"].startswith(_SIGNAL)]
        return [(wait.run_id, wait.name) for wait in waits]

    def close(self) -> None:
        """Forget everything."""
        self._stack.close()
        super().close()

    def _backend(self, service: Callable[..., Service]) -> AwsBackend:
        services = {name: service(name, client, inline) for name, client in self._bed.clients.items()}
        return AwsBackend.of(Services(**services), self._bed.names, self._bed.clock, self._entropy)


class _Table:
    """The database's client, watched. ``journal`` reads what was written."""

    journal: Any = None

    def __init__(self, client: Any, tell: Callable[[Fact], int]) -> None:
        self._client = client
        self._tell = tell
        self._tokens: set[str] = set()
        self._waiters: dict[str, SignalWait] = {}

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        method = getattr(self._client, operation)

        def call(**parameters: Any) -> dict[str, Any]:
            try:
                response: dict[str, Any] = method(**parameters)
            except ClientError as error:
                self._refused(operation, parameters, error)
                raise
            match operation:
                case "put_item":
                    self._put(parameters)
                case "update_item":
                    self._updated(parameters)
                case "delete_item":
                    self._deleted(parameters)
                case "transact_write_items" if parameters["ClientRequestToken"] not in self._tokens:
                    self._tokens.add(parameters["ClientRequestToken"])
                    for action in parameters["TransactItems"]:
                        self._put(action.get("Put"))
                        self._updated(action.get("Update"))
            return response

        return call

    def _put(self, parameters: Parameters | None) -> None:
        if parameters is None:
            return
        pk, sk = (parameters["Item"][name]["S"] for name in (PK, SK))
        if sk.startswith(ENTRY_PREFIX) and pk == run_pk(id_of(pk)):
            self._tell_entry(pk, sk)
        elif sk == HEADER_SK:
            self._tell(RunCreated(at_once(self.journal.get_header(id_of(pk)))))
        elif sk == EVENT_SK:
            self._tell(EventStored(at_once(self.journal.get_event(id_of(pk))), True))
        elif pk.startswith(_PAUSE):
            self._tell(PauseFiled(*pause_of(sk), HANDLING.get(NOBODY).number))
        elif pk.startswith(_SIGNAL):
            self._waiters[pk] = wait_of(parameters["Item"])
            self._tell(SignalTaken(self._waiters[pk], True))

    def _refused(self, operation: str, parameters: Parameters, error: ClientError) -> None:
        """Whoever may not put itself down as a signal's waiter is told so; what else is refused changes nothing."""
        if operation == "put_item" and error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            item = parameters["Item"]
            if item[PK]["S"].startswith(_SIGNAL):
                self._tell(SignalTaken(wait_of(item), False))

    def _deleted(self, parameters: Parameters) -> None:
        """Only its waiter gives a signal up."""
        waiter = self._waiters.pop(parameters["Key"][PK]["S"], None)
        if waiter is not None:
            self._tell(SignalDropped(waiter))

    def _updated(self, parameters: Parameters | None) -> None:
        """Of the header only its first lease and its end are told, of an entry only a claim: what else changes is
        nobody's business.
        """
        if parameters is None:
            return
        pk, sk = (parameters["Key"][name]["S"] for name in (PK, SK))
        values = parameters["ExpressionAttributeValues"]
        if sk.startswith(ENTRY_PREFIX) and ":attempt" in values:
            self._tell_entry(pk, sk)
        elif sk == HEADER_SK and ":outcome" in values:
            self._tell(RunEnded(id_of(pk), at_once(self.journal.get_header(id_of(pk))).outcome))
        elif (
            sk == HEADER_SK
            and ":until" in values
            and ":now" in values
            and at_once(self.journal.get_header(id_of(pk))).term == 1
        ):
            self._tell(RunStarted(id_of(pk), int(values[":now"]["N"])))

    def _tell_entry(self, pk: str, sk: str) -> None:
        run_id = id_of(pk)
        entry = at_once(self.journal.get_entry(run_id, sk.removeprefix(ENTRY_PREFIX)))
        self._tell(EntryWritten(run_id, entry, HANDLING.get(NOBODY).number))


class _NodeService(Service):
    """A service as one worker reaches it."""

    def __init__(self, name: str, client: Any, node: Node) -> None:
        super().__init__(name, client, inline)
        self._node = node

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        node, label, about = self._node, f"{self.name}.{operation}", _about(parameters)
        await node.latency()
        kinds = BEFORE_WRITE if operation in _WRITES else BEFORE_READ
        fault = node.strike(kinds, label, about)
        await self._befall(fault, operation, parameters)
        if fault is AwsFault.REPEATED:
            with suppress(AwsError):
                await super().call(operation, **parameters)
        try:
            response = await super().call(operation, **parameters)
        except AwsError:
            await self._befall(node.strike(AFTER, label, about), operation, parameters)
            raise
        await self._befall(node.strike(AFTER, label, about), operation, parameters)
        return response

    async def _befall(self, fault: Any, operation: str, parameters: Parameters) -> None:
        match fault:
            case AwsFault.DIES_BEFORE | AwsFault.DIES_AFTER:
                self._node.die()
            case AwsFault.SLOW_CALL | AwsFault.SLOW_ANSWER:
                await self._node.wait_long(f"{self.name}.{operation} {fault.name}")
            case AwsFault.THROTTLED | AwsFault.CONFLICT | AwsFault.LOST_REPLY:
                raise failed(self.name, operation, fault, parameters)
        await self._node.hang_if_dead()


class _Port:
    """A port of one worker: it notes when the worker looked at a run, and which faults it did not get over."""

    def __init__(self, port: Any, node: Node, count: Callable[[], int]) -> None:
        self._port = port
        self._node = node
        self._count = count

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            looked = self._count()
            try:
                result = await method(*args, **kwargs)
            except InjectedError as error:
                self._node.trouble(str(error))
                raise
            except StoreError as error:
                if type(error) is not StoreError:
                    raise
                # A commit of several transactions that broke off: no service failed, and yet the item is lost.
                self._node.trouble(str(error))
                raise InjectedError(str(error)) from error
            handling = HANDLING.get(None)
            if name in _LOOKS and handling is not None:
                handling.looked = max(handling.looked, looked)
            return result

        return call


def pause_of(sk: str) -> tuple[str, str]:
    """The run and the id of a pause, by its sort key."""
    run_id, _, pause_id = sk.partition("#")
    return run_id, pause_id


def wait_of(item: Item) -> SignalWait:
    """The waiter that a signal's item names."""
    return SignalWait(id_of(item[PK]["S"]), item["r"]["S"], item["i"]["S"], int(item["e"]["N"]))


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


def _about(parameters: Parameters) -> tuple[str, ...]:
    """The steps that a call is about, for people."""
    keys = [parameters[name] for name in ("Item", "Key") if name in parameters]
    return tuple(key[SK]["S"].removeprefix(ENTRY_PREFIX) for key in keys)
