from __future__ import annotations

import pytest

from stepwell.errors import DefinitionError
from stepwell_orchestrator.transports.egress import LOOPBACK, allowed, literal

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::",
]
REFUSED = [
    "127.0.0.1",
    "127.8.9.1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "255.255.255.255",
    "224.0.0.1",
    "239.255.255.250",
    "198.18.0.1",
    "192.0.2.1",
    "240.0.0.1",
    "::1",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_reached(text: str) -> None:
    """A public address, however it is wrapped, is refused neither as a host nor as what a host resolves to."""
    nothing = allowed([])
    assert nothing.refused_url("https", text) is None
    address = literal(text)
    assert address is not None
    assert nothing.refused_address("api.test", address) is None


@pytest.mark.parametrize("text", REFUSED)
def test_other_addresses_are_refused(text: str) -> None:
    """An address that is not public is refused as a host and as what a host resolves to, with the setting's name."""
    nothing = allowed([])
    assert "STEPWELL_GATEWAY_ALLOW" in (nothing.refused_url("http", text) or "")
    address = literal(text)
    assert address is not None
    assert "STEPWELL_GATEWAY_ALLOW" in (nothing.refused_address("api.test", address) or "")


@pytest.mark.parametrize(
    ("scheme", "host", "why"),
    [
        ("file", "etc", 'its scheme is "file"'),
        ("gopher", "8.8.8.8", 'its scheme is "gopher"'),
        ("", "8.8.8.8", 'its scheme is ""'),
        ("https", "", "names no host"),
        ("http", "2130706433", "is no address"),
        ("http", "127.1", "is no address"),
        ("http", "1:2", "is no address"),
    ],
)
def test_urls_are_refused_before_anything_is_looked_up(scheme: str, host: str, why: str) -> None:
    """Other schemes, no host, and hosts that a socket would take for an address without a lookup are refused."""
    assert why in (allowed(LOOPBACK).refused_url(scheme, host) or "")


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("api.internal", "api.internal", "10.0.0.9"),
        ("API.internal.", "api.INTERNAL", "10.0.0.9"),
        ("10.0.0.0/8", "anything.test", "10.200.0.1"),
        ("10.0.0.0/8", "anything.test", "::ffff:10.200.0.1"),
        ("10.0.0.9", "anything.test", "10.0.0.9"),
        ("[fd00::1]", "anything.test", "fd00::1"),
        ("fd00::/8", "anything.test", "fd00::1"),
    ],
)
def test_what_is_allowed_is_reached(entry: str, host: str, address: str) -> None:
    """A host, an address or a network that an operator names is reached, and nothing else is by it."""
    setting = allowed([entry])
    found, other = literal(address), literal("192.168.0.1")
    assert found is not None
    assert other is not None
    assert setting.refused_address(host, found) is None
    assert setting.refused_address("other.test", other) is not None


def test_the_metadata_service_stays_out_of_what_a_dev_server_allows() -> None:
    """Loopback is the developer's own; the cloud's metadata address is not, not even on a development machine."""
    dev = allowed(LOOPBACK)
    assert dev.refused_url("http", "127.0.0.1") is None
    assert dev.refused_url("http", "::1") is None
    assert dev.refused_url("http", "169.254.169.254") is not None


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "10.0.0.1/8", "1.2.3", "a/b", "10.0.0.1:80", "http://x", "*.x", "-x"])
def test_an_entry_that_means_nothing_is_refused(entry: str) -> None:
    """An entry that is no host, address or network is named, with what to write instead."""
    with pytest.raises(DefinitionError, match=r"STEPWELL_GATEWAY_ALLOW has .*write a host, an address or a network"):
        allowed([entry])
