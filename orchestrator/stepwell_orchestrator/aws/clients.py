"""The clients of one process: one botocore session, each client made when it is first called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, Final

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.backend import Services
from stepwell_orchestrator.aws.invoke_lambda import WholeReplies
from stepwell_orchestrator.aws.payloads.blobs import WholeObjects
from stepwell_orchestrator.aws.service import Carry, Service, in_threads

THREADS: Final = 32
"""How many calls are under way at once, to services and to functions, each."""
_CONNECT_TIMEOUT_MS: Final = 5 * SECOND_MS
_READ_TIMEOUT_MS: Final = 15 * SECOND_MS
_TRIES: Final = 4
INVOKE_TIMEOUT_MS: Final = 15 * MINUTE_MS + 10 * SECOND_MS
"""Longer than any function may run."""

MakeClient = Callable[[str, Mapping[str, Any]], Any]
"""Makes a client of a service with the options of its configuration."""


class Clients:
    """What a process talks to. ``make`` replaces how clients are made."""

    def __init__(self, make: MakeClient | None = None) -> None:
        self._make = make or _botocore()

    @cached_property
    def services(self) -> Services:
        """What a backend needs."""
        return Services(
            dynamodb=self._service("dynamodb"),
            s3=self._service("s3", WholeObjects, signature_version="s3v4"),
            sqs=self._service("sqs"),
            scheduler=self._service("scheduler"),
        )

    @cached_property
    def secrets(self) -> Service:
        """Secrets Manager."""
        return self._service("secretsmanager")

    @cached_property
    def stacks(self) -> Service:
        """CloudFormation, by which a person finds what a stack is made of."""
        return self._service("cloudformation")

    @cached_property
    def functions(self) -> Service:
        """Lambda, to invoke functions with: a call that may have been carried out is never repeated."""
        options = _options(_READ_TIMEOUT_MS) | {
            "retries": {"total_max_attempts": 1},
            "read_timeout": INVOKE_TIMEOUT_MS / SECOND_MS,
            "tcp_keepalive": True,
        }
        client = _Lazy(lambda: WholeReplies(self._make("lambda", options)))
        return Service("lambda", client, in_threads(ThreadPoolExecutor(THREADS, "stepwell-invoke")))

    @cached_property
    def _carry(self) -> Carry:
        return in_threads(ThreadPoolExecutor(THREADS, "stepwell-aws"))

    def _service(self, name: str, whole: Callable[[Any], Any] = lambda client: client, **further: Any) -> Service:
        options = _options(_READ_TIMEOUT_MS) | further
        return Service(name, _Lazy(lambda: whole(self._make(name, options))), self._carry)


class _Lazy:
    """A client that is made when it is first used: making one takes longer than most calls, and not all are used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if name == "_client":
            self._client = self._make()
            return self._client
        return getattr(self._client, name)


def _options(read_timeout_ms: int) -> dict[str, Any]:
    return {
        "connect_timeout": _CONNECT_TIMEOUT_MS / SECOND_MS,
        "read_timeout": read_timeout_ms / SECOND_MS,
        "retries": {"mode": "standard", "total_max_attempts": _TRIES},
        "max_pool_connections": THREADS,
    }


def _botocore() -> MakeClient:
    """Clients of one session, which finds region and credentials where every AWS tool does."""

    @cache
    def session() -> Any:
        import botocore.session

        return botocore.session.Session()

    def make(name: str, options: Mapping[str, Any]) -> Any:
        from botocore.config import Config

        client = session().create_client(name, config=Config(**options))
        if name == "lambda":
            leave_chain(client)
        return client

    return make


def leave_chain(client: Any) -> None:
    """Let what ``client`` invokes begin a chain of its own.

    botocore passes on by which invocations this one was reached, and Lambda ends chains of some sixteen as loops. Ours
    allow long chains by a setting of the stack; an app's function, which may be anybody's, needs none this way.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    from botocore.handlers import add_recursion_detection_header

    client.meta.events.unregister("before-call", add_recursion_detection_header)
