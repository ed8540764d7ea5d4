from __future__ import annotations

import asyncio
import gzip
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from stepwell_orchestrator.model.fetch import FetchRequest
from stepwell_orchestrator.ports import FetchError
from stepwell_orchestrator.transports.egress import LOOPBACK, allowed
from stepwell_orchestrator.transports.fetch_http import REDIRECTS_MAX, HttpFetcher
from tests.orchestrator.transports.provider import json_answer, provider, redirect

SECRET = "token-of-the-first-origin"


class Book(AbstractResolver):
    """Looks names up in a list each: its next entry, of one or more addresses, at each lookup."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.lookups: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        known = self.addresses[host.replace(".", "_")]
        addresses = known[min(self.lookups[host], len(known) - 1)].split()
        self.lookups[host] += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def fetcher(*allow: str, **options: Any) -> AsyncIterator[HttpFetcher]:
    made = HttpFetcher(allowed(allow), **options)
    try:
        yield made
    finally:
        await made.close()


def ask(url: str, method: str = "GET", body: bytes = b"", **headers: str) -> FetchRequest:
    return FetchRequest("run", "step", 0, method, url, headers, body)


async def refusal(made: HttpFetcher, request: FetchRequest) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await made.fetch(request)
    assert SECRET not in str(caught.value)
    return caught.value


async def test_a_request_goes_out_as_it_is_and_its_reply_comes_back() -> None:
    """Method, query, headers and body arrive; status, headers, the decompressed body and the URL return."""
    headers = {"content-encoding": "gzip", "x-a": "1", "content-type": "text/plain"}
    answer = web.Response(status=418, headers=headers, body=gzip.compress(b"short and stout"))
    answer.headers.add("x-a", "2")
    async with provider(answer) as server, fetcher(*LOOPBACK) as made:
        reply = await made.fetch(ask(f"{server.origin}/tea?q=1#top", "PUT", b"hot", accept="text/plain"))
    assert (reply.status, reply.body, reply.url) == (418, b"short and stout", f"{server.origin}/tea?q=1")
    assert (reply.headers["x-a"], reply.headers["content-type"]) == ("1, 2", "text/plain")
    assert "content-encoding" not in reply.headers
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.query, seen.body) == ("PUT", "/tea", {"q": "1"}, "hot")
    assert (seen.headers["accept"], seen.headers["user-agent"]) == ("text/plain", "stepwell")
    assert "content-type" not in seen.headers


async def test_names_of_headers_go_out_in_title_case() -> None:
    """Some look for ``X-Api-Key`` and for nothing else."""
    sent: list[str] = []

    async def record(request: web.Request) -> web.Response:
        sent.extend(name.decode() for name, _ in request.raw_headers)
        return web.Response()

    async with provider(record) as stand_in, fetcher(*LOOPBACK) as made:
        await made.fetch(ask(stand_in.origin, "POST", b"{}", **{"x-api-key": "k", "content-type": "text/plain"}))
    assert {"X-Api-Key", "Content-Type", "User-Agent"} <= set(sent)


async def test_the_transfers_own_headers_are_not_taken_over() -> None:
    """A function cannot name another host, length or encoding than those of the request."""
    headers = {"host": "internal.test", "content-length": "1", "transfer-encoding": "chunked", "accept-encoding": "x"}
    async with provider() as server, fetcher(*LOOPBACK) as made:
        await made.fetch(ask(server.origin, "POST", b"body", **headers))
    (seen,) = server.seen
    assert seen.headers["host"] == server.origin.removeprefix("http://")
    assert (seen.headers["content-length"], seen.body) == ("4", "body")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://127.1:{port}/",
        "http://127。0。0。1:{port}/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
    ],
)
async def test_what_is_not_public_is_refused_for_good(url: str) -> None:
    """However a private address is spelled, nothing is sent to it, and the error does not invite a retry."""
    async with provider() as server, fetcher() as made:
        error = await refusal(made, ask(url.format(port=server.origin.rpartition(":")[2])))
    assert error.final
    assert server.seen == []


async def test_a_name_is_judged_by_the_address_of_the_connection() -> None:
    """A name that first has a public address and then a private one is refused when it has the private one."""
    book = Book(rebound_test=["127.0.0.1"])
    async with provider() as server, fetcher(resolver=book) as made:
        error = await refusal(made, ask(f"http://rebound.test:{server.origin.rpartition(':')[2]}/"))
    assert error.final
    assert "rebound.test is at 127.0.0.1" in str(error)
    assert "STEPWELL_GATEWAY_ALLOW" in str(error)
    assert server.seen == []


async def test_of_several_addresses_only_those_that_may_be_reached_are_tried() -> None:
    """A name with an allowed address, where nobody listens, and a refused one, where somebody does, reaches nobody."""
    book = Book(both_test=["127.0.0.1 127.0.0.2"])
    async with provider() as server, fetcher("127.0.0.2", resolver=book) as made:
        error = await refusal(made, ask(f"http://both.test:{server.origin.rpartition(':')[2]}/"))
    assert not error.final
    assert server.seen == []


async def test_each_connection_looks_its_name_up_again() -> None:
    """A name that has become private since its last request is refused: no address is remembered."""
    book = Book(rebound_test=["127.0.0.1", "127.0.0.2"])
    close = web.Response(headers={"connection": "close"})
    async with provider(close) as server, fetcher("127.0.0.1", resolver=book) as made:
        url = f"http://rebound.test:{server.origin.rpartition(':')[2]}/"
        await made.fetch(ask(url))
        error = await refusal(made, ask(url))
    assert "127.0.0.2" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize("target", ["http://169.254.169.254/x", "http://[::1]/", "file:///etc/passwd", "//10.0.0.1/x"])
async def test_a_redirect_goes_nowhere_that_a_request_may_not(target: str) -> None:
    """Every redirect is judged like a request."""
    async with provider(redirect(target)) as server, fetcher("127.0.0.1") as made:
        error = await refusal(made, ask(server.origin))
    assert error.final
    assert len(server.seen) == 1


async def test_a_redirect_to_another_origin_takes_no_secret_along() -> None:
    """Within an origin the headers stay; at another one only the harmless ones do."""
    headers = {"authorization": SECRET, "x-api-key": SECRET, "cookie": SECRET, "accept": "text/plain"}
    async with provider() as second, provider() as first, fetcher(*LOOPBACK) as made:
        first.answers = [redirect("/next"), redirect(second.origin)]
        await made.fetch(ask(first.origin, **headers))
    assert [seen.headers.get("authorization") for seen in (*first.seen, *second.seen)] == [SECRET, SECRET, None]
    assert [seen.headers.get("x-api-key") for seen in (*first.seen, *second.seen)] == [SECRET, SECRET, None]
    assert second.seen[0].headers["accept"] == "text/plain"
    assert SECRET not in str(second.seen)


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT")],
)
async def test_a_redirect_keeps_the_method_as_browsers_do(status: int, method: str, then: str) -> None:
    """The old statuses turn a POST into a GET without a body, the new ones repeat the request."""
    async with provider(redirect("/next", status), json_answer({})) as server, fetcher(*LOOPBACK) as made:
        await made.fetch(ask(server.origin, method, b"body", **{"content-type": "text/plain"}))
    second = server.seen[1]
    kept = (second.body, second.headers.get("content-type"))
    assert (second.method, kept) == (then, ("", None) if then == "GET" else ("body", "text/plain"))


async def test_redirects_are_bounded() -> None:
    """A circle ends with an error that does not invite a retry."""
    async with provider(redirect("/")) as server, fetcher(*LOOPBACK) as made:
        error = await refusal(made, ask(server.origin))
    assert error.final
    assert len(server.seen) == REDIRECTS_MAX + 1


@pytest.mark.parametrize("body", [b"x" * 1_001, gzip.compress(b"x" * 10_000)], ids=["plain", "compressed"])
async def test_a_reply_is_bounded_as_it_is_after_decompression(body: bytes) -> None:
    """A reply over the bound is given up, for good."""
    encoding = {"content-encoding": "gzip"} if body.startswith(b"\x1f") else {}
    answer = web.Response(body=body, headers=encoding)
    async with provider(answer) as server, fetcher(*LOOPBACK, reply_bytes_max=1_000) as made:
        error = await refusal(made, ask(f"{server.origin}/?key={SECRET}"))
    assert error.final
    assert "1000 bytes" in str(error)


async def test_a_reply_at_the_bound_comes_whole() -> None:
    """The bound itself is allowed."""
    async with provider(web.Response(body=b"x" * 1_000)) as server, fetcher(*LOOPBACK, reply_bytes_max=1_000) as made:
        assert len((await made.fetch(ask(server.origin))).body) == 1_000


async def test_a_request_that_takes_too_long_may_be_tried_again() -> None:
    """The time is bounded, and the error says so without the query."""
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with provider(hang) as server, fetcher(*LOOPBACK, timeout_ms=20) as made:
        error = await refusal(made, ask(f"{server.origin}/slow?key={SECRET}"))
        never.set()
    assert not error.final
    assert str(error) == f"{server.origin}/slow did not reply within 0.02 s"


async def test_a_connection_that_breaks_off_may_be_tried_again() -> None:
    """A server that hangs up, one that is not there, and a name that is not known are troubles of the moment."""

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    book = Book()

    async def unknown(*_: Any) -> list[ResolveResult]:
        raise OSError("no such name")

    book.resolve = unknown  # type: ignore[method-assign]
    async with provider(hang_up) as server, fetcher(*LOOPBACK, resolver=book) as made:
        broken = await refusal(made, ask(server.origin))
        nameless = await refusal(made, ask(f"http://nowhere.test/?key={SECRET}"))
    async with fetcher(*LOOPBACK) as made:
        absent = await refusal(made, ask(server.origin))
    assert [error.final for error in (broken, nameless, absent)] == [False, False, False]
    assert str(nameless) == "the host of http://nowhere.test/ cannot be resolved"


@pytest.mark.parametrize(
    "request_",
    [
        ask("http://127.0.0.1:1/", "NO GOOD"),
        ask("http://127.0.0.1:1/", **{"x-a": f"a\r\nx-b: {SECRET}"}),
        ask("http://user name@[::1/"),
        ask("http://127.0.0.1:99999/"),
        ask("no url"),
    ],
)
async def test_a_request_that_cannot_be_made_is_refused_for_good(request_: FetchRequest) -> None:
    """A method, header or URL that is none fails at once, and the error shows no value."""
    async with fetcher(*LOOPBACK) as made:
        assert (await refusal(made, request_)).final


async def test_no_cookie_is_kept_from_one_request_to_the_next() -> None:
    """What one function was given is not sent along for another one."""
    async with provider(json_answer({}, set_cookie="a=b")) as server, fetcher(*LOOPBACK) as made:
        await made.fetch(ask(server.origin))
        await made.fetch(ask(server.origin))
    assert "cookie" not in server.seen[1].headers
