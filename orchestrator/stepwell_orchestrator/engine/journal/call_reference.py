"""Which call a checkpoint belongs to: what the call request's ``qi_id`` says, and the SDK sends back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from stepwell_orchestrator.model.step import Place

CALL_SPAN: Final = 2**34
"""How many stack positions of a term belong to one call, a microsecond each: 4.8 hours, more than a call may take."""

REPLY_SPAN: Final = 2**20
"""The last positions of them, which belong to the steps of the reply: whatever the call saved comes before."""

_SEPARATOR: Final = ":"


@dataclass(frozen=True, slots=True)
class CallReference:
    """The ``call``-th discovery call of a term, from 1. ``wanted`` is the run's, as its driver knew it then."""

    run_id: str
    term: int
    call: int
    wanted: int

    def encode(self) -> str:
        """The ``qi_id``."""
        return _SEPARATOR.join((self.run_id, str(self.term), str(self.call), str(self.wanted)))

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Returns the reference in a ``qi_id``, or None when it is of another form."""
        run_id, *numbers = text.split(_SEPARATOR)
        if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
            return None
        return cls(run_id, *(int(number[:18]) for number in numbers))

    def place(self, offset: int) -> Place:
        """The place so far into the call's span; it never leaves it."""
        return Place(self.term, self.call * CALL_SPAN + min(max(offset, 0), CALL_SPAN - REPLY_SPAN - 1))

    @staticmethod
    def offset(place: Place) -> int:
        """How far into its call's span a place is."""
        return place.position % CALL_SPAN

    def has(self, place: Place | None) -> bool:
        """Whether a step at that place was saved by this call."""
        return place is not None and place.term == self.term and place.position // CALL_SPAN == self.call


def reply_position(call: int) -> int:
    """The position of the first step that is reported with a call's reply."""
    return (call + 1) * CALL_SPAN - REPLY_SPAN
