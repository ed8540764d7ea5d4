"""Calling each function the way its URL says."""

from __future__ import annotations

from collections.abc import Mapping

from stepwell_orchestrator.aws.invoke_lambda import LambdaInvoker, is_lambda_url
from stepwell_orchestrator.ports import HttpReply
from stepwell_orchestrator.transports.invoke_http import HttpInvoker


class ChoosingInvoker:
    """Invokes functions of ``lambda://`` directly, and calls all others over HTTP."""

    def __init__(self, functions: LambdaInvoker, http: HttpInvoker) -> None:
        self._functions = functions
        self._http = http

    def body_bytes_max(self, url: str) -> int | None:
        """As the way has it."""
        return self._for(url).body_bytes_max(url)

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """POST the body."""
        return await self._for(url).call(url, headers, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Like ``call``, with any method."""
        return await self._for(url).request(method, url, headers, body)

    def _for(self, url: str) -> LambdaInvoker | HttpInvoker:
        return self._functions if is_lambda_url(url) else self._http
