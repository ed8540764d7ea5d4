"""Around the API in Lambda: an answer that is too large to be carried becomes a redirect to where it lies.

A run's state may be 32 MiB, and the function that needs it fetches it from here (protocol 4.4). A client that follows
redirects notices nothing: it drops its bearer on the way to another host, and the URL says what it may get.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from stepwell.serving.lambda_handler import RESPONSE_BYTES_MAX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Leave = Callable[..., Awaitable[str]]
"""``LargeAnswers.leave``."""


class LargeAnswerRedirects:
    """Answers GET requests by redirects to large answers. Everything else passes."""

    def __init__(self, app: ASGIApp, leave: Leave) -> None:
        self._app = app
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        for message in await self._redirect(messages):
            await send(message)

    async def _redirect(self, messages: list[Message]) -> list[Message]:
        """Leave a large answer in the bucket, and return the redirect to it. Returns any other answer as it is.

        The redirect keeps the headers that say something of this server.
        """
        body = b"".join(message.get("body", b"") for message in messages)
        start = messages[0]
        if start["status"] != 200 or len(body) <= RESPONSE_BYTES_MAX:
            return messages
        headers = {name.lower().decode(): value.decode() for name, value in start["headers"]}
        url = await self._leave(
            body,
            content_type=headers.pop("content-type", "application/json"),
            content_encoding=headers.pop("content-encoding", ""),
        )
        headers |= {"location": url, "content-length": "0", "cache-control": "no-store"}
        return [
            {**start, "status": 307, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]},
            {"type": "http.response.body", "body": b""},
        ]
