"""Where requests on behalf of functions may go: to public addresses, and to what an operator has named.

A function's author, or whoever the function's input comes from, chooses the URL; this server stands where it can reach
more than they should: itself, its neighbours, the cloud's metadata service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from stepwell.errors import DefinitionError

SETTING: Final = "STEPWELL_GATEWAY_ALLOW"
LOOPBACK: Final = ("localhost", "127.0.0.0/8", "::1")
"""What a dev server allows: the developer's own machine."""

Address = IPv4Address | IPv6Address
_SCHEMES = frozenset({"http", "https"})
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
    )
)
"""What the standard library's judgement has left out in one version or another."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and networks that may be reached although they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def refused_url(self, scheme: str, host: str) -> str | None:
        """Why a request to this host may not even look up its address, or None."""
        if scheme not in _SCHEMES:
            return f'its scheme is "{scheme}"; only http and https are fetched'
        if not host:
            return "it names no host"
        address = literal(host)
        if address is not None:
            return self.refused_address(host, address)
        # Such a host is taken for an address further down, and never looked up.
        return f'"{host}" is no address' if ":" in host or host.replace(".", "").isdigit() else None

    def refused_address(self, host: str, address: Address) -> str | None:
        """Why a connection to this address, found under that host, may not be made, or None."""
        if host.lower().rstrip(".") in self.hosts or any(
            form in network for form in _forms(address) for network in self.networks
        ):
            return None
        if all(map(_is_public, _forms(address))):
            return None
        found = "is not" if literal(host) else f"is at {address}, which is not"
        return f"{host} {found} a public address; an operator may allow it with {SETTING}"


def allowed(entries: Iterable[str]) -> Allowed:
    """What the entries name: hosts, addresses and networks such as ``10.1.0.0/16``. Raises DefinitionError."""
    hosts: set[str] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for entry in entries:
        try:
            networks.append(ip_network(entry.strip("[]")))
        except ValueError as error:
            if not _HOST.fullmatch(entry) or entry.replace(".", "").isdigit():
                example = 'write a host, an address or a network, such as "api.internal" or "10.1.0.0/16"'
                raise DefinitionError(f'{SETTING} has "{entry}": {error}; {example}') from None
            hosts.add(entry.lower().rstrip("."))
    return Allowed(frozenset(hosts), tuple(networks))


def literal(host: str) -> Address | None:
    """The address that a host is spelled as, if it is one; a zone does not matter."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _forms(address: Address) -> tuple[Address, ...]:
    """An address, and the IPv4 address that is reached by it where it only wraps one."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address in _SIX_TO_FOUR:
        return (address, IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    return (address,)


def _is_public(address: Address) -> bool:
    never = any(address in network for network in _NEVER if network.version == address.version)
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not special and not never
