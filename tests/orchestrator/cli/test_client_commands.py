from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.orchestrator.cli.conftest import Stepwell
from tests.orchestrator.cli.fake_server import FakeServer
from tests.orchestrator.cli.samples import EVENT_ID, OTHER_RUN_ID, RUN_ID, run_answer, trace_row

EVENTS = "POST /e/NO_EVENT_KEY_SET"
OF_EVENT = f"GET /v1/events/{EVENT_ID}/runs"
RUN = f"/v1/runs/{RUN_ID}"
KEY = "signkey-test-" + "ab" * 32


@pytest.fixture(autouse=True)
def at_the_fake_server(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_BASE_URL", server.origin)


def test_send(stepwell: Stepwell, server: FakeServer):
    """An event is sent with its data, id and time, and its internal id printed."""
    server.answers[EVENTS] = (200, {"ids": [EVENT_ID], "status": 200})
    result = stepwell("send", "order/created", '{"n": 1}', "--id", "o-1", "--ts", "2030-03-17T17:46:40Z")
    assert (result.exit_code, result.stdout) == (0, f"✓ order/created accepted as {EVENT_ID}\n")
    (asked,) = server.asked
    assert asked.body == {"name": "order/created", "data": {"n": 1}, "id": "o-1", "ts": 1_900_000_000_000}


@pytest.mark.parametrize("key", ["Zm9v/YmFy+=", "a?b#c", "100%41", "käse"])
def test_send_encodes_the_key(stepwell: Stepwell, server: FakeServer, monkeypatch: pytest.MonkeyPatch, key: str):
    """Whatever the event key holds, it is one segment of the path."""
    monkeypatch.setenv("STEPWELL_EVENT_KEY", key)
    stepwell("send", "order/created", "--url", server.origin)
    [asked] = server.asked
    path, e, sent = asked.path.split("/")
    assert (path, e, unquote(sent)) == ("", "e", key)


@pytest.mark.parametrize(("given", "data"), [(None, {}), ("-", {"n": 2}), ("@FILE", {"n": 3}), ('{"n": 4}', {"n": 4})])
def test_send_takes_data_from_anywhere(
    stepwell: Stepwell, server: FakeServer, tmp_path: Path, given: str | None, data: dict[str, int]
):
    """Data comes from the command line, standard input or a file, and may be left out."""
    server.answers[EVENTS] = (200, {"ids": [EVENT_ID], "status": 200})
    file = tmp_path / "data.json"
    file.write_text('{"n": 3}')
    args = [] if given is None else [given.replace("FILE", str(file))]
    result = stepwell("send", "order/created", *args, "--ts", "1900000000000", "--json", stdin='{"n": 2}')
    assert json.loads(result.stdout) == {"id": EVENT_ID, "name": "order/created"}
    assert server.asked[0].body == {"name": "order/created", "data": data, "ts": 1_900_000_000_000}


@pytest.mark.parametrize(
    ("args", "stdin", "complaint"),
    [
        (["{n: 1}"], None, "the data is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (["-"], '{"a": 1,\n "b" 2}', "standard input is not JSON: Expecting ':' delimiter: line 2 column 6 (char 14)"),
        (["[1]"], None, 'the data must be a JSON object such as {"id": 7}, got [1]'),
        (['{"n": NaN}'], None, "the data is not JSON: NaN found; JSON has no NaN"),
        (["@missing.json"], None, "cannot read missing.json: No such file or directory"),
        (["{}", "--ts", "tomorrow"], None, '--ts: "tomorrow" is not a time; write it like "2027-01-01T09:00:00Z"'),
    ],
)
def test_send_refuses_bad_data(
    stepwell: Stepwell, server: FakeServer, args: list[str], stdin: str | None, complaint: str
):
    """Data that is not a JSON object is refused in one line with its position, and nothing is sent."""
    result = stepwell("send", "order/created", *args, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"stepwell: {complaint}")
    assert result.stderr.count("\n") == 1
    assert server.asked == []


def starts(server: FakeServer, *runs: dict[str, Any], routed: bool = True) -> None:
    """Let the server accept an event that starts these runs."""
    server.answers[EVENTS] = (200, {"ids": [EVENT_ID], "status": 200})
    server.says(OF_EVENT, [*runs])
    server.answers[OF_EVENT][1]["routed"] = routed
    for found in runs:
        server.says(f"GET /v1/runs/{found['run_id']}/trace", [trace_row("price-order", (0, 0, 20), output=7)])


def test_send_and_wait(stepwell: Stepwell, server: FakeServer):
    """The runs an event starts are named when they start, and each is drawn when it has ended."""
    starts(server, run_answer(20, output=7), run_answer(30, run_id=OTHER_RUN_ID, function_id="shop-mail"))
    result = stepwell("send", "order/created", "--wait")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        f"✓ order/created accepted as {EVENT_ID}",
        f"● shop-fulfil-order runs as {RUN_ID}",
        "",
        "✓ shop-fulfil-order  Completed in 20ms, 1 step",
    ]
    assert f"● shop-mail runs as {OTHER_RUN_ID}" in lines
    assert lines.count("output 7") == 1
    assert server.questions[:2] == [EVENTS, OF_EVENT]


@pytest.mark.parametrize(("status", "exit_code"), [("Completed", 0), ("Failed", 1), ("Cancelled", 1)])
def test_send_and_wait_tells_how_it_went(stepwell: Stepwell, server: FakeServer, status: str, exit_code: int):
    """The exit code is 0 only when every run completed, and the JSON is that of the runs with their steps."""
    runs = (run_answer(20), run_answer(30, run_id=OTHER_RUN_ID, status=status))
    starts(server, *runs)
    result = stepwell("send", "order/created", "--wait", "--json", "--timeout", "1m")
    assert result.exit_code == exit_code
    steps = [trace_row("price-order", (0, 0, 20), output=7)]
    expected = {"id": EVENT_ID, "name": "order/created", "runs": [{**run, "steps": steps} for run in runs]}
    assert json.loads(result.stdout) == expected


@pytest.mark.parametrize("as_json", [True, False])
def test_send_and_wait_for_nothing(stepwell: Stepwell, server: FakeServer, as_json: bool):
    """An event that starts no run ends the command with 1 and the likely reasons."""
    starts(server)
    result = stepwell("send", "order/created", "--wait", *["--json"] * as_json)
    complaint = "no function has a trigger for it, or its --id was used before"
    assert (result.exit_code, result.stderr) == (1, f"stepwell: order/created started no run: {complaint}\n")
    assert json.loads(result.stdout)["runs"] == [] if as_json else "accepted as" in result.stdout


@pytest.mark.parametrize(("runs", "which"), [((run_answer(),), RUN_ID), ((), "none was started yet")])
def test_send_and_wait_in_vain(stepwell: Stepwell, server: FakeServer, runs: tuple[dict[str, Any], ...], which: str):
    """When the time is up the command ends with 1, names the runs that go on, and prints what there is."""
    starts(server, *runs, routed=bool(runs))
    result = stepwell("send", "order/created", "--wait", "--timeout", "0s", "--json")
    assert result.exit_code == 1
    assert result.stderr == f"stepwell: not over after 0s ({which}); it goes on, `stepwell run ID` shows how\n"
    assert len(json.loads(result.stdout)["runs"]) == len(runs)


def test_ctrl_c_leaves_the_runs_running(stepwell: Stepwell, server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    """Stopping to wait is said in one line, cancels nothing, and has an exit code of its own."""

    async def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    starts(server, run_answer())
    monkeypatch.setattr("stepwell_orchestrator.cli.follow.Follower.follow", interrupted)
    result = stepwell("send", "order/created", "--wait")
    assert result.exit_code == 130
    assert result.stderr == "stepwell: stopped waiting; what was sent goes on, `stepwell runs` shows how\n"
    assert server.questions == [EVENTS]


def test_waiting_needs_a_server_that_tells_when_it_is_done(stepwell: Stepwell, server: FakeServer):
    """A server that does not say whether more runs will come is not waited for."""
    starts(server, run_answer(20))
    del server.answers[OF_EVENT][1]["routed"]
    result = stepwell("send", "order/created", "--wait")
    assert result.exit_code == 1
    assert "does not tell whether more runs will come; --wait needs a Stepwell server" in result.stderr


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--timeout", "1m"], "--timeout is how long to wait; add --wait"),
        (["--wait", "--timeout", "soon"], '--timeout: "soon" is not a duration; write it like "30s"'),
        (["--wait", "--timeout=-1s"], "--timeout: -1s is negative; write it like 30s"),
    ],
)
def test_a_bad_timeout_sends_nothing(stepwell: Stepwell, server: FakeServer, args: list[str], complaint: str):
    """A timeout that is none is refused before the event is sent."""
    result = stepwell("send", "order/created", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"stepwell: {complaint}")
    assert server.asked == []


def test_runs(stepwell: Stepwell, server: FakeServer):
    """Runs are listed in aligned columns, and the filters are the server's."""
    server.says("GET /v1/runs", [run_answer(1_500), run_answer(run_id=OTHER_RUN_ID)])
    result = stepwell("runs", "--status", "failed", "--status", "running", "--function", "shop-a b", "--limit", "5")
    assert result.stdout.splitlines() == [
        "run                         status     started (UTC)        took   function",
        f"{RUN_ID}  Completed  2030-03-17 17:46:40  1.50s  shop-fulfil-order",
        f"{OTHER_RUN_ID}  Running    2030-03-17 17:46:40         shop-fulfil-order",
    ]
    assert server.questions == ["GET /v1/runs?limit=5&status=failed,running&function_id=shop-a+b"]


def test_no_runs(stepwell: Stepwell, server: FakeServer):
    """An empty list is said in words, or is an empty array."""
    server.says("GET /v1/runs", [])
    assert stepwell("runs").stdout == "no runs\n"
    assert stepwell("runs", "--json").stdout == "[]\n"


def test_crons(stepwell: Stepwell, server: FakeServer):
    """Schedules are listed with their next ticks by the clocks of their zones, a line each."""
    ticks = [{"at": "2030-03-18T08:00:00.000Z", "local": "2030-03-18T09:00:00+01:00"}]
    ticks.append({"at": "2030-03-25T08:00:00.000Z", "local": "2030-03-25T09:00:00+01:00"})
    schedule = {"function_id": "shop-report", "cron": "TZ=Europe/Paris 0 9 * * 1", "tz": "Europe/Paris", "next": ticks}
    server.says("GET /v1/crons", [schedule])
    assert stepwell("crons", "--function", "shop-report", "--next", "2").stdout.splitlines() == [
        "function     cron                       next              time zone",
        "shop-report  TZ=Europe/Paris 0 9 * * 1  2030-03-18 09:00  Europe/Paris",
        "                                        2030-03-25 09:00  Europe/Paris",
    ]
    assert json.loads(stepwell("crons", "--json").stdout) == [schedule]
    assert server.questions[0] == "GET /v1/crons?limit=2&function_id=shop-report"


def test_no_crons(stepwell: Stepwell, server: FakeServer):
    """Where nothing is scheduled that is said in words, or is an empty array."""
    server.says("GET /v1/crons", [])
    assert stepwell("crons").stdout == "no schedules\n"
    assert stepwell("crons", "--json").stdout == "[]\n"


def test_run(stepwell: Stepwell, server: FakeServer):
    """A run is drawn as a timeline as wide as the terminal."""
    server.says(f"GET {RUN}", run_answer(20, output=7))
    server.says(f"GET {RUN}/trace", [trace_row("price-order", (0, 0, 20), output=7)])
    result = stepwell("run", RUN_ID)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-4:] == [
        f"                     0 {'─' * 32} 20ms",
        f"✓ price-order run    {'█' * 39}    20ms  7",
        "",
        "output 7",
    ]


def test_a_run_tells_its_trouble(stepwell: Stepwell, server: FakeServer):
    """Under the timeline of a run is what keeps the engine from working on it, on one line and nothing but text."""
    server.says(f"GET {RUN}", run_answer(trouble="queue item [red]x[/red] has failed\nby ReadTimeout"))
    server.says(f"GET {RUN}/trace", [])
    assert stepwell("run", RUN_ID).stdout.splitlines()[-1] == "✗ queue item [red]x[/red] has failed by ReadTimeout"


def test_a_run_tells_its_warnings(stepwell: Stepwell, server: FakeServer):
    """Under the timeline of a run is what its calls told its author, a line each and nothing but text."""
    server.says(f"GET {RUN}", run_answer(warnings=["step [b]x[/b]\nis lost", "odd"]))
    server.says(f"GET {RUN}/trace", [])
    assert stepwell("run", RUN_ID).stdout.splitlines()[-2:] == ["! step [b]x[/b] is lost", "! odd"]


def test_run_as_json(stepwell: Stepwell, server: FakeServer):
    """The JSON of a run is the server's, with its steps as one more member."""
    steps = [trace_row("price-order", (0, 0, 20))]
    server.says(f"GET {RUN}", run_answer(20))
    server.says(f"GET {RUN}/trace", steps)
    assert json.loads(stepwell("run", RUN_ID, "--json").stdout) == {**run_answer(20), "steps": steps}


@pytest.mark.parametrize("text", ["J7CJD", "j7cjd", RUN_ID[:18]])
def test_a_part_of_an_id_is_enough(stepwell: Stepwell, server: FakeServer, text: str):
    """A run may be named by the end of its id, as the live log shows it, or by its beginning."""
    server.says("GET /v1/runs", [run_answer(20), run_answer(20, run_id=OTHER_RUN_ID)])
    server.says(f"GET {RUN}", run_answer(20))
    server.says(f"GET {RUN}/trace", [])
    assert stepwell("run", text).exit_code == 0
    assert server.questions == ["GET /v1/runs?limit=100", f"GET {RUN}", f"GET {RUN}/trace"]


@pytest.mark.parametrize(
    ("text", "exit_code", "complaint"),
    [
        ("01M8226XFK", 2, f'"01M8226XFK" names 2 runs ({RUN_ID}, {OTHER_RUN_ID}); give more of the id'),
        ("NOPE", 1, 'none of the latest 100 runs begins or ends with "NOPE"; `stepwell runs` lists them'),
    ],
)
@pytest.mark.parametrize("command", ["run", "cancel", "rerun"])
def test_an_id_must_name_one_run(
    stepwell: Stepwell, server: FakeServer, command: str, text: str, exit_code: int, complaint: str
):
    """A part of an id that names no run, or several, does nothing."""
    server.says("GET /v1/runs", [run_answer(20), run_answer(20, run_id=OTHER_RUN_ID)])
    result = stepwell(command, text)
    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, "", f"stepwell: {complaint}\n")
    assert server.questions == ["GET /v1/runs?limit=100"]


@pytest.mark.parametrize(("status", "exit_code"), [("Cancelled", 0), ("Completed", 1)])
def test_cancel(stepwell: Stepwell, server: FakeServer, status: str, exit_code: int):
    """Cancelling succeeds when the run is cancelled afterwards, and says so when it had ended otherwise."""
    server.answers[f"DELETE {RUN}"] = (200, None)
    server.says(f"GET {RUN}", run_answer(20, status=status))
    result = stepwell("cancel", RUN_ID)
    assert result.exit_code == exit_code
    assert (result.stdout + result.stderr) in (
        f"✓ run {RUN_ID} is cancelled\n",
        f"stepwell: run {RUN_ID} was not cancelled: it is Completed\n",
    )
    as_json = stepwell("cancel", RUN_ID, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (exit_code, {"run_id": RUN_ID, "status": status})


def test_rerun(stepwell: Stepwell, server: FakeServer):
    """A rerun prints the new run's id."""
    server.says(f"POST {RUN}/rerun", {"run_id": OTHER_RUN_ID})
    assert stepwell("rerun", RUN_ID).stdout == f"✓ run {OTHER_RUN_ID} runs {RUN_ID} again\n"
    answer = {"run_id": OTHER_RUN_ID, "original_run_id": RUN_ID}
    assert json.loads(stepwell("rerun", RUN_ID, "--json").stdout) == answer


@pytest.mark.parametrize(
    ("args", "start"),
    [
        (["--from-step", "charge"], {"stepId": "charge"}),
        (["--from-step", "charge", "--input", '[250, "EUR"]'], {"stepId": "charge", "input": [250, "EUR"]}),
    ],
)
def test_rerun_from_a_step(stepwell: Stepwell, server: FakeServer, args: list[str], start: object):
    """A rerun from a step names the step, and its new arguments when there are any."""
    server.says(f"POST {RUN}/rerun", {"run_id": OTHER_RUN_ID})
    assert stepwell("rerun", RUN_ID, *args).stdout == f"✓ run {OTHER_RUN_ID} runs {RUN_ID} again from charge\n"
    assert [asked.body for asked in server.asked] == [{"fromStep": start}]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--input", "[1]"], "--input needs --from-step: it is what that step's function is called with"),
        (["--from-step", "a", "--input", "{"], "--input: "),
        (["--from-step", "a", "--input", "{}"], "--input must be a JSON list, one member for each argument"),
    ],
)
def test_rerun_refuses_a_bad_input(stepwell: Stepwell, server: FakeServer, args: list[str], complaint: str):
    """New arguments need a step and are a list; otherwise nothing is asked."""
    result = stepwell("rerun", RUN_ID, *args)
    assert (result.exit_code, result.stdout, server.questions) == (2, "", [])
    assert result.stderr.startswith(f"stepwell: {complaint}")


@pytest.mark.parametrize(("modified", "outcome"), [(True, "is registered"), (False, "has not changed")])
def test_sync(stepwell: Stepwell, server: FakeServer, modified: bool, outcome: str):
    """An app is asked by PUT to register itself."""
    server.answers["PUT /api/inngest"] = (200, {"ok": True, "modified": modified})
    target = f"{server.origin}/api/inngest"
    assert stepwell("sync", target).stdout == f"✓ the app at {target} {outcome}\n"
    assert json.loads(stepwell("sync", target, "--json").stdout) == {"ok": True, "modified": modified}


def test_sync_fails_when_the_app_relays_a_refusal(stepwell: Stepwell, server: FakeServer):
    """An app that answers 200 with its server's refusal has not been registered."""
    server.answers["PUT /api/inngest"] = (200, {"error": "At least one function is invalid", "status": 400})
    result = stepwell("sync", f"{server.origin}/api/inngest")
    assert result.exit_code == 1
    assert "At least one function is invalid" in result.stderr


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (404, {"error": "Unable to load function run: X"}, "says no (404): Unable to load function run: X"),
        (401, "Authentication failed", "refused the credentials; set STEPWELL_EVENT_KEY and STEPWELL_SIGNING_KEY"),
        (200, "<html>hello</html>", "answers 200 but not as a Stepwell server does; check the URL"),
        (502, "Bad gateway", "answers 502 but not as a Stepwell server does; check the URL"),
        (500, {}, "says no (500): no reason given"),
    ],
)
@pytest.mark.parametrize(
    ("args", "question"),
    [
        (["send", "a"], EVENTS),
        (["runs"], "GET /v1/runs"),
        (["run", RUN_ID], f"GET {RUN}"),
        (["cancel", RUN_ID], f"DELETE {RUN}"),
        (["rerun", RUN_ID], f"POST {RUN}/rerun"),
    ],
)
def test_a_bad_answer_is_one_line(
    stepwell: Stepwell, server: FakeServer, args: list[str], question: str, status: int, body: object, complaint: str
):
    """Whatever a server answers instead of success becomes one line and exit code 1, for every command alike."""
    server.answers[question] = (status, body)
    result = stepwell(*args, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"stepwell: {server.origin} {complaint}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args", [["send", "a"], ["runs"], ["run", RUN_ID], ["cancel", RUN_ID], ["rerun", RUN_ID], ["run", "ABC"]]
)
def test_no_server(stepwell: Stepwell, free_port: int, args: list[str]):
    """Without a server every command says how to start one."""
    origin = f"http://127.0.0.1:{free_port}"
    result = stepwell(*args, "--url", origin)
    fix = "start a server with `stepwell dev`, or name yours with --url"
    assert (result.exit_code, result.stderr) == (1, f"stepwell: nothing answers at {origin}; {fix}\n")


def test_a_remote_server_is_asked_through_the_proxy(
    stepwell: Stepwell, server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    """A server elsewhere is asked through the proxy of the environment, one on this machine never is."""
    monkeypatch.setenv("http_proxy", server.origin)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.says("GET http://engine.example/v1/runs", [])
    server.says("GET /v1/runs", [])
    assert stepwell("runs", "--url", "http://engine.example").exit_code == 0
    assert stepwell("runs", "--url", server.origin).exit_code == 0
    assert [asked.path.partition("?")[0] for asked in server.asked] == ["http://engine.example/v1/runs", "/v1/runs"]


@pytest.mark.parametrize("leads", ["nowhere", "to a refusal"])
def test_a_proxy_that_leads_nowhere_is_one_line(
    stepwell: Stepwell, server: FakeServer, free_port: int, monkeypatch: pytest.MonkeyPatch, leads: str
):
    """What is wrong with the proxy is told as that, with the variables that name it."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port}" if leads == "nowhere" else server.origin)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    result = stepwell("runs", "--url", "https://engine.example")
    why = "cannot be reached" if leads == "nowhere" else "did not lead to https://engine.example, it answered 501"
    assert (result.exit_code, why in result.stderr, "check HTTPS_PROXY and NO_PROXY" in result.stderr) == (
        1,
        True,
        True,
    )
    assert result.stderr.count("\n") == 1


def test_keys_go_to_their_server_only(stepwell: Stepwell, server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    """The event key is in the path, the hashed signing key is the bearer, and an app that syncs sees neither."""
    monkeypatch.setenv("STEPWELL_SIGNING_KEY", KEY)
    monkeypatch.setenv("STEPWELL_EVENT_KEY", "ek-1")
    monkeypatch.setenv("STEPWELL_BASE_URL", server.origin)
    server.answers["POST /e/ek-1"] = (200, {"ids": [EVENT_ID], "status": 200})
    server.answers["PUT /api/inngest"] = (200, {"ok": True})
    server.says("GET /v1/runs", [])
    stepwell("send", "a")
    stepwell("runs")
    stepwell("sync", f"{server.origin.replace('127.0.0.1', 'localhost')}/api/inngest")
    bearers = [asked.headers.get("authorization", "") for asked in server.asked]
    assert [bearer[:20] for bearer in bearers] == ["Bearer signkey-test-", "Bearer signkey-test-", ""]
    assert "ab" * 32 not in "".join(bearers)
