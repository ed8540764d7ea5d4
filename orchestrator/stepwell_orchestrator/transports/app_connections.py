"""Connections to apps, which know whether the app has begun to answer."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import ClientOSError, ClientResponse, ServerDisconnectedError, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from stepwell_orchestrator.transports.http10 import FirstReply


class UnansweredError(ServerDisconnectedError):
    """A connection that had been kept from an earlier request was closed before one byte of this one's answer."""


class CountingHandler(ResponseHandler):
    """The protocol of one connection. ``received_bytes``: over all its replies."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.received_bytes = 0
        self._first_reply = FirstReply()

    def data_received(self, data: bytes) -> None:
        """Count, and pass on."""
        self.received_bytes += len(data)
        super().data_received(self._first_reply.feed(data))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Pass on what was held back, and then that the connection is gone."""
        held = self._first_reply.close()
        if held:
            super().data_received(held)
        super().connection_lost(exc)


def _handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return CountingHandler(loop)


class AppConnector(TCPConnector):
    """Connections of that protocol."""

    def __init__(self, *, keepalive_s: float | None) -> None:
        """Without ``keepalive_s`` every connection is a fresh one, and closed after its reply."""
        # The pump bounds how many calls are under way; the pool must not hold them back a second time.
        if keepalive_s is None:
            super().__init__(limit=0, force_close=True)
        else:
            super().__init__(limit=0, keepalive_timeout=keepalive_s)
        self._factory = partial(_handler, loop=self._loop)


class AppResponse(ClientResponse):
    """A response that raises UnansweredError where the request may be made once more."""

    async def start(self, connection: Connection) -> ClientResponse:
        """Wait for the head of the reply."""
        handler = connection.protocol
        before = handler.received_bytes if isinstance(handler, CountingHandler) else 0
        try:
            return await super().start(connection)
        except (ClientOSError, ServerDisconnectedError) as error:
            # On a fresh connection the app has had the request; on a kept one it may have closed before it came.
            if before and isinstance(handler, CountingHandler) and handler.received_bytes == before:
                raise UnansweredError from error
            raise
