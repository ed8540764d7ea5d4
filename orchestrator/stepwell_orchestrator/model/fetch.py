"""An HTTP request made on behalf of a step, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One request of one attempt of a step. What it carries may be secret, so that no repr shows it."""

    run_id: str
    step_id: str
    attempt: int
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete reply, whatever its status. ``url`` is where it came from, after redirects.

    Header names are in lower case, values of one name joined by commas; the body is decompressed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
