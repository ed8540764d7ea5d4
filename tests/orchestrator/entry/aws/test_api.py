"""The API behind its function URL: who may ask, what gets through, and what does not fit."""

from __future__ import annotations

import base64
import gzip
import json
import logging

import pytest

from stepwell.errors import WireError
from stepwell.wire.headers import SERVER_KIND
from stepwell.wire.signing import hash_signing_key
from stepwell_orchestrator.entry.aws.logs import NOISY, set_up_logs
from stepwell_orchestrator.entry.aws.secrets import FRESH_MS
from tests.orchestrator.aws.account import EVENT_KEY, Account, context, get
from tests.orchestrator.aws.faults import refused

OTHER_KEY = "signkey-prod-ffeeddccbbaa99887766554433221100"


def test_everybody_may_ask_for_its_health(account: Account):
    """The health check needs no key, and the answer says what kind of server this is."""
    event = get("/health")
    del event["headers"]["authorization"]
    answer = account.api(event, context("api", 1_000))
    assert (answer["statusCode"], answer["headers"][SERVER_KIND]) == (200, "cloud")
    assert account.request("GET", "/dev", bearer=None)[0] == 404


@pytest.mark.parametrize("bearer", [None, "", "wrong", hash_signing_key(OTHER_KEY)])
@pytest.mark.parametrize("path", ["/v1/runs", "/v1/events", "/v0/runs/01M8226XFK38FN4FDW35DJ7CJD/actions"])
def test_the_api_wants_its_bearer(account: Account, path: str, bearer: str | None):
    """Without the signing key, or with another one, nothing is answered."""
    assert account.request("GET", path, bearer=bearer)[0] == 401


@pytest.mark.parametrize(("key", "status"), [(EVENT_KEY, 200), ("event%2Dkey", 200), ("wrong", 401), ("%20", 401)])
def test_events_want_their_key(account: Account, key: str, status: int):
    """Events are taken with the key, percent-encoded or not, and refused without storing anything otherwise."""
    assert account.request("POST", f"/e/{key}", b'{"name":"a"}', bearer=None)[0] == status
    assert len(account.request("GET", "/v1/events", query="received_after=1990-01-01T00:00:00Z")[1]["data"]) == (
        status == 200
    )


def test_keys_can_be_rotated(account: Account):
    """A new value is accepted within minutes of being put in, and so is the one before, until it is ended."""
    event_arn, signing_arn = account.settings.event_key_secret, account.settings.signing_key_secret
    old, other, last = map(hash_signing_key, ("00112233445566778899aabbccddeeff", OTHER_KEY, "aa" * 16))
    assert account.request("GET", "/v1/runs", bearer=other)[0] == 401
    account.put_secret(signing_arn, OTHER_KEY)
    account.put_secret(event_arn, "new-key")
    account._turn_to(account.bed.clock.now_ms() + FRESH_MS)
    assert [account.request("GET", "/v1/runs", bearer=one)[0] for one in (old, other)] == [200, 200]
    assert [account.request("POST", f"/e/{key}", b"[]")[0] for key in (EVENT_KEY, "new-key")] == [200, 200]
    account.put_secret(signing_arn, "aa" * 16)
    account._turn_to(account.bed.clock.now_ms() + FRESH_MS)
    assert [account.request("GET", "/v1/runs", bearer=one)[0] for one in (old, other, last)] == [401, 200, 200]
    account.forget_previous_secret(signing_arn)
    account._turn_to(account.bed.clock.now_ms() + FRESH_MS)
    assert [account.request("GET", "/v1/runs", bearer=one)[0] for one in (other, last)] == [401, 200]


def test_a_request_without_keys_to_check_is_refused(account: Account):
    """When the keys cannot be read at all, nothing is let through: the request fails."""
    object.__setattr__(account.settings, "signing_key_secret", "gone")
    assert account.request("GET", "/v1/runs")[0] == 500


def test_large_answers_are_compressed_for_who_takes_it(account: Account):
    """An answer that would not fit into a payload does when the client takes gzip, and else lies in the bucket."""
    data = {"text": "x" * 2_900_000}
    for _ in range(2):
        account.send({"name": "large", "data": data})
    event = get("/v1/events?received_after=1990-01-01T00:00:00Z", **{"accept-encoding": "gzip, deflate"})
    answer = account.api(event, context("api", 1_000))
    assert (answer["statusCode"], answer["headers"]["content-encoding"]) == (200, "gzip")
    body = json.loads(gzip.decompress(base64.b64decode(answer["body"])))
    assert [one["data"] for one in body["data"]] == [data, data]
    assert account.request("GET", "/v1/events", query="received_after=1990-01-01T00:00:00Z")[0] == 307
    status, one = account.request("GET", "/v1/events", query="limit=1&received_after=1990-01-01T00:00:00Z")
    assert (status, len(one["data"])) == (200, 1)


def test_texts_of_every_kind_get_through(account: Account):
    """An event's text arrives as it was sent, whether the body comes as text or as base64."""
    text = 'ü😀 "quoted" \\ \u0000 \ufffe'
    account.send({"name": "text", "data": {"text": text}})
    event = get("/e/event-key") | {"body": json.dumps({"name": "text", "data": {"text": text}}), "version": "2.0"}
    event["requestContext"]["http"]["method"] = "POST"
    assert account.api(event, context("api", 1_000))["statusCode"] == 200
    _, answer = account.request("GET", "/v1/events", query="received_after=1990-01-01T00:00:00Z")
    assert [one["data"]["text"] for one in answer["data"]] == [text, text]


def test_a_store_that_breaks_is_an_error_and_no_lie(account: Account):
    """An event that could not be stored is answered with 500 and no ids, and the next one is taken."""
    account.request("GET", "/health")
    account.bed.dynamodb.plan("put_item", *[refused("InternalServerError")] * 3)
    account.bed.dynamodb.plan("transact_write_items", *[refused("InternalServerError")] * 3)
    assert account.request("POST", f"/e/{EVENT_KEY}", b'{"name":"a"}')[0] == 500
    account.bed.dynamodb.faults.clear()
    assert account.request("POST", f"/e/{EVENT_KEY}", b'{"name":"a"}')[0] == 200


def test_keys_are_not_logged(account: Account, caplog: pytest.LogCaptureFixture):
    """No log line shows the event key, which is part of a path, or the signing key."""
    names = ("stepwell", *NOISY)
    levels = {name: logging.getLogger(name).level for name in names}
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        set_up_logs("DEBUG")
        account.send({"name": "a", "data": {"secret": "4111 1111"}})
        account.request("GET", "/v1/runs")
        account.request("POST", "/e/wrong-key", b"{}")
    finally:
        logging.getLogger().setLevel(logging.WARNING)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert "event received" in caplog.text
    assert not [word for word in (EVENT_KEY, "00112233", "4111", "wrong-key") if word in caplog.text]


def test_another_event_is_refused(account: Account):
    """What is no HTTP request is an error that says so."""
    with pytest.raises(WireError, match="not an HTTP request"):
        account.api({"Records": []}, context("api", 1_000))
