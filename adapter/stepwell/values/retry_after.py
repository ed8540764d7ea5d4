"""The error by which an author says when to try again."""

from __future__ import annotations

import datetime as dt
import reprlib

from stepwell.errors import DefinitionError, StepwellError, WireError
from stepwell.wire.times import retry_after_at_ms


class RetryAfterError(StepwellError):
    """Raise it to choose when the next attempt happens instead of the back-off table.

    ``after`` is seconds from now, as a number or a text such as a ``Retry-After`` header gives, a duration such as
    ``"5m"``, a timedelta, an HTTP date, or a datetime or ISO time with a time zone. The server clamps the delay to
    1 second .. 24 hours. Raises DefinitionError for anything else.
    """

    def __init__(self, message: str, after: float | str | bytes | dt.timedelta | dt.datetime) -> None:
        super().__init__(message)
        try:
            retry_after_at_ms(after, 0)
        except (ValueError, ArithmeticError, WireError) as error:
            raise DefinitionError(
                f"RetryAfterError: after={reprlib.repr(after)} does not say when to try again ({error}): give seconds, "
                'a duration such as "2m", a timedelta, an HTTP date, or a datetime or ISO time with a time zone'
            ) from None
        self.after = after
