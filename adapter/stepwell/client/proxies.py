"""The way to a server through a proxy, as the machine's environment asks for it; never to this machine itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies by the scheme of the URL that is asked for, and the hosts to which none leads.

    ``bypassed`` is what ``NO_PROXY`` holds, separated by commas: hosts and domains, with or without a port, addresses,
    networks, or ``*`` for all.
    """

    by_scheme: Mapping[str, str] = field(default_factory=dict, repr=False)
    bypassed: str = ""

    def for_url(self, url: str) -> str | None:
        """Returns the URL of the proxy to ask for ``url``, or None to ask its host."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        host = parts.hostname or ""
        proxy = self.by_scheme.get(parts.scheme)
        if proxy is None or _is_loopback(host) or self._bypasses(host, _port(parts)):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _bypasses(self, host: str, port: str) -> bool:
        entries = (entry.strip().lower() for entry in self.bypassed.split(","))
        return any(entry == "*" or _covers(entry, host, port) for entry in entries if entry)


def _port(parts: SplitResult) -> str:
    port = parts.netloc.rpartition("@")[2].rpartition(":")[2]
    return port if port.isdigit() else {"http": "80", "https": "443"}.get(parts.scheme, "")


def _covers(entry: str, host: str, port: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # one of them is a name
    name, _, only_port = entry.lstrip(".").partition(":")
    return only_port in ("", port) and (host == name or host.endswith(f".{name}"))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
