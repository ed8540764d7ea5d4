"""What a deployed function is told by its stack. The only reader of its environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepwell.errors import DefinitionError
from stepwell_orchestrator.aws.backend import Names
from stepwell_orchestrator.entry.settings import gateway_allow

_RETENTION_DAYS_DEFAULT: Final = 30


@dataclass(frozen=True, slots=True)
class DeployedSettings:
    """The names of what a deployment owns, how long it keeps what has ended, how much it logs, and what may be fetched.

    ``gateway_allow`` names what requests on behalf of steps may reach beside public addresses.
    """

    names: Names
    event_key_secret: str
    signing_key_secret: str
    retention_days: int = _RETENTION_DAYS_DEFAULT
    log_level: str = "INFO"
    gateway_allow: tuple[str, ...] = ()


def read_deployed_settings(environ: Mapping[str, str] = os.environ) -> DeployedSettings:
    """The settings of this process. Raises DefinitionError naming a variable that is missing or cannot be understood.

    Every function of a stack is given the same variables.
    """
    return DeployedSettings(
        names=Names(
            table=_required(environ, "STEPWELL_TABLE_NAME"),
            bucket=_required(environ, "STEPWELL_PAYLOAD_BUCKET"),
            queue_url=_required(environ, "STEPWELL_QUEUE_URL"),
            queue_arn=_required(environ, "STEPWELL_QUEUE_ARN"),
            dead_letter_queue_url=_required(environ, "STEPWELL_DEAD_LETTER_QUEUE_URL"),
            dead_letter_queue_arn=_required(environ, "STEPWELL_DEAD_LETTER_QUEUE_ARN"),
            schedule_group=_required(environ, "STEPWELL_SCHEDULE_GROUP"),
            schedule_role_arn=_required(environ, "STEPWELL_SCHEDULE_ROLE_ARN"),
        ),
        event_key_secret=_required(environ, "STEPWELL_EVENT_KEY_SECRET_ARN"),
        signing_key_secret=_required(environ, "STEPWELL_SIGNING_KEY_SECRET_ARN"),
        retention_days=_days(environ, "STEPWELL_RETENTION_DAYS"),
        log_level=_level(environ, "STEPWELL_LOG_LEVEL"),
        gateway_allow=gateway_allow(environ),
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise DefinitionError(f"{name} is not set; template.yaml gives it to every function of the stack")
    return value


def _days(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "").strip() or str(_RETENTION_DAYS_DEFAULT)
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise DefinitionError(f'{name} is "{text}"; set it to a number of days, such as 30')
    return int(text[:9])


def _level(environ: Mapping[str, str], name: str) -> str:
    level = environ.get(name, "").strip().upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise DefinitionError(f'{name} is "{level}"; set it to DEBUG, INFO, WARN or ERROR')
    return level
