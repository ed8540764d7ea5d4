"""Gateway steps of our own adapter, through the whole engine, against a stand-in provider."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.ai import Model
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Run, RunStatus
from stepwell_orchestrator.views.run_view import trace_rows
from tests.orchestrator.transports.provider import Answer, Provider, json_answer, provider

KEY = "sk-secret-of-the-provider"


class Watched:
    """An engine at work, and what it told."""

    def __init__(self, path: Path | None = None) -> None:
        self.notices: list[Notice] = []
        self._told = asyncio.Event()
        self.engine = Embedded(path, observe=self._observe, retry_delay_ms=1)

    def _observe(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._told.set()

    async def run(self, app: stepwell.App, name: str) -> Run:
        """Send an event and return the run it started once that has ended."""
        await self.engine.serve(app)
        await self.engine.send(stepwell.Event(name=name, data={}))
        ended = {NoticeKind.RUN_COMPLETED, NoticeKind.RUN_FAILED}
        while not (found := [notice for notice in self.notices if notice.kind in ended]):
            self._told.clear()
            await self._told.wait()
        run = await self.engine.journal.load(found[0].run_id)
        assert run is not None
        return run


async def run_of(handler: Callable[..., Any], *answers: Answer, retries: int = 0) -> tuple[Run, Provider, Watched]:
    """One run of a function that is called with its context and the provider's origin."""
    app = stepwell.App("shop", dev=True)
    watched = Watched()
    async with provider(*answers) as server, watched.engine:

        async def fetching(ctx: stepwell.Context) -> Any:
            return await handler(ctx, server.origin)

        def blocking(ctx: stepwell.SyncContext) -> Any:
            return handler(ctx, server.origin)

        body = fetching if asyncio.iscoroutinefunction(handler) else blocking
        app.function(id="fetching", on="shop/go", retries=retries)(body)
        run = await watched.run(app, "shop/go")
    return run, server, watched


def output(run: Run) -> Any:
    assert run.header.outcome is not None
    assert run.header.outcome.status is RunStatus.COMPLETED, run.header.outcome
    return run.header.outcome.output


def journal_text(path: Path) -> str:
    """Every value of every table of a database, and the bytes of its files."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in db.execute(f"SELECT * FROM {table}")]
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    return f"{rows} {files!r}"


async def fetch(ctx: stepwell.Context, origin: str) -> Any:
    response = await ctx.step.fetch(
        "order", f"{origin}/orders?expand=1", headers={"Authorization": f"Bearer {KEY}"}, json={"id": 7}
    )
    return [response.status_code, response.ok, response.json(), response.headers["x-a"], response.url]


def fetch_sync(ctx: stepwell.SyncContext, origin: str) -> Any:
    response = ctx.step.fetch(
        "order", f"{origin}/orders?expand=1", headers={"Authorization": f"Bearer {KEY}"}, json={"id": 7}
    )
    return [response.status_code, response.ok, response.json(), response.headers["x-a"], response.url]


@pytest.mark.parametrize("handler", [fetch, fetch_sync])
async def test_a_fetch_gives_the_response_whatever_its_status(handler: Callable[..., Any]) -> None:
    """The server makes the request once, and a status of 404 is a response like any other."""
    run, server, watched = await run_of(handler, json_answer({"error": "none"}, 404, x_a="1"))
    assert output(run) == [404, False, {"error": "none"}, "1", f"{server.origin}/orders?expand=1"]
    (seen,) = server.seen
    assert (seen.method, seen.body, seen.headers["content-type"]) == ("POST", '{"id":7}', "application/json")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    # The step is reported, asked for again, and its result handed to the function.
    assert [notice.kind for notice in watched.notices].count(NoticeKind.CALLED) == 3
    (row,) = trace_rows(run)
    assert (row["op"], row["name"], row["status"], row["attempts"]) == ("Gateway", "order", "Completed", 1)
    (entry,) = run.entries.values()
    assert entry.opts == {"type": "step.fetch", "method": "POST", "url": f"{server.origin}/orders"}


MODELS: list[tuple[Callable[[str], Model], str, dict[str, str], dict[str, str], bool]] = [
    (
        lambda origin: stepwell.ai.openai("gpt", api_key=KEY, base_url=f"{origin}/v1/"),
        "/v1/chat/completions",
        {"authorization": f"Bearer {KEY}"},
        {},
        True,
    ),
    (
        lambda origin: stepwell.ai.anthropic("claude", api_key=KEY, base_url=f"{origin}/v1"),
        "/v1/messages",
        {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
        {},
        True,
    ),
    (
        lambda origin: stepwell.ai.gemini("gem", api_key=KEY, base_url=f"{origin}/v1beta"),
        "/v1beta/models/gem:generateContent",
        {},
        {"key": KEY},
        False,
    ),
    (
        lambda origin: stepwell.ai.bedrock("us.nova:0", api_key=KEY, region="eu-west-1", base_url=origin),
        "/model/us.nova:0/converse",
        {"authorization": f"Bearer {KEY}"},
        {},
        False,
    ),
]


@pytest.mark.parametrize(("model", "path", "headers", "query", "in_body"), MODELS)
async def test_an_inference_goes_out_in_the_providers_format(
    model: Callable[[str], Model], path: str, headers: dict[str, str], query: dict[str, str], in_body: bool
) -> None:
    """URL, headers, key and body are each provider's own, and the answer is the step's result as it is."""

    async def ask(ctx: stepwell.Context, origin: str) -> Any:
        return await ctx.step.ai.infer("ask", model=model(origin), body={"messages": [{"role": "user"}]})

    run, server, _ = await run_of(ask, json_answer({"choices": [1, None]}))
    assert output(run) == {"choices": [1, None]}
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.query) == ("POST", path, query)
    assert {name: seen.headers[name] for name in headers} == headers
    assert seen.headers["content-type"] == "application/json"
    assert ('"model":' in seen.body) == in_body


async def test_no_secret_is_written_or_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Key, headers and body are in no file, trace, error, notice or log, even when the provider repeats the key."""
    caplog.set_level("DEBUG")
    app = stepwell.App("shop", dev=True)
    watched = Watched(tmp_path / "journal.db")
    answers = [json_answer({"error": f"bad key {KEY}"}, 401), json_answer({"error": f"bad key {KEY}"}, 401)]
    async with provider(*answers, json_answer({"text": "fine"})) as server, watched.engine:

        @app.function(on="shop/go", retries=1)
        async def asking(ctx: stepwell.Context) -> Any:
            model = stepwell.ai.gemini("gem", api_key=KEY, base_url=server.origin)
            refused = None
            try:
                await ctx.step.ai.infer("ask", model=model, body={"prompt": "confidential"})
            except stepwell.StepError as error:
                refused = str(error)
            response = await ctx.step.fetch("get", server.origin, headers={"x-token": KEY}, body="confidential")
            return [refused, response.status_code]

        run = await watched.run(app, "shop/go")
    assert run.header.outcome is not None
    assert output(run)[1] == 200
    assert len(server.seen) == 3
    journal = journal_text(tmp_path / "journal.db")
    told = f"{trace_rows(run)} {watched.notices} {run} {caplog.text} {journal}"
    assert "[redacted]" in journal, "what the journal holds can be read"
    for secret in (KEY, "confidential"):
        assert secret not in told


async def test_a_refusal_of_the_provider_is_tried_again_and_then_memoised() -> None:
    """A status of 300 or more fails the attempt; the error of the last one has the provider's answer."""

    async def ask(ctx: stepwell.Context, origin: str) -> Any:
        try:
            return await ctx.step.ai.infer(
                "ask", model=stepwell.ai.openai("gpt", api_key=KEY, base_url=origin), body={}
            )
        except stepwell.StepError as error:
            return [error.name, error.message.replace(origin, "http://provider"), error.stack]

    run, server, _ = await run_of(ask, json_answer({"error": 1}, 500), json_answer({"error": 2}, 429), retries=1)
    message = "Error making AI request: http://provider/chat/completions answered HTTP 429"
    assert output(run) == ["AIGatewayError", message, '{"error": 2}']
    assert len(server.seen) == 2
    (entry,) = run.entries.values()
    assert entry.memo["error"]["data"] == {"error": 2}


async def test_an_attempt_that_succeeds_ends_the_retries() -> None:
    """After two failures the third answer is the step's result."""

    async def ask(ctx: stepwell.Context, origin: str) -> Any:
        return await ctx.step.ai.infer("ask", model=stepwell.ai.openai("gpt", api_key=KEY, base_url=origin), body={})

    run, server, _ = await run_of(ask, json_answer(1, 500), json_answer(1, 503), json_answer("yes"), retries=4)
    assert output(run) == "yes"
    assert len(server.seen) == 3
    (row,) = trace_rows(run)
    assert (row["op"], row["attempts"]) == ("AIGateway", 3)


async def test_requests_go_out_beside_other_steps() -> None:
    """In a gather a fetch, an inference and a run are under way together: each waits for the others to have begun."""
    begun = asyncio.Barrier(3)

    async def meet(_: Any = None) -> Any:
        await begun.wait()
        return json_answer("met")

    async def all_three(ctx: stepwell.Context, origin: str) -> Any:
        async def local() -> str:
            await begun.wait()
            return "met"

        model = stepwell.ai.openai("gpt", api_key=KEY, base_url=origin)
        fetched, inferred, ran = await asyncio.gather(
            ctx.step.fetch("fetch", origin),
            ctx.step.ai.infer("infer", model=model, body={}),
            ctx.step.run("run", local),
        )
        return [fetched.json(), inferred, ran]

    run, _, _ = await run_of(all_three, meet)
    assert output(run) == ["met", "met", "met"]


async def test_a_wrapped_call_is_a_step_of_its_own_kind() -> None:
    """``step.ai.wrap`` executes like ``step.run``, in async and plain functions, and says what it is."""

    async def wrap(ctx: stepwell.Context, _: str) -> Any:
        return await ctx.step.ai.wrap("think", lambda first, *, second: first + second, 1, second=2)

    def wrap_sync(ctx: stepwell.SyncContext, _: str) -> Any:
        return ctx.step.ai.wrap("think", lambda first, *, second: first + second, 1, second=2)

    for handler in (wrap, wrap_sync):
        run, _, _ = await run_of(handler)
        assert output(run) == 3
        (entry,) = run.entries.values()
        assert entry.opts == {"type": "step.ai.wrap"}


async def test_a_refused_address_fails_the_step_at_once() -> None:
    """The metadata service is refused without a retry, with an error that names the setting."""

    async def steal(ctx: stepwell.Context, _: str) -> Any:
        await ctx.step.fetch("steal", "http://169.254.169.254/latest/meta-data/")

    run, _, watched = await run_of(steal, retries=4)
    assert run.header.outcome is not None
    assert run.header.outcome.status is RunStatus.FAILED
    (entry,) = run.entries.values()
    assert entry.memo["error"]["name"] == "GatewayError"
    assert "STEPWELL_GATEWAY_ALLOW" in entry.memo["error"]["message"]
    assert NoticeKind.STEP_RETRYING not in {notice.kind for notice in watched.notices}
