"""The fixtures every suite asks for: one backend after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepwell_orchestrator.ports import Registry, Waits
from tests.conformance.backends import BACKENDS, Backend, OpenBackend, PrunedJournal, WorkQueue


@pytest.fixture(params=BACKENDS)
def open_backend(request: pytest.FixtureRequest) -> OpenBackend:
    """How to open an empty backend."""
    return BACKENDS[request.param]


@pytest.fixture
async def backend(open_backend: OpenBackend, tmp_path: Path) -> AsyncIterator[Backend]:
    """An empty backend."""
    async with open_backend(tmp_path) as opened:
        yield opened


@pytest.fixture
def journal(backend: Backend) -> PrunedJournal:
    """The journal of an empty backend."""
    return backend.journal


@pytest.fixture
def waits(backend: Backend) -> Waits:
    """The waits of an empty backend."""
    return backend.waits


@pytest.fixture
def registry(backend: Backend) -> Registry:
    """The registry of an empty backend."""
    return backend.registry


@pytest.fixture
def queue(backend: Backend) -> WorkQueue:
    """The queue of an empty backend."""
    return backend.queue
