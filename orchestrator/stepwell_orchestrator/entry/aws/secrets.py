"""The keys of a deployment, kept in Secrets Manager and read again every few minutes, so that they can be rotated.

What a secret held before its last change is still accepted, so that a client may learn the new value later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from stepwell.errors import SignatureError, StepwellError
from stepwell.wire.event_key import event_path
from stepwell.wire.signing import hash_signing_key
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.ports import Clock

FRESH_MS: Final = 5 * MINUTE_MS
"""How long keys are used without looking: after a rotation, the old and the new one are to be accepted for longer."""
_AGAIN_MS: Final = MINUTE_MS
CURRENT: Final = "AWSCURRENT"
PREVIOUS: Final = "AWSPREVIOUS"
"""What Secrets Manager calls a secret's value, and the one before it."""

_log = logging.getLogger("stepwell.keys")


class SecretKeys:
    """The keys in one secret: its text, or several separated by commas, and those of the text before.

    The first one is in force, all are accepted. ``values`` stays one and the same list, so that its users see a
    rotation. ``check`` raises SignatureError for what is no such key.
    """

    def __init__(self, secrets: Service, clock: Clock, secret_id: str, check: Callable[[str], object]) -> None:
        self.values: list[str] = []
        self._secrets = secrets
        self._clock = clock
        self._secret_id = secret_id
        self._check = check
        self._read_again_at_ms = 0

    async def refresh(self) -> None:
        """Read the secret if that is due. SecretKeys that are known stay in force when it cannot be read.

        Raises StoreError when no key is known yet.
        """
        now_ms = self._clock.now_ms()
        if now_ms < self._read_again_at_ms:
            return
        try:
            self.values[:] = await self._read()
        except StepwellError as error:
            if not self.values:
                raise
            _log.warning("the keys in use are kept, their secret cannot be read again: %s", error)
            self._read_again_at_ms = now_ms + _AGAIN_MS
            return
        self._read_again_at_ms = now_ms + FRESH_MS

    async def _read(self) -> list[str]:
        # In this order: a change between the two reads must not hide the value that was in force until then.
        current = await self._in_force()
        return list(dict.fromkeys([*current, *await self._before()]))

    async def _in_force(self) -> list[str]:
        keys = await self._version(CURRENT)
        if not keys:
            raise StoreError(f"the secret {self._secret_id} holds no key; put one in, or several separated by commas")
        for position, key in enumerate(keys, start=1):
            try:
                self._check(key)
            except SignatureError as error:
                raise StoreError(f"the secret {self._secret_id}: key {position} of {len(keys)}: {error}") from None
        return keys

    async def _before(self) -> list[str]:
        """The keys of the value before. What was no key then was never accepted, and is passed over now."""
        try:
            keys = await self._version(PREVIOUS)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return []
        return [key for key in keys if self._passes(key)]

    def _passes(self, key: str) -> bool:
        try:
            self._check(key)
        except SignatureError:
            return False
        return True

    async def _version(self, stage: str) -> list[str]:
        response = await self._secrets.call("get_secret_value", SecretId=self._secret_id, VersionStage=stage)
        return [key.strip() for key in str(response.get("SecretString") or "").split(",") if key.strip()]


def signing_keys(secrets: Service, clock: Clock, secret_id: str) -> SecretKeys:
    """The keys calls are signed with and the API is asked with."""
    return SecretKeys(secrets, clock, secret_id, hash_signing_key)


def event_keys(secrets: Service, clock: Clock, secret_id: str) -> SecretKeys:
    """The keys events are accepted with; they may look like anything that a path can carry."""
    return SecretKeys(secrets, clock, secret_id, event_path)
