"""GraphQL: what the official SDKs' tests ask, the rest of the schema, and its bounds (protocol 7.4)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS, format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.ports import RunFilter
from tests.orchestrator.world import UNKNOWN_ID, World

START = format_instant(VIRTUAL_START_MS)
_ALL = RunFilter()

FULFIL = {"name": "fulfil"}

RUN_FROM_EVENT = (
    "query GetRunFromEventID($event_id: ID!) { event(query: {eventId: $event_id}) { functionRuns { id } } }"
)
RUN = "query GetRun($run_id: String!) { run(runID: $run_id) { output status } runTrigger(runID: $run_id) { payloads } }"
HISTORY = "query GetHistory($run_id: String!) { run(runID: $run_id) { trace { childrenSpans { name outputID } } } }"
OUTPUT = (
    "query GetHistory($output_id: String!) "
    "{ runTraceSpanOutputByID(outputID: $output_id) { data error { message name stack } } }"
)
FULL_INTROSPECTION = (
    "{ __schema { types { fields { args { type { ofType { ofType { ofType { ofType { ofType { ofType { ofType "
    "{ name } } } } } } } } } } } } }"
)


async def ask(client: httpx.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    """The body of the answer to a query."""
    answer = await client.post("/v0/gql", json={"query": query, "variables": variables})
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert isinstance(body["data"], dict)
    return body


async def data(client: httpx.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    """The data of an answer without errors."""
    body = await ask(client, query, **variables)
    assert "errors" not in body, body["errors"]
    found: dict[str, Any] = body["data"]
    return found


async def error(client: httpx.AsyncClient, query: str, **variables: Any) -> str:
    """The message of an answer's one error."""
    [told] = (await ask(client, query, **variables))["errors"]
    return str(told["message"])


async def test_the_official_test_queries(api: httpx.AsyncClient, shop_world: World) -> None:
    """From an event to its run, the run's status and trigger, its steps, and their outputs."""
    event_id = await shop_world.send("shop/order", {"n": 1})
    run = await shop_world.run_of(event_id)
    found = await data(api, RUN_FROM_EVENT, event_id=event_id)
    assert found == {"event": {"functionRuns": [{"id": run.run_id}]}}
    await shop_world.step_reached(run.run_id, "sleeping")
    found = await data(api, RUN, run_id=run.run_id)
    assert found["run"] == {"output": None, "status": "RUNNING"}
    [payload] = found["runTrigger"]["payloads"]
    event = json.loads(payload)
    assert (event["name"], event["data"], event["id"], event["ts"]) == (
        "shop/order",
        {"n": 1},
        event_id,
        VIRTUAL_START_MS,
    )
    await shop_world.clock.advance(HOUR_MS)
    await shop_world.ended(run.run_id)
    found = await data(api, RUN, run_id=run.run_id)
    assert found["run"]["status"] == "COMPLETED"
    assert json.loads(found["run"]["output"]) == {"user": {"name": "Ada"}}
    spans = (await data(api, HISTORY, run_id=run.run_id))["run"]["trace"]["childrenSpans"]
    assert [span["name"] for span in spans] == ["fetch-user", "cool-off"]
    outputs = [(await data(api, OUTPUT, output_id=span["outputID"]))["runTraceSpanOutputByID"] for span in spans]
    assert outputs == [{"data": '{"name":"Ada"}', "error": None}, {"data": None, "error": None}]


async def test_the_stream_has_events_with_their_runs(api: httpx.AsyncClient, shop_world: World) -> None:
    """Events newest first with the runs they started, those of the engine where they are asked for; keys never null."""
    first = await shop_world.send("shop/nobody")
    second = await shop_world.send("shop/order")
    run = await shop_world.run_of(second)
    query = "query S($q: StreamQuery!) { stream(query: $q) { id trigger type runs { id function { name } } } }"
    found = (await data(api, query, q={"limit": 2, "includeInternalEvents": False}))["stream"]
    assert found == [
        {"id": second, "trigger": "shop/order", "type": "EVENT", "runs": [{"id": run.run_id, "function": FULFIL}]},
        {"id": first, "trigger": "shop/nobody", "type": "EVENT", "runs": []},
    ]
    assert [item["id"] for item in (await data(api, query, q={"before": second}))["stream"]] == [first]
    key = await data(api, "query E($id: ULID!) { eventV2(id: $id) { idempotencyKey } }", id=first)
    assert key == {"eventV2": {"idempotencyKey": first}}


async def test_a_failed_run_and_its_failed_step(api: httpx.AsyncClient, shop_world: World) -> None:
    """A failed run's output is the error body as text; a failed step's output is an error with name and message."""
    run = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(run.run_id)
    found = await data(api, RUN, run_id=run.run_id)
    assert found["run"]["status"] == "FAILED"
    assert json.loads(found["run"]["output"])["message"] == "card declined"
    [span] = (await data(api, HISTORY, run_id=run.run_id))["run"]["trace"]["childrenSpans"]
    output = (await data(api, OUTPUT, output_id=span["outputID"]))["runTraceSpanOutputByID"]
    assert (output["data"], output["error"]["name"], output["error"]["message"]) == (
        None,
        "NonRetriableError",
        "card declined",
    )
    whole = (await data(api, OUTPUT, output_id=run.run_id))["runTraceSpanOutputByID"]
    assert whole["error"]["message"] == "card declined"


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        (RUN_FROM_EVENT, {"event_id": UNKNOWN_ID}, f"there is no event '{UNKNOWN_ID}', or not yet"),
        (RUN_FROM_EVENT, {"event_id": "x"}, "there is no event 'x', or not yet"),
        (HISTORY, {"run_id": UNKNOWN_ID}, f"Unable to load function run: {UNKNOWN_ID}"),
        (OUTPUT, {"output_id": f"{UNKNOWN_ID}.abc"}, f"Unable to load function run: {UNKNOWN_ID}"),
        (OUTPUT, {"output_id": ""}, "Invalid run ID: "),
        ('{ functionBySlug(query: {functionSlug: "x"}) { id } }', {}, "there is no function 'x'; sync its app first"),
        ('mutation { deleteApp(id: "x") }', {}, "there is no app 'x'; sync it first"),
        ('mutation { invokeFunction(functionSlug: "x") }', {}, "could not find function with ID: x"),
        ('mutation { cancelRun(runID: "x") { id } }', {}, "Invalid run ID: x"),
        ('{ runs(filter: {from: "soon"}) { edges { cursor } } }', {}, '"soon" is not a time'),
        ('{ runs(filter: {appIDs: ["a", "b"]}) { totalCount } }', {}, "runs are filtered by one function"),
        ("{ runs(orderBy: {field: ENDED_AT, direction: ASC}) { totalCount } }", {}, "runs are listed by QUEUED_AT"),
        ("{ apps { ...f } } fragment f on App { ...f }", {}, "Cannot spread fragment 'f' within itself."),
        ("{ apps { ...g } }", {}, "Unknown fragment 'g'."),
        ("{ a" * 2_000, {}, "Syntax Error: Document is nested too deeply."),
        ("{ nonsense }", {}, "Cannot query field 'nonsense' on type 'Query'."),
        ("{ apps { id }", {}, "Syntax Error: Expected Name, found <EOF>."),
        ("{ apps { " + "functions { app { " * 10 + "id" + " } }" * 10 + " } }", {}, "the query is 22 levels deep"),
        ("{ " + "apps { id } " * 600 + "}", {}, "the query has 1200 fields; the limit is 1000"),
        ("{ " + "apps { id } " * 2_000 + "}", {}, "Syntax Error: Document contains more than 5000 tokens."),
    ],
)
async def test_what_is_not_there_is_an_error(
    api: httpx.AsyncClient, query: str, variables: dict[str, Any], message: str
) -> None:
    """What is unknown, or not there yet, or too much, is an entry of ``errors`` with status 200, not a null."""
    told = await error(api, query, **variables)
    assert told.startswith(message), told


async def test_a_bomb_of_fragments_is_not_carried_out(api: httpx.AsyncClient) -> None:
    """Fragments count wherever they are spread, and the counting itself takes no time that doubles with each."""
    fragments = [f"fragment f{n} on App {{ a: id ...f{n + 1} ...f{n + 1} }}" for n in range(60)]
    query = "{ apps { ...f0 } } " + " ".join(fragments) + " fragment f60 on App { id }"
    assert "fields; the limit is 1000" in await error(api, query)


async def test_an_unfinished_step_has_no_output_yet(api: httpx.AsyncClient, shop_world: World) -> None:
    """The output of a step under way is an error until it has finished, and so is that of its run."""
    run = await shop_world.run_of(await shop_world.send("shop/order"))
    await shop_world.step_reached(run.run_id, "sleeping")
    for output_id in (run.run_id, f"{run.run_id}.{hash_step_id('cool-off')}"):
        assert (await error(api, OUTPUT, output_id=output_id)).endswith("or not yet")


async def test_spans_have_what_the_protocol_names(api: httpx.AsyncClient, shop_world: World) -> None:
    """The trace has the run as its root and a span for each step with kind, state, times and what it waits for."""
    run = await shop_world.run_of(await shop_world.send("shop/order"))
    await shop_world.step_reached(run.run_id, "sleeping")
    query = """query ($run: String!) { runTrace(runID: $run) { isRoot name status runID outputID childrenSpans {
        name status attempts duration queuedAt startedAt endedAt stepOp stepID stepType isRoot parentSpanID
        stepInfo { __typename ... on SleepStepInfo { sleepUntil } ... on RunStepInfo { type } } } } }"""
    trace = (await data(api, query, run=run.run_id))["runTrace"]
    assert (trace["isRoot"], trace["status"], trace["outputID"]) == (True, "RUNNING", None)
    fetch, nap = trace["childrenSpans"]
    assert fetch == {
        "name": "fetch-user",
        "status": "COMPLETED",
        "attempts": 1,
        "duration": 0,
        "queuedAt": START,
        "startedAt": START,
        "endedAt": START,
        "stepOp": "RUN",
        "stepID": hash_step_id("fetch-user"),
        "stepType": "step.run",
        "isRoot": False,
        "parentSpanID": "run",
        "stepInfo": {"__typename": "RunStepInfo", "type": "step.run"},
    }
    assert (nap["status"], nap["stepOp"], nap["endedAt"], nap["duration"]) == ("WAITING", "SLEEP", None, None)
    assert nap["stepInfo"]["sleepUntil"] == format_instant(VIRTUAL_START_MS + HOUR_MS)


async def test_apps_functions_and_events(api: httpx.AsyncClient, shop_world: World) -> None:
    """Apps with their functions, functions with their app and triggers, events with their runs."""
    event_id = await shop_world.send("shop/bad", {"n": 1})
    run = await shop_world.run_of(event_id)
    await shop_world.ended(run.run_id)
    found = await data(
        api,
        """{ apps { id sdkLanguage functionCount functions { slug } }
             functions { slug app { id } triggers { type value condition } }
             functionBySlug(query: {functionSlug: "shop-refuse"}) { name config }
             events(query: {name: "shop/bad"}) { id name payload functionRuns { status function { slug } } } }""",
    )
    assert found["apps"] == [
        {
            "id": "shop",
            "sdkLanguage": "stepwell-py",
            "functionCount": 2,
            "functions": [{"slug": "shop-fulfil"}, {"slug": "shop-refuse"}],
        }
    ]
    assert found["functions"][0] == {
        "slug": "shop-fulfil",
        "app": {"id": "shop"},
        "triggers": [{"type": "EVENT", "value": "shop/order", "condition": None}],
    }
    assert json.loads(found["functionBySlug"]["config"])["id"] == "shop-refuse"
    assert found["events"] == [
        {
            "id": event_id,
            "name": "shop/bad",
            "payload": '{"n":1}',
            "functionRuns": [{"status": "FAILED", "function": {"slug": "shop-refuse"}}],
        }
    ]
    one = await data(api, "query ($id: ULID!) { eventV2(id: $id) { name runs { id status } } }", id=event_id)
    assert one == {"eventV2": {"name": "shop/bad", "runs": [{"id": run.run_id, "status": "FAILED"}]}}
    old = await data(
        api, "query ($id: ID!) { functionRun(query: {functionRunId: $id}) { status finishedAt } }", id=run.run_id
    )
    assert old == {"functionRun": {"status": "FAILED", "finishedAt": START}}


async def test_runs_are_a_connection(api: httpx.AsyncClient, shop_world: World) -> None:
    """Runs come newest first in pages, filtered by status, function and time."""
    ids = []
    for _ in range(3):
        ids.append((await shop_world.run_of(await shop_world.send("shop/bad"))).run_id)
        await shop_world.ended(ids[-1])
        await shop_world.clock.advance(1_000)
    query = """query ($first: Int, $after: String, $filter: RunsFilterV2) {
        runs(first: $first, after: $after, filter: $filter, orderBy: [{field: QUEUED_AT, direction: DESC}])
        { edges { node { id } cursor } pageInfo { hasNextPage endCursor } } }"""
    page = (await data(api, query, first=2))["runs"]
    assert [edge["node"]["id"] for edge in page["edges"]] == [ids[2], ids[1]]
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": ids[1]}
    rest = (await data(api, query, first=2, after=ids[1]))["runs"]
    assert ([edge["cursor"] for edge in rest["edges"]], rest["pageInfo"]["hasNextPage"]) == ([ids[0]], False)
    until = format_instant(VIRTUAL_START_MS + 1_000)
    for wanted, expected in (
        ({"status": ["COMPLETED"]}, []),
        ({"status": ["FAILED", "SKIPPED"], "functionIDs": ["shop-refuse"], "appIDs": ["shop"]}, ids[::-1]),
        ({"until": until}, [ids[0]]),
        ({"from": until}, [ids[2], ids[1]]),
    ):
        found = (await data(api, query, filter=wanted))["runs"]
        assert [edge["cursor"] for edge in found["edges"]] == expected


async def test_mutations(api: httpx.AsyncClient, shop_world: World) -> None:
    """A function is invoked, its run cancelled, rerun from a step with other input, and its app forgotten."""
    invoke = "mutation ($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"
    assert await data(api, invoke, slug="shop-fulfil", data={"n": 7}) == {"invokeFunction": True}
    [run] = await shop_world.engine.journal.list_runs(_ALL, cursor=None, limit=10)
    await shop_world.step_reached(run.run_id, "sleeping")
    cancel = "mutation ($id: ULID!) { cancelRun(runID: $id) { id status } }"
    assert await data(api, cancel, id=run.run_id) == {"cancelRun": {"id": run.run_id, "status": "CANCELLED"}}
    rerun = "mutation ($id: ULID!, $from: RerunFromStepInput) { rerun(runID: $id, fromStep: $from) }"
    for start in (None, {"stepID": "cool-off"}, {"stepID": "fetch-user", "input": "[]"}):
        again = (await data(api, rerun, id=run.run_id, **({} if start is None else {"from": start})))["rerun"]
        await shop_world.step_reached(again, "sleeping")
    bad = {"stepID": "fetch-user", "input": "{}"}
    assert (await error(api, rerun, id=run.run_id, **{"from": bad})).startswith("fromStep.input must be a list")
    assert await data(api, 'mutation { deleteApp(id: "shop") }') == {"deleteApp": "shop"}
    assert await data(api, "{ apps { id } }") == {"apps": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"query": 7}', 400),
        (b'{"query": "{ apps { id } }", "variables": []}', 200),
        (b'{"query": "{ apps { id } }", "variables": [1]}', 400),
        (b'{"query": "' + b" " * 70_000 + b'{ apps { id } }"}', 413),
    ],
)
async def test_a_body_that_is_no_query(api: httpx.AsyncClient, body: bytes, status: int) -> None:
    """What is not a query at all, or too large, is refused as any other bad body."""
    assert (await api.post("/v0/gql", content=body)).status_code == status


async def test_introspection_is_answered(api: httpx.AsyncClient) -> None:
    """Tools may ask for the whole schema."""
    assert "errors" not in await ask(api, FULL_INTROSPECTION)


async def test_a_fault_of_ours_says_no_more(
    api: httpx.AsyncClient, shop_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error is told as one, and its details are in the log alone."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(shop_world.engine.registry, "list_apps", fail)
    assert await error(api, "{ apps { id } }") == "internal error; the server's log has the details"
    assert "secret detail" in caplog.text


async def test_keys_are_asked_for(shop_world: World) -> None:
    """A keyed server answers queries to who has the key."""
    async with shop_world.client(signing_keys=("signkey-test-00",)) as client:
        assert (await client.post("/v0/gql", json={"query": "{ apps { id } }"})).status_code == 401


def test_the_library_is_imported_when_it_is_needed() -> None:
    """A process that answers no query does not pay for the GraphQL library's import."""
    code = "import sys, stepwell_orchestrator.api.app; sys.exit('graphql' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
