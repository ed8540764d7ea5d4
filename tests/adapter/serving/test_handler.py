from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.authoring.function import Function
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import OutboundRequest
from stepwell.serving.handler import Handler
from stepwell.wire import headers as names
from stepwell.wire.call import CallRequest
from stepwell.wire.encoding import canonical, decode, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.registration import decode_registration
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome, decode_reply
from stepwell.wire.signing import bearer_matches, hash_event_key, hash_signing_key, verify_response
from tests.adapter.serving.support import (
    FALLBACK,
    KEY,
    NOW_MS,
    RUN_ID,
    SERVER,
    URL,
    FakeExecution,
    FakeServer,
    call_body,
    call_request,
    cloud_app,
    dev_app,
    handler_of,
    json_answer,
    request_of,
    with_greeting,
)

GOLDEN = Path(__file__).parent / "golden"
OTHER_KEY = "signkey-test-00000000"
KIND = names.SERVER_KIND


def outcome_of(response: HttpResponse) -> Outcome:
    """A response as a server reads it."""
    return decode_reply(response.status, response.headers, response.body, NOW_MS).outcome


def error_of(response: HttpResponse) -> ErrorBody:
    """The error a server reads from a response."""
    outcome = outcome_of(response)
    assert isinstance(outcome, Failed)
    return outcome.error


EVERY_KIND_OF_REQUEST = [
    pytest.param(request_of("GET"), 200, id="introspection"),
    pytest.param(request_of("GET", headers={KIND: "dev"}), 403, id="introspection by the wrong kind"),
    pytest.param(request_of("PUT"), 200, id="sync"),
    pytest.param(request_of("PUT", headers={KIND: "dev"}), 400, id="sync by the wrong kind"),
    pytest.param(request_of("PUT", headers={names.SYNC_KIND: names.SYNC_IN_BAND}), 401, id="unsigned in-band sync"),
    pytest.param(call_request(), 200, id="call"),
    pytest.param(call_request(key=None), 401, id="unsigned call"),
    pytest.param(call_request("shop-gone"), 500, id="unknown function"),
    pytest.param(request_of("POST", query={"fnId": "shop-greet"}, body=b"{", key=KEY), 500, id="malformed call"),
    pytest.param(request_of("POST", query={"probe": "trust"}, body=b"{}", key=KEY), 200, id="trust probe"),
    pytest.param(request_of("POST", query={"probe": "x"}, body=b"{}", key=KEY), 400, id="unknown probe"),
    pytest.param(request_of("DELETE"), 405, id="another method"),
    pytest.param(request_of("HEAD"), 405, id="HEAD"),
]


@pytest.mark.parametrize(("request_", "status"), EVERY_KIND_OF_REQUEST)
async def test_every_response_says_who_answered(request_: HttpRequest, status: int) -> None:
    """Whatever is asked, the response has the SDK's headers and a JSON body."""
    response = await handler_of(cloud_app(env="pr-1"), framework="test").handle(request_)
    assert response.status == status
    assert {
        "content-type": "application/json",
        names.SDK: "stepwell-py:v0.1.0",
        "user-agent": "stepwell-py:v0.1.0",
        names.FRAMEWORK: "test",
        names.REQUEST_VERSION: "2",
        names.EXPECTED_SERVER_KIND: "cloud",
        names.SDK_HANDLED: "true",
        names.ENV: "pr-1",
    }.items() <= response.headers.items()
    decode(response.body)


async def test_another_method_is_told_which_to_use() -> None:
    """A 405 lists the methods that are served."""
    response = await handler_of(dev_app()).handle(request_of("PATCH"))
    assert (response.status, response.headers["allow"]) == (405, "GET, PUT, POST")


@pytest.mark.parametrize(
    ("request_", "signer"),
    [
        (call_request(), KEY),
        (call_request(key=FALLBACK), FALLBACK),
        (call_request("shop-gone"), KEY),
        (request_of("GET", key=KEY), KEY),
        (request_of("PUT", key=FALLBACK), FALLBACK),
        (request_of("POST", query={"probe": "trust"}, body=b"{}", key=KEY), KEY),
    ],
)
async def test_a_response_is_signed_with_the_key_of_the_request(request_: HttpRequest, signer: str) -> None:
    """The raw bytes of the response are signed with the very key that signed the request."""
    response = await handler_of(cloud_app()).handle(request_)
    signature = response.headers[names.SIGNATURE]
    assert verify_response(response.body, signature, [signer], NOW_MS // 1000) == signer


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (call_request(key=None), "not signed"),
        (call_request(key=OTHER_KEY), "matches no configured signing key"),
        (call_request(age_s=301), "301 s off"),
        (call_request(age_s=-301), "301 s off"),
        (call_request("shop-gone", key=None), "not signed"),
        (request_of("POST", query={"probe": "trust"}, body=b"{}"), "not signed"),
        (request_of("PUT", key=OTHER_KEY), "matches no configured signing key"),
    ],
)
async def test_a_bad_signature_is_401_and_does_nothing(request_: HttpRequest, reason: str) -> None:
    """Nothing runs, nothing is registered and nothing is signed for a request that cannot be trusted."""
    server, execution = FakeServer(), FakeExecution()
    response = await handler_of(cloud_app(), server=server, execution=execution).handle(request_)
    assert (response.status, names.SIGNATURE in response.headers) == (401, False)
    assert error_of(response).code == "sig_verification_failed"
    assert reason in error_of(response).message
    assert (server.requests, execution.calls) == ([], [])


async def test_a_signature_within_the_window_is_accepted() -> None:
    """A request five minutes old is still answered."""
    assert (await handler_of(cloud_app()).handle(call_request(age_s=300))).status == 200


async def test_cloud_mode_without_a_key_says_what_to_set() -> None:
    """An app nobody gave a key refuses calls and names the variable, rather than trusting everyone."""
    app = with_greeting(stepwell.App("shop", dev=False, base_url=SERVER))
    response = await handler_of(app).handle(call_request(key=None))
    assert response.status == 401
    assert "STEPWELL_SIGNING_KEY" in error_of(response).message


async def test_dev_mode_ignores_signatures() -> None:
    """In dev mode a call is answered unsigned, whatever its signature header says."""
    for request in (call_request(key=None), call_request(key=OTHER_KEY)):
        response = await handler_of(dev_app()).handle(request)
        assert (response.status, names.SIGNATURE in response.headers) == (200, False)


async def test_the_call_of_a_real_server_is_accepted() -> None:
    """A captured call request of the Inngest dev server, with its signature, runs the function."""
    captured = decode((GOLDEN / "signed-call.json").read_bytes())
    app = stepwell.App("signed", dev=False, signing_key=captured["signing_key"])
    execution = FakeExecution()

    @app.function(on="signed/f")
    def f(ctx: Any) -> None: ...

    handler = Handler(app, now_ms=lambda: 1_795_355_876_000, execute=execution)
    query = {"fnId": "signed-f", "stepId": "step"}
    headers = {names.SIGNATURE: captured["signature"]}
    response = await handler.handle(HttpRequest("POST", URL, query, headers, encode(captured["body"])))
    assert outcome_of(response) == Finished("done")
    ((function_id, call, target),) = execution.calls
    assert (function_id, call.event["name"], target) == ("f", "signed/f", None)


@pytest.mark.parametrize(
    ("query", "ctx_step", "target"),
    [
        ({"stepId": "step"}, "step", None),
        ({"stepId": "abc"}, "abc", "abc"),
        ({"stepId": "abc"}, "step", "abc"),
        ({}, "abc", "abc"),
        ({}, "step", None),
        ({"stepId": ""}, "step", None),
    ],
)
async def test_the_target_of_a_call_is_found(query: dict[str, str], ctx_step: str, target: str | None) -> None:
    """The query names the step to run, else the body does; ``step`` is a discovery."""
    execution = FakeExecution()
    body = canonical(call_body(step_id=ctx_step))
    request = request_of("POST", query={"fnId": "shop-greet", **query}, body=body, key=KEY)
    await handler_of(cloud_app(), execution=execution).handle(request)
    assert [call[2] for call in execution.calls] == [target]


@pytest.mark.parametrize(
    "outcome",
    [
        Finished({"ok": True}),
        Instructions((Opcode(Op.SLEEP, "abc", name="1h", display_name="nap"),)),
        Failed(ErrorBody("ValueError", "no"), {"name": "ValueError", "message": "no"}, no_retry=True),
        Failed(ErrorBody("Busy", "no"), {"name": "Busy", "message": "no"}, retry_at_ms=NOW_MS + 7_000),
    ],
)
async def test_the_server_reads_the_outcome_of_the_function(outcome: Outcome) -> None:
    """What execution says happened is what the other end of the wire understands."""
    response = await handler_of(cloud_app(), execution=FakeExecution(outcome)).handle(call_request())
    assert outcome_of(response) == outcome


@pytest.mark.parametrize(
    ("request_", "code", "name", "message"),
    [
        (call_request("shop-gone"), "function_not_found", "FunctionNotFoundError", 'no function "shop-gone"'),
        (call_request("greet"), "function_not_found", "FunctionNotFoundError", 'no function "greet"'),
        (call_request(""), "function_not_found", "FunctionNotFoundError", 'no function ""'),
        (
            request_of("POST", query={"fnId": "shop-greet"}, body=b"{", key=KEY),
            "body_invalid",
            "ValidationError",
            "malformed JSON",
        ),
        (
            request_of("POST", query={"fnId": "shop-greet"}, body=b"{}", key=KEY),
            "body_invalid",
            "ValidationError",
            "event must be an object",
        ),
    ],
)
async def test_a_call_that_reaches_no_function_is_retriable(
    request_: HttpRequest, code: str, name: str, message: str
) -> None:
    """A call for an unknown function or with a bad body is a 500 that names the problem and may be retried."""
    response = await handler_of(cloud_app()).handle(request_)
    error = error_of(response)
    assert (response.status, response.headers[names.NO_RETRY]) == (500, "false")
    assert (error.code, error.name) == (code, name)
    assert message in error.message


async def test_an_unexpected_error_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A bug below the handler reaches the server as a retriable error, and the log with its traceback."""

    async def broken(function: Function, call: CallRequest, target: str | None) -> Outcome:
        raise KeyError("bug")

    with caplog.at_level(logging.ERROR, logger="stepwell"):
        response = await Handler(cloud_app(), now_ms=lambda: NOW_MS, execute=broken).handle(call_request())
    assert (response.status, error_of(response).code) == (500, "unknown")
    assert "KeyError: 'bug'" in error_of(response).message
    assert caplog.records[0].exc_info is not None


async def test_a_result_that_is_not_json_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """An outcome that cannot be encoded still gets an answer."""
    response = await handler_of(cloud_app(), execution=FakeExecution(Finished({1}))).handle(call_request())
    assert response.status == 500
    assert "not JSON" in error_of(response).message
    assert len(caplog.records) == 1


def state_server(request: OutboundRequest) -> HttpResponse:
    """A server that accepts only the fallback key and has the state of one run."""
    if not bearer_matches(request.headers.get("authorization"), [FALLBACK]):
        return json_answer({"error": "Authentication failed"}, 401)
    if request.url == f"{SERVER}/v0/runs/{RUN_ID}/actions":
        return json_answer({"abc": {"data": 1}})
    assert request.url == f"{SERVER}/v0/runs/{RUN_ID}/batch"
    return json_answer([{"name": "a", "data": {}}, {"name": "b", "data": {}}])


async def test_state_too_large_to_send_is_fetched() -> None:
    """With ``use_api`` steps and events come from the API, with the fallback key when the first is refused."""
    server, execution = FakeServer(state_server), FakeExecution()
    response = await handler_of(cloud_app(), server=server, execution=execution).handle(call_request(use_api=True))
    assert response.status == 200
    ((_, call, _),) = execution.calls
    assert call.steps == {"abc": {"data": 1}}
    assert [event["name"] for event in call.events] == ["a", "b"]
    assert call.event["name"] == "user/signup"
    bearers = [request.headers["authorization"] for request in server.requests]
    assert bearers == [f"Bearer {hash_signing_key(key)}" for key in (KEY, FALLBACK)] * 2


async def test_a_keyless_server_gets_no_bearer() -> None:
    """In dev mode the state is fetched without a key, even if one is configured."""
    server = FakeServer(lambda request: json_answer([] if request.url.endswith("batch") else {}))
    app = with_greeting(stepwell.App("shop", dev=True, signing_key=KEY))
    await handler_of(app, server=server).handle(call_request(key=None, use_api=True))
    assert ["authorization" in request.headers for request in server.requests] == [False, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (json_answer({"error": "gone"}, 410), "HTTP 410 when asked for its actions"),
        (json_answer([]), "must be an object of steps"),
        (HttpResponse(200, {}, b"<html>"), "malformed JSON"),
    ],
)
async def test_state_that_cannot_be_fetched_runs_nothing(answer: HttpResponse, message: str) -> None:
    """Rather than run without its memos the function is not run, and the call may be retried."""
    execution = FakeExecution()
    handler = handler_of(cloud_app(), server=FakeServer(lambda request: answer), execution=execution)
    response = await handler.handle(call_request(use_api=True))
    assert (response.status, error_of(response).code) == (500, "state_unavailable")
    assert message in error_of(response).message
    assert execution.calls == []


async def test_an_unreachable_server_runs_nothing() -> None:
    """When the API is down the call fails retriably, and says so."""

    def down(request: OutboundRequest) -> HttpResponse:
        raise ConnectionError("refused")

    response = await handler_of(cloud_app(), server=FakeServer(down)).handle(call_request(use_api=True))
    assert error_of(response).message == "the run's state could not be fetched: refused"


@pytest.mark.parametrize(
    ("request_", "succeeded"),
    [
        (request_of("GET"), None),
        (request_of("GET", key=OTHER_KEY), False),
        (request_of("GET", age_s=999, key=KEY), False),
    ],
)
async def test_introspection_tells_strangers_little(request_: HttpRequest, succeeded: bool | None) -> None:
    """Without a valid signature only the mode, counts and which keys exist are told."""
    body = decode((await handler_of(cloud_app()).handle(request_)).body)
    assert body == {
        "schema_version": "2024-05-24",
        "mode": "cloud",
        "authentication_succeeded": succeeded,
        "function_count": 1,
        "has_event_key": True,
        "has_signing_key": True,
        "has_signing_key_fallback": True,
    }


async def test_introspection_tells_the_server_more() -> None:
    """A signed request learns the origins, the app and the keys' hashes, and no key."""
    app = cloud_app(env="pr-1")
    response = await handler_of(app, serve_origin="https://x.example").handle(request_of("GET", key=KEY))
    body = decode(response.body)
    assert {
        "authentication_succeeded": True,
        "api_origin": SERVER,
        "event_api_origin": SERVER,
        "app_id": "shop",
        "env": "pr-1",
        "framework": "asgi",
        "serve_origin": "https://x.example",
        "serve_path": None,
        "sdk_language": "py",
        "event_key_hash": hash_event_key("events"),
        "signing_key_hash": hash_signing_key(KEY),
        "signing_key_fallback_hash": hash_signing_key(FALLBACK),
    }.items() <= body.items()
    assert b"12345678" not in response.body


async def test_introspection_of_a_keyless_app_has_no_hashes() -> None:
    """In dev mode nothing is secret and nothing is set."""
    body = decode((await handler_of(dev_app()).handle(request_of("GET"))).body)
    assert (body["mode"], body["has_signing_key"], body["authentication_succeeded"]) == ("dev", False, None)


async def test_an_out_of_band_sync_registers_with_the_server() -> None:
    """A PUT makes the app post its registration with the hashed key, and tells what came of it."""
    server = FakeServer(lambda request: json_answer({"ok": True, "modified": True}, headers={KIND: "cloud"}))
    request = request_of("PUT", query={"deployId": "d 1"}, headers={KIND: "cloud"}, key=KEY)
    response = await handler_of(cloud_app(), server=server).handle(request)
    assert (response.status, response.headers[names.SYNC_KIND]) == (200, "out_of_band")
    assert decode(response.body) == {"message": "Successfully registered", "modified": True}
    (sent,) = server.requests
    assert (sent.method, sent.url) == ("POST", f"{SERVER}/fn/register?deployId=d+1")
    assert sent.headers["authorization"] == f"Bearer {hash_signing_key(KEY)}"
    assert sent.headers[names.EXPECTED_SERVER_KIND] == "cloud"
    registration = decode_registration(decode(sent.body))
    assert (registration.app_id, registration.url) == ("shop", URL)
    assert [function.id for function in registration.functions] == ["shop-greet"]


async def test_an_unsigned_sync_registers_too() -> None:
    """A deploy hook may PUT without a signature; what it starts is authenticated by the app's own key."""
    server = FakeServer()
    assert (await handler_of(cloud_app(), server=server).handle(request_of("PUT"))).status == 200
    assert names.EXPECTED_SERVER_KIND not in server.requests[0].headers


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "https://app.example/api/inngest"),
        ({"serve_origin": "https://x.example"}, "https://x.example/api/inngest"),
        ({"serve_path": "/fn"}, "https://app.example/fn"),
        ({"serve_origin": "http://x.example:81/", "serve_path": "/fn"}, "http://x.example:81/fn"),
    ],
)
async def test_the_serve_url_can_be_overridden(options: dict[str, str], url: str) -> None:
    """The app registers the URL of the request, with configured origin and path in its place."""
    server = FakeServer()
    await handler_of(cloud_app(), server=server, **options).handle(request_of("PUT"))
    assert decode_registration(decode(server.requests[0].body)).url == url


async def test_the_registered_url_keeps_what_lets_the_server_through() -> None:
    """A query of the platform's stays, in the app's URL and its functions'; what is of the protocol does not."""
    server = FakeServer()
    query = {"fnId": "x", "deployId": "1", "bypass": "a&b"}
    await handler_of(cloud_app(), server=server).handle(request_of("PUT", query=query))
    registration = decode_registration(decode(server.requests[0].body))
    assert registration.url == "https://app.example/api/inngest?bypass=a%26b"
    assert registration.functions[0].url == f"{registration.url}&fnId=shop-greet&stepId=step"


async def test_a_wrong_signature_is_refused_in_dev_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a key is set, who signs must know it; a dev server need not sign."""
    monkeypatch.setenv("STEPWELL_SIGNING_KEY", KEY)
    handled = handler_of(dev_app())
    answers = [await handled.handle(call_request(key=key)) for key in (OTHER_KEY, KEY, None)]
    assert [answer.status for answer in answers] == [401, 200, 200]


@pytest.mark.parametrize("kind", ["in-band", "in_band"])
async def test_an_in_band_sync_is_asked_for_in_either_spelling(kind: str) -> None:
    """The specification writes it with a hyphen, servers with an underscore."""
    body = encode({"url": "https://seen.example/x?deployId=1&bypass=a"})
    request = request_of("PUT", headers={names.SYNC_KIND: kind}, body=body, key=KEY)
    response = await handler_of(cloud_app()).handle(request)
    assert decode(response.body)["url"] == "https://seen.example/x?bypass=a"


async def test_a_failed_sync_modified_nothing() -> None:
    """The body of a refusal says so, as that of a success says what it did."""
    server = FakeServer(lambda request: json_answer({"error": "bad"}, 400))
    response = await handler_of(cloud_app(), server=server).handle(request_of("PUT"))
    assert decode(response.body)["modified"] is False


@pytest.mark.parametrize(
    ("answer", "status", "code", "message"),
    [
        (json_answer({"error": "bad"}, 400), 500, "registration_failed", "HTTP 400: bad"),
        (json_answer({"message": "no"}, 401), 500, "registration_failed", "HTTP 401: no"),
        (HttpResponse(502, {}, b"<html>"), 500, "registration_failed", "HTTP 502: <html>"),
        (json_answer({"ok": True}, headers={KIND: "dev"}), 400, "server_kind_mismatch", "server is of kind dev"),
    ],
)
async def test_a_refused_registration_is_passed_on(answer: HttpResponse, status: int, code: str, message: str) -> None:
    """Whoever asked for the sync is told what the server said."""
    server = FakeServer(lambda request: answer)
    response = await handler_of(cloud_app(), server=server).handle(request_of("PUT"))
    assert (response.status, error_of(response).code) == (status, code)
    assert message in error_of(response).message


async def test_a_registration_without_a_server_names_the_fix() -> None:
    """An app that knows no server says which setting is missing."""
    app = with_greeting(stepwell.App("shop", dev=False, signing_key=KEY))
    response = await handler_of(app).handle(request_of("PUT"))
    assert response.status == 500
    assert "STEPWELL_BASE_URL" in error_of(response).message


async def test_a_registration_is_repeated_with_the_fallback_key() -> None:
    """While keys rotate, the server may know only the other one."""

    def answer(request: OutboundRequest) -> HttpResponse:
        known = bearer_matches(request.headers["authorization"], [FALLBACK])
        return json_answer({"ok": True, "modified": False}) if known else HttpResponse(403)

    server = FakeServer(answer)
    response = await handler_of(cloud_app(), server=server).handle(request_of("PUT"))
    assert (response.status, len(server.requests)) == (200, 2)


def in_band(app: stepwell.App, *, key: str | None, url: Any = "https://seen.example/x?deployId=1") -> Any:
    """An in-band sync of ``app``: the coroutine of its answer, and the server that must hear nothing."""
    server = FakeServer()
    headers = {names.SYNC_KIND: names.SYNC_IN_BAND}
    request = request_of("PUT", headers=headers, body=encode({"url": url}), key=key)
    return handler_of(app, server=server).handle(request), server


@pytest.mark.parametrize(("app", "key"), [(cloud_app, KEY), (cloud_app, FALLBACK), (dev_app, None)])
async def test_an_in_band_sync_answers_with_the_registration(app: Any, key: str | None) -> None:
    """The registration is in the response, under the URL the server saw, and no request is made."""
    answering, server = in_band(app(), key=key)
    response = await answering
    body = decode(response.body)
    assert (response.status, response.headers[names.SYNC_KIND], server.requests) == (200, "in_band", [])
    registration = decode_registration({"appName": body["app_id"], **body})
    assert (registration.app_id, registration.url) == ("shop", "https://seen.example/x")
    assert registration.functions[0].url == "https://seen.example/x?fnId=shop-greet&stepId=step"
    assert body["inspection"]["authentication_succeeded"] is True
    assert (body["sdk_language"], body["sdk_version"]) == ("py", stepwell.__version__)


@pytest.mark.parametrize("url", [None, "ftp://x", 7])
async def test_an_in_band_sync_needs_a_url(url: Any) -> None:
    """Without the URL the app was reached at there is nothing to register under."""
    answering, _ = in_band(cloud_app(), key=KEY, url=url)
    response = await answering
    assert (response.status, error_of(response).code) == (400, "body_invalid")


async def test_an_in_band_sync_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is not allowed the app registers out of band instead."""
    monkeypatch.setenv("STEPWELL_ALLOW_IN_BAND_SYNC", "0")
    answering, server = in_band(cloud_app(), key=KEY)
    response = await answering
    assert (response.headers[names.SYNC_KIND], len(server.requests)) == ("out_of_band", 1)


@pytest.mark.parametrize(("app", "kind"), [(cloud_app, "dev"), (dev_app, "cloud")])
@pytest.mark.parametrize(("method", "status"), [("GET", 403), ("PUT", 400)])
async def test_a_server_of_the_other_kind_is_refused(app: Any, kind: str, method: str, status: int) -> None:
    """An app does not introduce itself to a server whose kind contradicts its mode, and names both."""
    response = await handler_of(app()).handle(request_of(method, headers={KIND: kind}))
    assert (response.status, error_of(response).code) == (status, "server_kind_mismatch")
    assert f"kind {kind}" in error_of(response).message


async def test_a_trust_probe_is_answered_with_null() -> None:
    """A signed probe shows the server that both ends have the same key."""
    response = await handler_of(cloud_app()).handle(request_of("POST", query={"probe": "trust"}, body=b"{}", key=KEY))
    assert (response.status, response.body) == (200, b"null")


async def test_the_mode_can_be_set_where_the_app_is_served() -> None:
    """An engine in the same process serves an app in dev mode whatever its own settings say."""
    response = await handler_of(cloud_app(), dev=True).handle(call_request(key=None))
    assert (response.status, response.headers[names.EXPECTED_SERVER_KIND]) == (200, "dev")


async def test_functions_defined_later_are_served() -> None:
    """The handler looks a function up when it is called, not when it was made."""
    app = cloud_app()
    handler = handler_of(app)

    @app.function(id="later")
    def late(ctx: Any) -> None: ...

    assert (await handler.handle(call_request("shop-later"))).status == 200
