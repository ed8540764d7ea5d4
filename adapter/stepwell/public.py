"""Every public name of the package, in one list; the package itself looks them up here when they are first used."""

from __future__ import annotations

from stepwell.authoring.app import App
from stepwell.authoring.checkpointing import Checkpointing
from stepwell.authoring.function import Function
from stepwell.authoring.options import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from stepwell.authoring.triggers import cron, on
from stepwell.errors import (
    DefinitionError,
    EncodingError,
    EventError,
    InvokeTimeoutError,
    MiddlewareError,
    NonRetriableError,
    SignatureError,
    StepError,
    StepwellError,
    StepwellWarning,
    WireError,
)
from stepwell.middleware.base import Middleware
from stepwell.serving.asgi_app import asgi
from stepwell.steps.calls import StepOptions
from stepwell.steps.context import Context, SyncContext
from stepwell.steps.fetch import Response
from stepwell.steps.signals import Signal
from stepwell.values.event import Event
from stepwell.values.retry_after import RetryAfterError

__all__ = [
    "App",
    "Batch",
    "CancelOn",
    "Checkpointing",
    "Concurrency",
    "Context",
    "Debounce",
    "DefinitionError",
    "EncodingError",
    "Event",
    "EventError",
    "Function",
    "InvokeTimeoutError",
    "Middleware",
    "MiddlewareError",
    "NonRetriableError",
    "Priority",
    "RateLimit",
    "Response",
    "RetryAfterError",
    "Signal",
    "SignatureError",
    "Singleton",
    "StepError",
    "StepOptions",
    "StepwellError",
    "StepwellWarning",
    "SyncContext",
    "Throttle",
    "Timeouts",
    "WireError",
    "asgi",
    "cron",
    "on",
]
