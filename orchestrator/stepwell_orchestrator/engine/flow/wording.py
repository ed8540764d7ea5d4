"""Limits and halts in words, for people who ask why a run is not running."""

from __future__ import annotations

from stepwell_orchestrator.model.flow import Counted, Halt, HaltScope, Scope

_COUNTED = {
    Counted.CALLS: "{most} {calls} at a time",
    Counted.RUNS: "{most} {runs} at a time",
    Counted.STARTS: "its throttle of {most} {starts} a period",
}
_SHARED = {Scope.ENVIRONMENT: ", shared by the environment", Scope.ACCOUNT: ", shared by the account"}


def limit_text(limit_id: str, key: str, most: int) -> str:
    """A limit with one value of its key: ``2 calls at a time for event.data.tenant = acme``."""
    counted, scope, *expression = limit_id.split(" ", 2)
    nouns = {noun: noun if most != 1 else noun[:-1] for noun in ("calls", "runs", "starts")}
    keyed = f" for {expression[0]} = {key}" if expression else ""
    return _COUNTED[Counted(counted)].format(most=most, **nouns) + keyed + _SHARED.get(Scope(scope), "")


def halt_text(scope: HaltScope, halt: Halt) -> str:
    """What stands still: ``app shop is paused by ada (the bank is down)``."""
    by = f" by {halt.by}" if halt.by else ""
    reason = f" ({halt.reason})" if halt.reason else ""
    return f"{scope.kind} {scope.id} {'drains' if halt.draining else 'is paused'}{by}{reason}"
