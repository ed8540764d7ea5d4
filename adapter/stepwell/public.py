"""Every public name of the package, in one list; the package itself looks them up here when they are first used."""

from __future__ import annotations

from stepwell.app import App
from stepwell.asgi_app import asgi
from stepwell.calls import StepOptions
from stepwell.checkpointing import Checkpointing
from stepwell.context import Context, SyncContext
from stepwell.errors import (
    DefinitionError,
    EncodingError,
    EventError,
    InvokeTimeoutError,
    MiddlewareError,
    NonRetriableError,
    RetryAfterError,
    SignatureError,
    StepError,
    StepwellError,
    StepwellWarning,
    WireError,
)
from stepwell.event import Event
from stepwell.fetch import Response
from stepwell.function import Function
from stepwell.middleware.base import Middleware
from stepwell.options import (
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
from stepwell.signals import Signal
from stepwell.triggers import cron, on

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
