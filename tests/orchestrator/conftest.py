"""Fixtures of the orchestrator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.orchestrator.aws.account import Account, an_account
from tests.orchestrator.aws.bed import Bed, a_bed
from tests.orchestrator.world import World, running_world, shop


@pytest.fixture
async def shop_world() -> AsyncIterator[World]:
    """An engine that serves the shop."""
    async with running_world(shop()) as world:
        yield world


@pytest.fixture
async def api(shop_world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its keyless dev API."""
    async with shop_world.client() as client:
        yield client


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
