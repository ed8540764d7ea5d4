"""Step ids and event ids: the hashes and ULIDs both ends must derive alike."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field

from ulid import ULID

_ENTROPY_BYTES = 10
_MAX_ULID_MS = 2**48 - 1
_SEED_MS = re.compile(r"[0-9]{1,15}")


def hash_step_id(step_id: str) -> str:
    """The wire id of a step: lower-case hex SHA-1 of its de-duplicated user id (protocol 5.2)."""
    return hashlib.sha1(step_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class StepName:
    """One step of one replay: the user's id, its repetition (0 for the first) and the wire id."""

    user_id: str
    index: int
    hashed: str


@dataclass(slots=True)
class StepNames:
    """Numbers repeated user ids within one replay: ``x``, ``x:1``, ``x:2``, skipping names taken explicitly."""

    _taken: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    def name(self, user_id: str) -> StepName:
        """The name of the next step called ``user_id``, in discovery order."""
        index = self._next.get(user_id, 0)
        candidate = user_id if index == 0 else f"{user_id}:{index}"
        while candidate in self._taken:
            index += 1
            candidate = f"{user_id}:{index}"
        self._taken.add(candidate)
        self._next[user_id] = index + 1
        return StepName(user_id, index, hash_step_id(candidate))


@dataclass(frozen=True, slots=True)
class EventIdSeed:
    """The idempotency seed of an ingest call (protocol 3.4): a time and ten bytes, one ULID per event."""

    ms: int
    entropy: bytes

    def encode(self) -> str:
        """The header value."""
        return f"{self.ms},{base64.b64encode(self.entropy).decode()}"

    def event_id(self, ordinal: int) -> str:
        """The internal id of event number ``ordinal`` of the call, counted from 1."""
        return ulid_from(self.ms, self.after(ordinal).entropy)

    def after(self, count: int) -> EventIdSeed:
        """The seed of a call with the events that follow the first ``count``: it gives them the same ids."""
        tail = (int.from_bytes(self.entropy[6:]) + count) % 2**32
        return EventIdSeed(self.ms, self.entropy[:6] + tail.to_bytes(4))


def decode_seed(text: str | None) -> EventIdSeed | None:
    """The seed in a header value, or None when it is absent or invalid: an invalid seed is ignored (protocol 3.4)."""
    ms_text, comma, entropy_text = (text or "").partition(",")
    if not comma or not _SEED_MS.fullmatch(ms_text) or int(ms_text) > _MAX_ULID_MS:
        return None
    try:
        entropy = base64.b64decode(entropy_text, validate=True)
    except ValueError:
        return None
    return EventIdSeed(int(ms_text), entropy) if len(entropy) == _ENTROPY_BYTES else None


def derived_seed(ms: int, *parts: str) -> EventIdSeed:
    """A seed that depends on nothing but its arguments, so that a repeated send derives the same event ids."""
    return EventIdSeed(ms, _digest(parts))


def derived_ulid(ms: int, *parts: str) -> str:
    """A ULID whose time part is ``ms`` and whose random part is a hash of ``parts``."""
    return ulid_from(ms, _digest(parts))


def ulid_from(ms: int, entropy: bytes) -> str:
    """The ULID text of a millisecond time and ten bytes."""
    return str(ULID.from_bytes(ms.to_bytes(6) + entropy))


def ulid_ms(text: str) -> int:
    """The time part of a ULID in milliseconds. Raises ValueError when ``text`` is not a ULID."""
    return int.from_bytes(ULID.from_str(text).bytes[:6])


def is_ulid(text: str) -> bool:
    """Whether ``text`` is a canonical, upper-case ULID."""
    try:
        return str(ULID.from_str(text)) == text
    except ValueError:
        return False


def _digest(parts: tuple[str, ...]) -> bytes:
    joined = "\x00".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).digest()[:_ENTROPY_BYTES]
