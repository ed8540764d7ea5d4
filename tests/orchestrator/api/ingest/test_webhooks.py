"""Webhooks of other services: the URL says what their events are called, and they come as they are."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

STRIPE = {
    "id": "evt_1QJ5mD2eZvKYlo2C8sPZq0aR",
    "object": "event",
    "api_version": "2024-06-20",
    "created": 1_732_960_800,
    "type": "charge.succeeded",
    "data": {"object": {"id": "ch_3QJ5mC2eZvKYlo2C1dF5", "object": "charge", "amount": 2_000, "currency": "eur"}},
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_8vQ", "idempotency_key": "2f0b1c52"},
}
STRIPE_HEADERS = {"stripe-signature": "t=1732960800,v1=5257a869e7", "content-type": "application/json; charset=utf-8"}
GITHUB = {
    "action": "opened",
    "issue": {"number": 1347, "title": "Found a bug", "labels": [{"name": "bug"}], "user": {"login": "octo"}},
    "repository": {"id": 1_296_269, "full_name": "octo/hello", "private": False},
    "sender": {"login": "octo", "id": 1},
}
GITHUB_HEADERS = {
    "x-github-event": "issues",
    "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "x-hub-signature-256": "sha256=d57c68ca6f92289e",
}
CLERK = {
    "data": {"id": "user_29w83sxmDNGwOuEthce5gg56FcC", "first_name": "Ada", "email_addresses": [], "birthday": ""},
    "instance_id": "ins_123",
    "object": "event",
    "timestamp": 1_732_960_800_000,
    "type": "user.created",
}
CLERK_HEADERS = {"svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": "1732960800", "svix-signature": "v1,g0h"}

BY_STRIPE = "name=stripe/{type}&id={id}"
BY_GITHUB = "name=github/{header:X-GitHub-Event}.{action}&id={header:x-github-delivery}"
BY_CLERK = "name=clerk/{type}&id={header:svix-id}"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("query", "headers", "body", "name", "own_id"),
    [
        (BY_STRIPE, STRIPE_HEADERS, STRIPE, "stripe/charge.succeeded", STRIPE["id"]),
        (BY_GITHUB, GITHUB_HEADERS, GITHUB, "github/issues.opened", GITHUB_HEADERS["x-github-delivery"]),
        (BY_CLERK, CLERK_HEADERS, CLERK, "clerk/user.created", CLERK_HEADERS["svix-id"]),
        ("name=crm/lead", {}, {"name": "Ada", "id": 7}, "crm/lead", None),
        ("name=a/{data.object.id}", {}, STRIPE, "a/ch_3QJ5mC2eZvKYlo2C1dF5", None),
        ("name=repo/{repository.id}", {}, GITHUB, "repo/1296269", None),
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
async def test_a_webhook_is_an_event(
    api: httpx.AsyncClient,
    query: str,
    headers: dict[str, str],
    body: dict[str, Any],
    name: str,
    own_id: str | None,
    escaped: bool,
) -> None:
    """Name and id are taken from where the URL says, its braces as they are or escaped, and the data is the body."""
    written = quote(query, safe="&=") if escaped else query
    answer = await api.post(f"/e/key?{written}", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    [event_id] = answer.json()["ids"]
    event = (await api.get(f"/v1/events/{event_id}")).json()["data"]
    assert (event["name"], event["data"], event["id"]) == (name, body, own_id or event_id)


async def test_githubs_form_is_the_json_in_it(api: httpx.AsyncClient) -> None:
    """The content type that GitHub sends by default gives the same event as its JSON."""
    content = urlencode({"payload": json.dumps(GITHUB)})
    answer = await api.post(f"/e/key?{BY_GITHUB}", content=content, headers={**GITHUB_HEADERS, **FORM})
    [event_id] = answer.json()["ids"]
    event = (await api.get(f"/v1/events/{event_id}")).json()["data"]
    assert (event["name"], event["data"]) == ("github/issues.opened", GITHUB)


@pytest.mark.parametrize(
    ("body", "headers", "data"),
    [
        (b"name=Ada&id=7&payload=x", FORM, {"name": "Ada", "id": "7", "payload": "x"}),
        (b"payload=no+json", FORM, {"payload": "no json"}),
        (b"", {}, {}),
    ],
)
async def test_a_form_and_an_empty_body_are_data_too(
    api: httpx.AsyncClient, body: bytes, headers: dict[str, str], data: dict[str, Any]
) -> None:
    """All fields of a form are data, what is called name or id as well; without a body there is none."""
    answer = await api.post("/e/key?name=crm/lead", content=body, headers=headers)
    [event_id] = answer.json()["ids"]
    event = (await api.get(f"/v1/events/{event_id}")).json()["data"]
    assert (event["name"], event["data"]) == ("crm/lead", data)


async def test_an_array_is_an_event_for_each_member(api: httpx.AsyncClient) -> None:
    """Services that collect their events send them in one body."""
    mails = [{"event": "delivered", "sg_event_id": "a"}, {"event": "open", "sg_event_id": "b"}]
    answer = await api.post("/e/key?name=mail/{event}&id={sg_event_id}", json=mails)
    events = [(await api.get(f"/v1/events/{one}")).json()["data"] for one in answer.json()["ids"]]
    assert [(event["name"], event["id"], event["data"]) for event in events] == [
        ("mail/delivered", "a", mails[0]),
        ("mail/open", "b", mails[1]),
    ]


@pytest.mark.parametrize(
    ("query", "body", "error"),
    [
        ("", STRIPE, "event name is empty: an event is "),
        ("?id={id}", STRIPE, "?id= is for webhooks and goes with ?name="),
        ("?name=", STRIPE, "event name is empty"),
        ("?name={type}&nam=x", STRIPE, "a webhook's URL takes ?name= and ?id=, once each, and nothing else: nam"),
        ("?name=a&name=b", STRIPE, "a webhook's URL takes ?name= and ?id=, once each"),
        ("?name=a/{type", STRIPE, "?name=a/{type has a brace without its partner"),
        ("?name=a/{{type}}", STRIPE, "?name=a/{{type}} has a brace without its partner"),
        ("?name=a/{kind}", STRIPE, "the webhook has no field 'kind' with a text or a whole number"),
        ("?name=a/{data}", STRIPE, "the webhook has no field 'data' with a text"),
        ("?name=a/{livemode}", STRIPE, "the webhook has no field 'livemode' with a text"),
        ("?name=a/{type.x}", STRIPE, "the webhook has no field 'type.x' with a text"),
        ("?name=a/{data.birthday}", CLERK, "the webhook has no field 'data.birthday' with a text"),
        ("?name=a/{}", STRIPE, "the webhook has no field '' with a text"),
        ("?name=a&id={header:x-id}", STRIPE, "the webhook has no header 'x-id' with a text"),
        ("?name={type}", {"type": "inngest/function.failed"}, "event name is reserved for internal use"),
        ("?name={type}", {"type": "t" * 300}, "event name has 300 characters"),
        ("?name=a", "text", "a webhook's body must be a JSON object, or an array of them"),
        ("?name=a", [STRIPE, 7], "a webhook's body must be a JSON object, or an array of them"),
        ("?name={type}", [STRIPE, {}], "the webhook has no field 'type'"),
        ("?name={type}&id={header:x}", [STRIPE, CLERK], "?id={header:x} gives each of 2 events the same id"),
    ],
)
async def test_a_webhook_that_does_not_fit_is_refused(
    api: httpx.AsyncClient, query: str, body: Any, error: str
) -> None:
    """One line says what is wrong with the URL or the body, and nothing is stored."""
    answer = await api.post(f"/e/key{query}", json=body)
    assert (answer.status_code, answer.json()["ids"]) == (400, [])
    assert answer.json()["error"].startswith(error)
    assert "\n" not in answer.json()["error"]
    assert (await api.get("/v1/events")).json()["data"] == []


async def test_a_delivery_that_is_repeated_starts_nothing_twice(api: httpx.AsyncClient) -> None:
    """The id of a webhook is the event's own, as for events that are sent with one."""
    for _ in range(2):
        answer = await api.post(f"/e/key?{BY_CLERK}", json=CLERK, headers=CLERK_HEADERS)
        assert answer.status_code == 200
    listed = (await api.get("/v1/events")).json()["data"]
    assert [event["id"] for event in listed] == [CLERK_HEADERS["svix-id"]] * 2
