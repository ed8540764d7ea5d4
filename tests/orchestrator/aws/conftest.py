"""The deployment that the tests of the AWS parts stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws.account import Account, an_account
from tests.aws.bed import Bed, a_bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    """An empty deployment."""
    with a_bed() as made:
        yield made


@pytest.fixture
def account() -> Iterator[Account]:
    """An empty deployment with the engine's functions in it."""
    with an_account() as one:
        yield one
