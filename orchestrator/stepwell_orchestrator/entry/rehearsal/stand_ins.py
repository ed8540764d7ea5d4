"""What stands in for the services that do something by themselves: they hand out, fire and invoke when they are told.

Each is a boto3 client of its service, as far as it is called here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from stepwell import aws
from stepwell.authoring.app import App
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import encode
from stepwell.wire.ids import EventIdSeed
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.ports import Clock

_APP_FUNCTION_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Message:
    """What lies in the queue, to be seen from ``visible_at_ms`` on.

    ``hops``: how many invocations of the queue function led to it, one after the other, as Lambda counts them.
    """

    visible_at_ms: int
    number: int
    body: str
    hops: int


class StandInQueue:
    """SQS without what a rehearsal does not need: a message that is received is gone.

    ``hops_max``: the longest chain of invocations so far. Of a batch the longest one counts for whatever it leads to.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages: list[Message] = []
        self._sent = 0
        self._hops = 0
        self.hops_max = 0

    def send_message_batch(self, *, Entries: Sequence[Mapping[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Queue some."""
        for entry in Entries:
            self.put(entry["MessageBody"], entry["DelaySeconds"] * SECOND_MS)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility_batch(self, **_: Any) -> dict[str, Any]:
        """Nothing: nobody else receives."""
        return {}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        """Nothing: only the dead letter queue is asked, and nothing dies in a rehearsal."""
        return {}

    def put(self, body: str, delay_ms: int = 0) -> None:
        """Queue one."""
        self._sent += 1
        self._messages.append(Message(self._clock.now_ms() + delay_ms, self._sent, body, self._hops))

    def receive(self, most: int) -> list[Message]:
        """Take out what is visible, up to ``most``, oldest first."""
        visible = [message for message in self._messages if message.visible_at_ms <= self._clock.now_ms()]
        received = sorted(visible, key=lambda message: (message.visible_at_ms, message.number))[:most]
        for message in received:
            self._messages.remove(message)
        self._hops = 1 + max((message.hops for message in received), default=-1)
        self.hops_max = max(self.hops_max, self._hops)
        return received

    def begin_chain(self) -> None:
        """What is put from now on comes from outside."""
        self._hops = 0

    def next_at_ms(self) -> int | None:
        """When the next message is to be seen."""
        return min((message.visible_at_ms for message in self._messages), default=None)


class StandInScheduler:
    """EventBridge Scheduler, for one-time schedules that send to the queue."""

    def __init__(self) -> None:
        self._schedules: dict[str, tuple[int, str]] = {}

    def create_schedule(
        self,
        *,
        Name: str,  # noqa: N803 - boto3's names
        ScheduleExpression: str,  # noqa: N803
        Target: Mapping[str, Any],  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        """Keep one."""
        at = dt.datetime.fromisoformat(f"{ScheduleExpression.removeprefix('at(').removesuffix(')')}+00:00")
        self._schedules[Name] = (int(at.timestamp()) * SECOND_MS, Target["Input"])
        return {}

    def fire(self, now_ms: int) -> list[str]:
        """What the schedules that are due send; they are gone then."""
        due = [name for name, (at_ms, _) in self._schedules.items() if at_ms <= now_ms]
        return [self._schedules.pop(name)[1] for name in due]

    def next_at_ms(self) -> int | None:
        """When the next one fires."""
        return min((at_ms for at_ms, _ in self._schedules.values()), default=None)


class StandInSecrets:
    """Secrets Manager."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803
        """One secret, which never had another value."""
        return {"SecretString": self._values[SecretId]} if VersionStage == "AWSCURRENT" else {}


class StandInLambda:
    """Lambda, with apps by the names of their functions. A call is answered before anything else happens here."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self._handlers = {name: aws.handler(app) for name, app in apps.items()}
        # An app has an event loop of its own, and a thread runs one loop at a time.
        self._thread = ThreadPoolExecutor(1, "stepwell-app")

    def invoke(self, *, FunctionName: str, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        """One call; ``Payload`` is bytes, as ``WholeReplies`` gives it."""
        handler, context = self._handlers[FunctionName], lambda_context(FunctionName, _APP_FUNCTION_MS)
        answer = self._thread.submit(handler, json.loads(Payload), context).result()
        return {"StatusCode": 200, "Payload": encode(answer)}

    def close(self) -> None:
        """End the apps' loops."""
        for handler in self._handlers.values():
            handler.close()
        self._thread.shutdown()


@dataclass(frozen=True, slots=True)
class StandInTransport:
    """An app's way to the API, for the steps that it saves; it sends nothing.

    ``post`` takes a path and a body, and gives the status.
    """

    post: Callable[[str, str], int]

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """No workload does."""
        raise NotImplementedError("no workload of a rehearsal sends events")

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """No workload does."""
        raise NotImplementedError("no workload of a rehearsal sends signals")

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps. The API has an event loop of its own, and so needs another thread."""
        path = f"/v1/checkpoint/{checkpoint.run_id}/async"
        return await asyncio.to_thread(self.post, path, encode(checkpoint.encode()).decode())


def lambda_context(name: str, remaining_ms: int) -> Any:
    """What Lambda hands a handler beside the event."""
    return SimpleNamespace(function_name=name, get_remaining_time_in_millis=lambda: remaining_ms)
