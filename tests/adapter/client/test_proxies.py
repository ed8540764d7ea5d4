"""Proxies: which request goes through one, and what is said when it does not lead anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from stepwell.client.outbound import OutboundRequest, fetch
from stepwell.client.settings import read_proxies

PROXY = "http://proxy.example:3128"
ENGINE = "https://x.lambda-url.eu-west-1.on.aws"


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, ENGINE, None),
        ({"HTTPS_PROXY": PROXY}, f"{ENGINE}/v1/runs", PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, ENGINE, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, ENGINE, PROXY),
        ({"HTTPS_PROXY": ""}, ENGINE, None),
        ({"HTTP_PROXY": PROXY}, ENGINE, None),
        ({"HTTP_PROXY": PROXY}, "http://engine.example:8288/e/key", PROXY),
        ({"HTTP_PROXY": PROXY}, "http://[nonsense", None),
    ],
)
def test_a_proxy_is_that_of_the_scheme(environ: dict[str, str], url: str, proxy: str | None) -> None:
    """The variables are those of other tools, the lower-case one wins, and a scheme may be left out."""
    assert read_proxies(environ).for_url(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8288/e/dev",
        "http://127.8.9.10",
        "http://localhost:8288",
        "http://engine.localhost:8288",
        "http://[::1]:8288",
        "http://0.0.0.0:8288",
        "https://LocalHost",
    ],
)
def test_this_machine_is_never_asked_through_a_proxy(url: str) -> None:
    """The dev server is reached directly, whatever the environment says."""
    assert read_proxies({"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": ""}).for_url(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "bypassed"),
    [
        ("*", ENGINE, True),
        ("on.aws", ENGINE, True),
        (".on.aws, other", ENGINE, True),
        ("X.Lambda-URL.eu-west-1.on.aws", ENGINE, True),
        ("other,,", ENGINE, False),
        ("s", ENGINE, False),
        ("engine.example:8443", "https://engine.example:8443/e", True),
        ("engine.example:443", "https://user:1@engine.example/e", True),
        ("engine.example:8443", "https://engine.example/e", False),
        ("notengine.example", "https://engine.example", False),
        ("engine.example", "https://notengine.example", False),
        ("10.0.0.0/8", "https://10.1.2.3:8443", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("fd00::/8", "https://[fd00::7]:8443", True),
    ],
)
def test_hosts_are_exempt_from_the_proxy(no_proxy: str, url: str, bypassed: bool) -> None:
    """``NO_PROXY`` names hosts, domains with all below them, addresses and networks, on one port or on all."""
    assert (read_proxies({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}).for_url(url) is None) is bypassed


def test_a_proxy_does_not_show_in_a_repr() -> None:
    """Its URL may hold a password."""
    assert "sekret" not in repr(read_proxies({"HTTPS_PROXY": "http://me:sekret@proxy.example"}))


@dataclass
class Proxy:
    """A proxy that notes what it is asked for, and answers with ``status`` itself."""

    origin: str
    status: int = 200
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        writer.write(f"HTTP/1.1 {self.status} Said\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that the environment names."""
    proxy = Proxy("")
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.origin = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:sekret@{proxy.origin}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield proxy
    server.close()
    await server.wait_closed()


async def test_a_remote_server_is_asked_through_the_proxy(proxy: Proxy) -> None:
    """The proxy is asked for the whole URL, and its answer is the server's."""
    answer = await fetch(OutboundRequest("POST", "http://engine.example/e/key", {}, b"[]"))
    assert (answer.status, proxy.asked) == (200, ["POST http://engine.example/e/key HTTP/1.1"])


async def test_a_server_on_this_machine_is_asked_itself(proxy: Proxy) -> None:
    """What comes is a request as one makes it to a server, not to a proxy."""
    await fetch(OutboundRequest("POST", f"http://{proxy.origin}/e/key", {}, b"[]"))
    assert proxy.asked == ["POST /e/key HTTP/1.1"]


async def test_a_proxy_that_leads_nowhere_is_told(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variables, and neither the key of the request nor the password of the proxy."""
    proxy.status = 502
    with pytest.raises(ConnectionError, match=r"^the proxy answered 502; check HTTPS_PROXY and NO_PROXY$"):
        await fetch(OutboundRequest("POST", f"{ENGINE}/e/key", {}, b"[]"))
    assert proxy.asked == ["CONNECT x.lambda-url.eu-west-1.on.aws:443 HTTP/1.1"]
    monkeypatch.setenv("https_proxy", "http://me:sekret@127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"^the proxy cannot be reached; check HTTPS_PROXY and NO_PROXY$"):
        await fetch(OutboundRequest("POST", f"{ENGINE}/e/key", {}, b"[]"))
    monkeypatch.setenv("https_proxy", "socks5://me:sekret@127.0.0.1:1")
    with pytest.raises(ConnectionError) as refused:
        await fetch(OutboundRequest("POST", f"{ENGINE}/e/key", {}, b"[]"))
    assert "sekret" not in str(refused.value)
