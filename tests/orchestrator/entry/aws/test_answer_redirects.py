"""State that is too long for Lambda to carry reaches the function all the same (protocol 4.4)."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import requests

import stepwell
from stepwell.serving.lambda_handler import RESPONSE_BYTES_MAX
from stepwell.wire.headers import SERVER_KIND
from stepwell_orchestrator.aws.payloads.large_answers import GOOD_FOR_MS
from tests.orchestrator.aws.account import SIGNING_KEY, Account, context, get

STEPS, STEP_BYTES = 4, 3_000_000
TEXTS = [random.Random(number).randbytes(STEP_BYTES // 2).hex() for number in range(STEPS)]
"""Hexadecimal halves when it is compressed: together they are still more than Lambda carries."""


@dataclass
class Front:
    """Stands for the function URL on one port, and for S3 on another: what a client far away would reach."""

    account: Account
    ports: list[int] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    bearers: list[str | None] = field(default_factory=list)
    """What came to S3 as authorization."""

    def answer(self, port: int, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer one GET."""
        if port == self.ports[1]:
            self.bearers.append(headers.get("authorization"))
            found = requests.get(self.redirects[-1], timeout=60, stream=True)
            return found.status_code, {"content-encoding": found.headers["content-encoding"]}, found.raw.read()
        answer = self.account.api(get(path, **{"accept-encoding": headers["accept-encoding"]}), context("api", 30_000))
        if "location" in answer["headers"]:
            self.redirects.append(answer["headers"]["location"])
            answer["headers"]["location"] = f"http://127.0.0.1:{self.ports[1]}/object"
        body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        shown = {name: answer["headers"].get(name, "") for name in ("location", "content-encoding")}
        return answer["statusCode"], shown, body


class _Handler(BaseHTTPRequestHandler):
    fronts: ClassVar[dict[int, Front]] = {}

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answered, body = self.fronts[port].answer(port, self.path, headers)
        self.send_response(status)
        for name, value in {**answered, "content-length": str(len(body))}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def fronted(account: Account) -> Iterator[Front]:
    """An account whose API and bucket can be reached from this machine."""
    front = Front(account)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        front.ports.append(server.server_port)
        _Handler.fronts[server.server_port] = front
        thread.start()
    try:
        yield front
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def hoarder(port: int) -> stepwell.App:
    """An app whose runs hold more than Lambda carries."""
    app = stepwell.App("hoard", base_url=f"http://127.0.0.1:{port}", signing_key=SIGNING_KEY, event_key="event-key")

    @app.function(on="hoard/begin", retries=0, checkpoint=False)
    async def hoard(ctx: stepwell.Context) -> list[int]:
        texts = [await ctx.step.run(f"text-{number}", TEXTS.__getitem__, number) for number in range(STEPS)]
        return [len(text) for text, known in zip(texts, TEXTS, strict=True) if text == known]

    return app


def test_state_that_lambda_cannot_carry_reaches_the_function(account: Account) -> None:
    """A run of 12 MiB ends well: its function follows the API's redirects to the bucket, and leaves its key behind."""
    with fronted(account) as front:
        account.register("hoard", hoarder(front.ports[0]))
        account.send({"name": "hoard/begin"})
        account.work()
    run = account.run()
    assert (run["status"], run["output"]) == ("Completed", [STEP_BYTES] * STEPS)
    assert front.redirects
    assert set(front.bearers) == {None}


def test_a_long_answer_is_a_redirect_to_the_bucket(account: Account) -> None:
    """Who takes no compression gets a redirect to the whole answer, which is signed and good for some minutes."""
    account.send(*({"name": "long", "data": {"text": text}} for text in TEXTS))
    path = "/v1/events?received_after=1990-01-01T00:00:00Z"
    answer = account.api(get(path), context("api", 30_000))
    assert (answer["statusCode"], answer["body"], answer["headers"][SERVER_KIND]) == (307, "", "cloud")
    url = urlsplit(answer["headers"]["location"])
    assert url.scheme == "https"
    assert url.path.startswith("/answer/")
    query = parse_qs(url.query)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], [str(GOOD_FOR_MS // 1000)])
    found = requests.get(answer["headers"]["location"], timeout=60)
    assert found.headers["content-type"] == "application/json"
    assert sorted(event["data"]["text"] for event in found.json()["data"]) == sorted(TEXTS)


def test_what_fits_is_no_redirect(account: Account) -> None:
    """An answer that fits is given, compressed for who takes that; and nothing is left in the bucket for it."""
    account.send({"name": "long", "data": {"text": "x" * (RESPONSE_BYTES_MAX - 2_000_000)}})
    path = "/v1/events?received_after=1990-01-01T00:00:00Z"
    for headers in ({}, {"accept-encoding": "gzip"}):
        assert account.api(get(path, **headers), context("api", 30_000))["statusCode"] == 200
    listed = account.bed.s3.client.client.list_objects_v2(Bucket=account.settings.names.bucket, Prefix="answer/")
    assert "Contents" not in listed


def test_errors_and_other_methods_are_not_redirected(account: Account) -> None:
    """Only what was asked for by GET and found is left in the bucket."""
    assert account.api(get("/v1/runs/bad"), context("api", 30_000))["statusCode"] == 400
    event = get("/v0/gql") | {"body": json.dumps({"query": "{ apps { id } }"})}
    event["requestContext"]["http"]["method"] = "POST"
    answer = account.api(event, context("api", 30_000))
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"data": {"apps": []}})
