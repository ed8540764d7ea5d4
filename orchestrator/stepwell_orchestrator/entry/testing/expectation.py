"""The one error of the test kit."""

from __future__ import annotations

from stepwell.errors import StepwellError


class ExpectationError(StepwellError, AssertionError):
    """A run is not what the test takes it for, or the engine cannot do what the test asks.

    An AssertionError, so that test runners count it as a failed expectation.
    """
