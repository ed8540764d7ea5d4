"""Code around every call of an app's functions: the hooks, and the middleware that comes with the package.

May import steps, client, values and what is below them.
"""

from __future__ import annotations

from stepwell.middleware.base import CallInput, Hook, Make, Middleware, Output, Scope, StepInfo
from stepwell.middleware.encryption import Encryption
from stepwell.middleware.logs import Logging

__all__ = ["CallInput", "Encryption", "Hook", "Logging", "Make", "Middleware", "Output", "Scope", "StepInfo"]
