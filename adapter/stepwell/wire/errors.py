"""Errors as JSON objects: in opcodes, in failed replies, in memos and in lifecycle events (protocol 4.6, 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.lenient import text_or_empty

_NO_MESSAGE: Final = "no message"


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """One error. ``code`` and ``cause`` are optional; ``no_retry`` only matters inside a StepError opcode."""

    name: str
    message: str
    stack: str | None = None
    code: str | None = None
    data: Any = None
    cause: Any = None
    no_retry: bool = False

    def encode(self) -> dict[str, Any]:
        """The wire object; absent members are left out."""
        body: dict[str, Any] = {"name": self.name, "message": self.message}
        optional = {"stack": self.stack, "code": self.code, "data": self.data, "cause": self.cause}
        body |= {key: value for key, value in optional.items() if value is not None}
        if self.no_retry:
            body["noRetry"] = True
        return body

    def memo(self) -> dict[str, Any]:
        """What a memoised step keeps of its error (protocol 5.8): no ``code``."""
        return {key: value for key, value in self.encode().items() if key != "code"}


def decode_error(raw: Any) -> ErrorBody:
    """An error from whatever a peer sent: an object, a doubly encoded object, or any other value as its message."""
    raw = _unwrap(raw)
    if not isinstance(raw, Mapping):
        text = raw if isinstance(raw, str) else encode(raw).decode()
        return ErrorBody("Error", text or _NO_MESSAGE)
    stack, code = raw.get("stack"), raw.get("code")
    return ErrorBody(
        name=text_or_empty(raw.get("name")) or "Error",
        message=text_or_empty(raw.get("message")) or text_or_empty(raw.get("error")) or _NO_MESSAGE,
        stack=stack if isinstance(stack, str) else None,
        code=code if isinstance(code, str) else None,
        data=raw.get("data"),
        cause=raw.get("cause"),
        no_retry=raw.get("noRetry") is True,
    )


def _unwrap(raw: Any) -> Any:
    """Older SDKs send a JSON string that holds the JSON of the error."""
    if not isinstance(raw, str):
        return raw
    try:
        inner = decode(raw)
    except WireError:
        return raw
    return inner if isinstance(inner, Mapping) else raw
