"""Events in as many requests as the server's bound on one makes necessary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from stepwell.client.http import HttpResponse

TOO_LARGE: Final = 413

_BYTES = re.compile(rb"\b([0-9]{4,12}) bytes\b")


def joined(events: Sequence[bytes]) -> bytes:
    """The body of a request: a JSON array of events that are JSON already."""
    return b"[" + b",".join(events) + b"]"


def split(events: Sequence[bytes], answer: HttpResponse) -> Iterator[Sequence[bytes]]:
    """Parts of two events or more, for which a request was too large, in order.

    Each is as large as the answer says that a request may be. Where it names no bound, or one that these have kept (a
    platform may count what it wraps a body in), it is half of them.
    """
    said = _BYTES.search(answer.body)
    if said and int(said[1]) < len(joined(events)):
        yield from _filled(events, int(said[1]))
        return
    half = len(events) // 2
    yield events[:half]
    yield events[half:]


def _filled(events: Sequence[bytes], bytes_max: int) -> Iterator[Sequence[bytes]]:
    part: list[bytes] = []
    part_bytes = len(b"[]")
    for event in events:
        if part and part_bytes + len(event) > bytes_max:
            yield part
            part, part_bytes = [], len(b"[]")
        part.append(event)
        part_bytes += len(event) + len(b",")
    yield part
