"""The fixtures every suite asks for: one backend after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepwell_orchestrator.flow_ports import Batches, Debounces, Gates, Rates
from stepwell_orchestrator.ports import Registry, Waits
from tests.conformance.backends import (
    BACKENDS,
    QUEUEING_BACKENDS,
    TRAITS,
    Backend,
    OpenBackend,
    PrunedJournal,
    QueueingBackend,
    Traits,
    WorkQueue,
)


@pytest.fixture(params=BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> str:
    """One backend after the other."""
    return request.param


@pytest.fixture
def open_backend(backend_name: str) -> OpenBackend[Backend]:
    """How to open an empty backend."""
    return BACKENDS[backend_name]


@pytest.fixture
def traits(backend_name: str) -> Traits:
    """What the ports leave to that backend."""
    return TRAITS.get(backend_name, Traits())


@pytest.fixture(params=QUEUEING_BACKENDS)
def open_queueing_backend(request: pytest.FixtureRequest) -> OpenBackend[QueueingBackend]:
    """How to open an empty backend whose queue hands items out itself."""
    return QUEUEING_BACKENDS[request.param]


@pytest.fixture
async def backend(open_backend: OpenBackend[Backend], tmp_path: Path) -> AsyncIterator[Backend]:
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
def gates(backend: Backend) -> Gates:
    """The gates of an empty backend."""
    return backend.flow.gates


@pytest.fixture
def rates(backend: Backend) -> Rates:
    """The rates of an empty backend."""
    return backend.flow.rates


@pytest.fixture
def debounces(backend: Backend) -> Debounces:
    """The debounces of an empty backend."""
    return backend.flow.debounces


@pytest.fixture
def batches(backend: Backend) -> Batches:
    """The batches of an empty backend."""
    return backend.flow.batches


@pytest.fixture
async def queue(open_queueing_backend: OpenBackend[QueueingBackend], tmp_path: Path) -> AsyncIterator[WorkQueue]:
    """The queue of an empty backend."""
    async with open_queueing_backend(tmp_path) as opened:
        yield opened.queue
