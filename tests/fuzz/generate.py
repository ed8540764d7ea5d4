"""What a function may answer, drawn from a seeded generator: sound opcodes, odd ones, and bodies that are no JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from stepwell.wire.headers import GIVEN_UP, NO_RETRY, REQUEST_VERSION, RETRY_AFTER, SDK, WARNINGS
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op

NAMES: Final = ("a", "b", "c", "d")
IDS: Final = tuple(hash_step_id(name) for name in NAMES)
"""Few, so that replies meet what earlier ones left."""

_SCALARS: Final = (
    None,
    True,
    False,
    0,
    1,
    -1,
    7.5,
    2**53,
    10**30,
    1e308,
    "",
    "a",
    "30s",
    "1h",
    "race",
    "é\u2028",
    "\x00",
)
_DURATIONS: Final = ("30s", "1h", "0s", "", "2027-01-15T08:00:00Z", "400d", "900000d", "soon", "-5s", "9" * 30 + "w")
_CONDITIONS: Final = ("async.data.id == event.data.id", "true", "1 +", "", "event.data.n > 3", "nosuch(1)")
_OPTIONS: Final = (
    "duration", "timeout", "event", "if", "lookback", "signal", "conflict", "function_id", "payload", "parallelMode",
    "url", "method", "body", "format", "auth_key", "headers", "type",
)  # fmt: skip


class Drawn:
    """Draws values and replies."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def value(self, depth: int = 3) -> Any:
        """Any JSON."""
        roll = self.random.random()
        if depth and roll < 0.15:
            return [self.value(depth - 1) for _ in range(self.random.randrange(3))]
        if depth and roll < 0.35:
            keys = ("data", "user", "v", "error", "name", "message", "type", "x")
            return {self.random.choice(keys): self.value(depth - 1) for _ in range(self.random.randrange(4))}
        return self.random.choice(_SCALARS)

    def opcode(self) -> Any:
        """One opcode; now and then a member of it is of any other type, or it is no opcode at all."""
        if self.random.random() < 0.02:
            return self.value()
        op = self.random.choice(list(Op))
        name = self.random.choice(NAMES)
        opcode: dict[str, Any] = {"op": op.value, "id": hash_step_id(name), "name": name, "opts": self.options()}
        if op in (Op.STEP_ERROR, Op.STEP_FAILED):
            opcode["error"] = {"name": "E", "message": "no"} if self.random.random() < 0.8 else self.value()
        if self.random.random() < 0.5:
            opcode["data"] = self.value()
        if self.random.random() < 0.2:
            opcode["timing"] = {"a": self.value(0), "b": self.value(0)}
        if self.random.random() < 0.15:
            member = self.random.choice(("op", "id", "name", "displayName", "opts", "data", "error", "userland"))
            opcode[member] = self.value()
        return opcode

    def options(self) -> dict[str, Any]:
        """Options that mostly make sense."""
        options: dict[str, Any] = {
            "duration": self.random.choice(_DURATIONS[:3]),
            "timeout": self.random.choice(_DURATIONS[:3]),
            "event": "paid",
            "signal": "go",
            "function_id": "shop-child",
            "url": "http://api.test/x",
            "parallelMode": self.random.choice(("race", "wait")),
        }
        for _ in range(self.random.randrange(3)):
            option = self.random.choice(_OPTIONS)
            odd = {"if": _CONDITIONS, "duration": _DURATIONS, "timeout": _DURATIONS, "lookback": ("run", *_DURATIONS)}
            sound = option in odd and self.random.random() < 0.6
            options[option] = self.random.choice(odd[option]) if sound else self.value()
        return options

    def headers(self) -> dict[str, str]:
        """The headers of an SDK's reply."""
        headers = {SDK: "test:v1", REQUEST_VERSION: self.random.choice(("2", "2", "2", "1", "0", "-1", "x"))}
        extra = {
            NO_RETRY: ("true", "false", "maybe"),
            RETRY_AFTER: ("5", "-1", "soon", "9" * 20, "Wed, 21 Oct 2026 07:28:00 GMT"),
            GIVEN_UP: (",".join(self.random.choices(IDS, k=2)), "", ",,", "unknown"),
            WARNINGS: ("[]", '["w"]', "{", "7", '["a", 1]'),
        }
        for name, choices in extra.items():
            if self.random.random() < 0.25:
                headers[name] = self.random.choice(choices)
        if self.random.random() < 0.02:
            del headers[SDK]
        return headers

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        roll = self.random.random()
        if roll < 0.05:
            return self.random.choice((200, 201, 204, 400, 500, 302)), self.headers(), self.garbled(b'{"a": [1, 2]}')
        if roll < 0.15:
            return self.random.choice((200, 400, 500)), self.headers(), json.dumps(self.value()).encode()
        body = json.dumps([self.opcode() for _ in range(self.random.choice((0, 1, 1, 1, 2, 2, 3, 5)))]).encode()
        if roll < 0.2:
            inner = {"status": 206, "headers": self.headers(), "body": body.decode()}
            return 201, self.headers(), b"   " + json.dumps(inner).encode()
        return 206, self.headers(), self.garbled(body) if roll < 0.25 else body

    def garbled(self, body: bytes) -> bytes:
        """The body with a piece cut out, or replaced by bytes that are no text."""
        at, length = self.random.randrange(len(body) + 1), self.random.randrange(4)
        return body[:at] + self.random.choice((b"", b"\xff", b"\\ud800", b"[", b"\x00")) + body[at + length :]

    def checkpoint(self) -> Any:
        """What is sent as a checkpoint."""
        raw: dict[str, Any] = {
            "run_id": None,
            "steps": [self.opcode() for _ in range(self.random.randrange(4))],
            "generation_id": 1,
            "request_started_at": 1_800_000_000_000,
            "ts": 1_800_000_000_100,
        }
        for step in raw["steps"]:
            if isinstance(step, dict) and self.random.random() < 0.9:
                step["op"] = self.random.choice(("StepRun", "Step", "StepPlanned"))
        if self.random.random() < 0.3:
            raw[self.random.choice(list(raw))] = self.value()
        return raw if self.random.random() < 0.98 else self.value()
