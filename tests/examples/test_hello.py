from __future__ import annotations

from examples.hello.app import app
from stepwell import Event
from tests.examples.engine import ServedExample


async def test_hello_greets_after_its_pause():
    """The smallest example looks a name up, sleeps two seconds and greets."""
    async with ServedExample(app) as hello:
        (run,) = await hello.send(Event(name="hello/requested", data={"name": "ada lovelace"}), runs=1)
    assert run.header.outcome is not None
    assert run.header.outcome.output == "Hello, Ada Lovelace!"
    assert run.header.outcome.ended_at_ms - run.header.created_at_ms == 2_000
    assert {entry.name for entry in run.entries.values()} == {"look-up-name", "pause", "greet"}
