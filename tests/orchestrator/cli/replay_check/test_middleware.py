"""Runs of apps with middleware, checked with the middleware of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import stepwell
from stepwell.middleware import Encryption
from stepwell_orchestrator.views.journal_export import journal_body
from tests.orchestrator.cli.replay_check.support import START, Handler, checked_by
from tests.orchestrator.scene import played

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def app_of(handler: Handler, key: bytes) -> stepwell.App:
    """An app whose only function is ``fulfil``, encrypted."""
    app = stepwell.App("shop", dev=True, middleware=[Encryption([key])])
    app.function(id="fulfil", on=START, retries=0)(handler)
    return app


async def give(value: str) -> str:
    """A step body."""
    return value


async def ships(ctx: stepwell.Context) -> str:
    return await ctx.step.run("ship", give, "shipped")


async def ships_otherwise(ctx: stepwell.Context) -> str:
    return (await ctx.step.run("ship", give, "shipped")).upper()


async def recorded() -> Any:
    """The journal of an encrypted run."""
    async with played(app_of(ships, KEY)) as scene:
        await scene.send(START)
        body = journal_body(await scene.run("shop-fulfil"), scene.clock.now_ms())
    return json.loads(json.dumps(body))


async def test_encrypted_runs_are_compared_in_clear(tmp_path: Path) -> None:
    """Code that gives the same agrees although it encrypts it anew; other code differs, as it would in clear."""
    journal = await recorded()
    assert "shipped" not in json.dumps(journal)
    assert (await checked_by(app_of(ships, KEY), journal, tmp_path)).difference is None
    difference = (await checked_by(app_of(ships_otherwise, KEY), journal, tmp_path)).difference
    assert difference is not None
    assert "SHIPPED" in str(difference)


async def test_without_the_key_the_check_says_so(tmp_path: Path) -> None:
    """A run that cannot be decrypted is reported with the error that names the key."""
    difference = (await checked_by(app_of(ships, OTHER_KEY), await recorded(), tmp_path)).difference
    assert difference is not None
    assert "not among those here" in str(difference)
