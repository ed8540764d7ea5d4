"""Registration over HTTP, keys, and what holds for every answer (protocol 1.6, 2.3, 7)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from stepwell.wire.signing import hash_signing_key
from stepwell_orchestrator.api.app import create_api
from tests.orchestrator.accepting.test_register import body, function
from tests.orchestrator.world import World

KEY = "signkey-test-12345678"


async def test_registration_is_answered(api: httpx.AsyncClient) -> None:
    """A registration is answered with modified true, a repeat with the same ids and modified false."""
    first = await api.post("/fn/register", json=body(function(), appname="other"))
    assert (first.status_code, first.json()["ok"], first.json()["modified"]) == (200, True, True)
    second = await api.post("/fn/register", json=body(function(), appname="other"))
    assert second.json() == first.json() | {"modified": False}


async def test_asked_registration_takes_the_url_that_was_reached(api: httpx.AsyncClient, shop_world: World) -> None:
    """A registration that comes with the deployId of our own asking is called where the app was reached."""
    await api.post("/fn/register?deployId=asked", json=body(function()))
    stored = await shop_world.engine.registry.get_function("shop-pay")
    assert stored is not None
    assert stored.url == "http://reached:3000/api/inngest?fnId=shop-pay&stepId=step"


@pytest.mark.parametrize(
    ("content", "headers", "error"),
    [
        (b'{"appname"', {}, "Invalid request: malformed JSON"),
        (b"{}", {}, "App ID required"),
        (b"{}", {"x-inngest-expected-server-kind": "cloud"}, "Expected server kind cloud, got dev"),
    ],
)
async def test_bad_registration(api: httpx.AsyncClient, content: bytes, headers: dict[str, str], error: str) -> None:
    """A bad registration is a 400 in the error shape."""
    answer = await api.post("/fn/register", content=content, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.json()["error"].startswith(error)


async def test_invalid_function_is_told_in_detail(api: httpx.AsyncClient) -> None:
    """The answer to an invalid function has its code, the first detail in the text and all of them in data."""
    answer = await api.post("/fn/register", json=body(function(idempotency=5), function("b", singleton={})))
    details = [
        "function shop-pay: idempotency must be an expression, got 5",
        'function b: singleton: mode must be "skip" or "cancel", got None',
    ]
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "config_invalid",
        "error": f"At least one function is invalid: {details[0]}",
        "data": {"errors": details},
        "status": 400,
    }


async def test_app_is_forgotten_by_its_url(api: httpx.AsyncClient) -> None:
    """Removing an app by any spelling of its URL takes its functions away; a second time there is none."""
    await api.post("/fn/register", json=body(function()))
    url = "http://localhost:3000/api/inngest/"
    assert (await api.delete("/fn/remove", params={"url": url})).status_code == 200
    assert (await api.get("/v1/apps/shop/functions")).status_code == 404
    again = await api.delete("/fn/remove", params={"url": url})
    assert (again.status_code, again.json()["error"]) == (404, f"no app is served at {url}")
    assert (await api.delete("/fn/remove")).status_code == 400


async def test_functions_of_an_app(api: httpx.AsyncClient) -> None:
    """The functions of an app are listed with their configuration; of an unknown app it is a 404."""
    listed = (await api.get("/v1/apps/shop/functions")).json()["data"]
    assert [entry["id"] for entry in listed] == ["shop-fulfil", "shop-refuse"]
    config = listed[0]["config"]
    assert (config["triggers"], config["steps"][0]["retries"]) == ([{"event": "shop/order"}], 0)
    assert (await api.get("/v1/apps/nope/functions")).status_code == 404


async def test_health_and_dev_info(api: httpx.AsyncClient) -> None:
    """Health is told, and SDKs find a dev server with its functions."""
    assert (await api.get("/health")).json() == {"status": 200, "message": "OK"}
    info = (await api.get("/dev")).json()
    assert [entry["slug"] for entry in info["functions"]] == ["shop-fulfil", "shop-refuse"]
    assert (info["isMissingSigningKey"], info["isMissingEventKeys"]) == (True, True)
    assert (await api.post("/v0/connect/start", content=b"")).status_code == 200


async def test_cloud_server_is_not_a_dev_server(shop_world: World) -> None:
    """A cloud server announces itself, has no dev info and allows no other origin."""
    async with shop_world.client(kind="cloud") as client:
        answer = await client.get("/dev", headers={"origin": "http://a.b"})
    assert (answer.status_code, answer.headers["x-inngest-server-kind"]) == (404, "cloud")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer undefined", 401),
        (f"Basic {KEY}", 401),
        (f"Bearer {KEY}", 200),
        ("Bearer 12345678", 200),
        (f"bearer {hash_signing_key(KEY)}", 200),
        (f"Bearer {hash_signing_key(KEY).rpartition('-')[2]}", 200),
    ],
)
async def test_bearer(shop_world: World, authorization: str | None, status: int) -> None:
    """With a signing key configured, the API answers its bearer in every form and refuses all else in plain text."""
    headers = {} if authorization is None else {"authorization": authorization}
    async with shop_world.client(signing_keys=["signkey-test-00ff", KEY]) as client:
        answer = await client.get("/v1/runs", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert (answer.text, answer.headers["content-type"]) == ("Authentication failed", "text/plain; charset=utf-8")


OPEN = {
    *("GET /health", "GET /v2/health", "GET /dev"),
    *("POST /e", "POST /e/", "POST /e/{key}", "POST /v0/telemetry", "POST /dev/traces"),
}
"""What answers without a bearer: events have a key in the path, and the others tell nothing and keep nothing."""


async def test_every_other_endpoint_needs_the_bearer(shop_world: World) -> None:
    """No endpoint answers without the bearer when keys are configured, but for those that are named as open."""
    async with shop_world.client(signing_keys=[KEY]) as client:
        nothing_behind_it: Any = None
        paths = create_api(nothing_behind_it).openapi()["paths"]
        open_ones = set()
        for path, methods in paths.items():
            for method in methods:
                answer = await client.request(method.upper(), re.sub(r"{\w+}", "x", path))
                if answer.status_code != 401 or "Event key" in answer.text:
                    open_ones.add(f"{method.upper()} {path}")
    assert open_ones == OPEN


async def test_keyless_dev_server_takes_any_bearer(api: httpx.AsyncClient) -> None:
    """Without keys, the garbage that SDKs send as bearer in dev mode is no obstacle."""
    assert (await api.get("/v1/runs", headers={"authorization": "Bearer undefined"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("GET", "/v1/runs/", 501), ("GET", "/e/k", 405), ("PUT", "/fn/register", 405)],
)
async def test_no_such_path_or_method(api: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """An unknown path, a trailing slash or a wrong method is answered in the error shape, never redirected."""
    answer = await api.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["x-inngest-server-kind"] == "dev"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/realtime/token?x=1"),
        ("GET", "/v1/webhooks/x"),
        ("GET", "/v1/prom/production"),
        ("POST", "/v2/sandboxes"),
        ("DELETE", "/v2/snapshots/x"),
        ("GET", "/api/v2/webhooks"),
        ("GET", "/v2/experiments"),
    ],
)
async def test_what_is_not_offered_says_so_in_one_line(api: httpx.AsyncClient, method: str, path: str) -> None:
    """Paths of the protocol that mean nothing here are a 501 in the shape of their API."""
    answer = await api.request(method, path)
    body = answer.json()
    told = body["errors"][0] if "v2" in path else {"code": body["code"], "message": body["error"]}
    bare = path.partition("?")[0]
    message = f"{method} {bare} is not offered by this server; its HTTP API page lists what is"
    assert (answer.status_code, told) == (501, {"code": "not_implemented", "message": message})


async def test_a_connect_worker_is_refused(api: httpx.AsyncClient) -> None:
    """A worker's request says what to do instead; without a body somebody asks whether the server is up."""
    refused = await api.post("/v0/connect/start", content=b"\x0a\x05hello")
    assert refused.status_code == 501
    assert refused.json()["error"].startswith("connect is not offered by this server; serve the functions over HTTP")
    assert (await api.post("/v0/connect/start")).status_code == 200


RUNS = "function_id, app_id, status, from, until, cursor, limit"
V2_RUNS = "appId, appId[], functionId, functionId[], status, status[], from, until, order, timeField, includeOutput"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "/v1/runs?limit=1&state=Failed",
            f"there is no query parameter 'state' at /v1/runs; the parameters are {RUNS}",
        ),
        ("/v1/runs?status[]=Failed", "there is no query parameter 'status[]' at /v1/runs"),
        ("/v1/events?since=1h", "the parameters are name, received_after, received_before, include_internal, cursor"),
        (f"/v1/events/{'0' * 26}/runs?limit=1", "there is no query parameter 'limit'"),
        (f"/v1/runs/{'0' * 26}/jobs?limit=1", "it has no parameters"),
        ("/v1/apps/shop/functions?limit=1", "it has no parameters"),
        ("/v1/cancellations?cursor=x", "it has no parameters"),
        ("/v1/crons?since=1h", "the parameters are function_id, app_id, limit"),
        (
            "/v2/runs?function_id=x",
            f"there is no query parameter 'function_id' at /v2/runs; the parameters are {V2_RUNS}",
        ),
        ("/v2/apps?limit=1", "it has no parameters"),
        ("/v2/apps/shop/functions?limit=1", "it has no parameters"),
        ("/v2/apps/shop/functions/fulfil/runs?appId=x", "there is no query parameter 'appId'"),
        (f"/api/v2/events/{'0' * 26}/runs?status=FAILED", "the parameters are includeOutput, cursor, limit"),
    ],
)
async def test_an_unknown_query_parameter_is_refused(api: httpx.AsyncClient, path: str, says: str) -> None:
    """A list does not ignore what it is asked; it names the parameter and those that it has."""
    answer = await api.get(path)
    body = answer.json()
    message = body["errors"][0]["message"] if "v2" in path else body["error"]
    assert (answer.status_code, says in message) == (400, True), message


async def test_browsers_may_ask_a_dev_server(api: httpx.AsyncClient) -> None:
    """A dev server allows every origin, on answers and in the preflight."""
    origin = {"origin": "http://a.b"}
    assert (await api.get("/health", headers=origin)).headers["access-control-allow-origin"] == "*"
    preflight = await api.options("/e/k", headers=origin | {"access-control-request-method": "POST"})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")


async def test_fault_of_ours_is_a_500_without_details(
    shop_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is logged and answered in the error shape, and tells nothing of its message."""

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(shop_world.engine.ingest, "accept", broken)
    async with shop_world.client() as client:
        answer = await client.post("/e/k", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-inngest-server-kind"] == "dev"
    assert [record.getMessage() for record in caplog.records] == ["POST /e/k failed"]
