"""The call request: what the orchestrator posts to run or continue a function (protocol 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.headers import REQUEST_VERSION_UNKNOWN
from stepwell.wire.lenient import text_or_empty, whole_or

DISCOVERY_STEP_ID: Final = "step"
"""The ``stepId`` of a call that targets no step."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """The ``ctx`` member. ``attempt`` counts from 0; ``stack`` lists hashed step ids in completion order.

    ``said``, a member of our own, is how far the lines that the function logs have come in earlier calls of the run: so
    many memos given out, so many lines since the last of them. None from servers that do not tell.
    ``from_stepwell``: the server is one of our own, which makes one discovery of a run at a time.
    """

    run_id: str
    attempt: int = 0
    max_attempts: int | None = None
    stack: tuple[str, ...] = ()
    stack_current: int = 0
    disable_immediate_execution: bool = False
    use_api: bool = False
    fn_id: str = ""
    env: str = ""
    step_id: str = DISCOVERY_STEP_ID
    qi_id: str = ""
    request_id: str = ""
    generation_id: int = 0
    job_id: str = ""
    said: tuple[int, int] | None = None
    from_stepwell: bool = False

    def encode(self) -> dict[str, Any]:
        """The wire object."""
        body: dict[str, Any] = {
            "fn_id": self.fn_id,
            "run_id": self.run_id,
            "env": self.env,
            "step_id": self.step_id,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "stack": {"stack": list(self.stack), "current": self.stack_current},
            "disable_immediate_execution": self.disable_immediate_execution,
            "use_api": self.use_api,
            "qi_id": self.qi_id,
            "request_id": self.request_id,
            "job_id": self.job_id,
        }
        if self.generation_id:
            body["generation_id"] = self.generation_id
        if self.from_stepwell or self.said is not None:
            body["stepwell"] = {} if self.said is None else {"said": list(self.said)}
        return body


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A whole call request. ``steps`` maps hashed step ids to raw memos; presence, not truthiness, means finished."""

    event: Mapping[str, Any]
    ctx: CallContext
    events: Sequence[Mapping[str, Any]] = ()
    steps: Mapping[str, Any] = field(default_factory=dict)
    version: int = REQUEST_VERSION_UNKNOWN

    def encode(self) -> dict[str, Any]:
        """The wire object; both ``use_api`` members are filled."""
        return {
            "event": dict(self.event),
            "events": [dict(event) for event in self.events],
            "steps": dict(self.steps),
            "defers": {},
            "ctx": self.ctx.encode(),
            "version": self.version,
            "use_api": self.ctx.use_api,
        }


def decode_call_request(raw: Any) -> CallRequest:
    """A call request from its JSON value. Raises WireError naming the member that is missing or of the wrong type."""
    body = _object(raw, "the body")
    event = _object(body.get("event"), "event")
    ctx = _object(body.get("ctx"), "ctx")
    events = body.get("events") or [event]
    if not isinstance(events, list):
        raise WireError("call request: events must be a list")
    return CallRequest(
        event=event,
        events=tuple(_object(item, "events[]") for item in events),
        steps=_object(body.get("steps") or {}, "steps"),
        ctx=_decode_context(ctx, use_api=body.get("use_api") is True or ctx.get("use_api") is True),
        version=whole_or(body.get("version"), REQUEST_VERSION_UNKNOWN),
    )


def _decode_context(ctx: Mapping[str, Any], *, use_api: bool) -> CallContext:
    run_id = ctx.get("run_id")
    if not isinstance(run_id, str) or not run_id:
        raise WireError("call request: ctx.run_id is missing")
    stack = _object(ctx.get("stack") or {}, "ctx.stack")
    return CallContext(
        run_id=run_id,
        attempt=whole_or(ctx.get("attempt"), 0),
        max_attempts=whole_or(ctx.get("max_attempts"), 0) or None,
        stack=_stack(stack.get("stack") or []),
        stack_current=whole_or(stack.get("current"), 0),
        disable_immediate_execution=ctx.get("disable_immediate_execution") is True,
        use_api=use_api,
        fn_id=text_or_empty(ctx.get("fn_id")),
        env=text_or_empty(ctx.get("env")),
        step_id=text_or_empty(ctx.get("step_id")) or DISCOVERY_STEP_ID,
        qi_id=text_or_empty(ctx.get("qi_id")),
        request_id=text_or_empty(ctx.get("request_id")),
        generation_id=whole_or(ctx.get("generation_id"), 0),
        job_id=text_or_empty(ctx.get("job_id")),
        said=_said(ctx.get("stepwell")),
        from_stepwell=isinstance(ctx.get("stepwell"), Mapping),
    )


def _said(own: Any) -> tuple[int, int] | None:
    said = own.get("said") if isinstance(own, Mapping) else None
    if not isinstance(said, list) or len(said) != 2:
        return None
    memos, lines = (whole_or(number, -1) for number in said)
    return (memos, lines) if memos >= 0 and lines >= 0 else None


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WireError(f"call request: {where} must be an object")
    return value


def _stack(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise WireError("call request: ctx.stack.stack must be a list of step ids")
    return tuple(value)
