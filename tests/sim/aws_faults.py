"""What goes wrong between a worker and the services of AWS: inside a port's method, between two calls of one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from stepwell_orchestrator.aws.service import AwsError
from tests.sim.chance import stream
from tests.sim.node import InjectedError


class AwsFault(StrEnum):
    """Every way of going wrong."""

    DIES_BEFORE = "worker dies before an AWS call"
    DIES_AFTER = "worker dies after an AWS call"
    THROTTLED = "service throttles an AWS call"
    CONFLICT = "AWS call meets another transaction"
    LOST_REPLY = "AWS call is done and its reply lost"
    REPEATED = "AWS call is done twice, its first reply lost"
    SLOW_CALL = "AWS call arrives late"
    SLOW_ANSWER = "AWS call is answered late"


BEFORE_READ: Final = (AwsFault.DIES_BEFORE, AwsFault.THROTTLED, AwsFault.SLOW_CALL)
BEFORE_WRITE: Final = (*BEFORE_READ, AwsFault.CONFLICT, AwsFault.REPEATED)
AFTER: Final = (AwsFault.DIES_AFTER, AwsFault.LOST_REPLY, AwsFault.SLOW_ANSWER)
OF_TIMING: Final = (AwsFault.SLOW_CALL, AwsFault.SLOW_ANSWER, AwsFault.CONFLICT, AwsFault.REPEATED)
"""Faults that break nothing by themselves: the client library, or the backend, makes the call again."""
COSTLY: Final = (AwsFault.DIES_BEFORE, AwsFault.DIES_AFTER, AwsFault.THROTTLED, AwsFault.LOST_REPLY)
_CODES: Final = {
    AwsFault.THROTTLED: "ThrottlingException",
    AwsFault.CONFLICT: "TransactionConflictException",
    AwsFault.LOST_REPLY: "ReadTimeoutError",
}


class InjectedAwsError(AwsError, InjectedError):
    """A service failed because the simulator made it."""


def aws_odds(seed: int) -> Mapping[AwsFault, float]:
    """How likely each fault is at a call that it can befall. A port's method makes several calls."""
    chance = stream(seed, "aws odds")
    temper = chance.choice(("calm", "timing", "rough", "rough", "rough", "one kind"))
    alone = chance.choice(list(AwsFault))
    drawn = {fault: chance.choice((0.0, 0.002, 0.008, 0.03)) for fault in AwsFault}
    match temper:
        case "calm":
            return dict.fromkeys(AwsFault, 0.0)
        case "timing":
            return {fault: odds if fault in OF_TIMING else 0.0 for fault, odds in drawn.items()}
        case "rough":
            return drawn
        case _:
            return {fault: 0.06 if fault is alone else 0.0 for fault in AwsFault}


def failed(service: str, operation: str, fault: AwsFault, parameters: Mapping[str, Any]) -> InjectedAwsError:
    """The error of a call that the service refused, or whose reply did not come."""
    code, response = _CODES[fault], {}
    if fault is AwsFault.CONFLICT and operation == "transact_write_items":
        others = [{"Code": "None"}] * (len(parameters["TransactItems"]) - 1)
        code = "TransactionCanceledException"
        response = {"CancellationReasons": [{"Code": "TransactionConflict"}, *others]}
    return InjectedAwsError(service, operation, code, f"injected: {fault}", response)
