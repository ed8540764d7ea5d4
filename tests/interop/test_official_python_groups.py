"""How many call requests the official Python package's groups take on our server, and a state too large for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.interop import groups
from tests.interop.official import official
from tests.interop.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with official(groups.functions) as serving:
        yield serving


@pytest.mark.parametrize(("name", "calls"), [("two", 3), ("chains", 7)])
async def test_calls_are_those_of_the_official_tests(server: Server, name: str, calls: int) -> None:
    """Two steps in a row take three, and two chains of two in a group take seven."""
    outcome = await server.outcome(f"official/{name}")
    assert (outcome.status, outcome.calls) == ("Completed", calls)


async def test_racing_chains_take_no_more_calls_than_elsewhere(server: Server) -> None:
    """There are nine on the official server; ours puts discoveries together that would find the same."""
    outcome = await server.outcome("official/racing")
    assert (outcome.status, outcome.output) == ("Completed", [1, 1])
    assert 7 <= outcome.calls <= 9


async def test_a_state_too_large_for_a_call_is_fetched(server: Server) -> None:
    """Ten steps of a megabyte are more than a call may carry; the package asks for them."""
    outcome = await server.outcome("official/big")
    assert (outcome.output, outcome.calls) == ([groups.MEGABYTE] * 10, 11)
