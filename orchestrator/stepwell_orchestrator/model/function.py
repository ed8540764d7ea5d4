"""An app and its functions as registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.wire.registration import RETRIES_DEFAULT, Trigger, is_own_sdk

ATTEMPTS_DEFAULT: Final = RETRIES_DEFAULT + 1
"""How often a run is tried whose function is not registered at the moment: an app may be on its way back."""


@dataclass(frozen=True, slots=True)
class Function:
    """One registered function. ``slug`` is ``<app id>-<function id>``; ``options`` the remaining wire options.

    ``sdk`` is what its app was written with, as ``name:vVERSION``; empty where that is not known.
    """

    slug: str
    app_id: str
    name: str
    url: str
    triggers: tuple[Trigger, ...] = ()
    retries: int = RETRIES_DEFAULT
    options: Mapping[str, Any] = field(default_factory=dict)
    sdk: str = ""

    @property
    def reads_large_integers(self) -> bool:
        """Whether its SDK checks signatures over integers beyond 2**53 as they are: ours does.

        Others read them as doubles first. An app that was registered before its SDK was kept is called as it was then.
        """
        return not self.sdk or is_own_sdk(self.sdk)

    @property
    def max_attempts(self) -> int:
        """Total attempts of a step or a discovery: the first try and the retries."""
        return self.retries + 1


@dataclass(frozen=True, slots=True)
class App:
    """One registered app. ``checksum`` tells whether a later registration changes anything."""

    id: str
    url: str
    sdk: str
    framework: str
    checksum: str
    synced_at_ms: int
