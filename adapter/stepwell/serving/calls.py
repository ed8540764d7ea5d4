"""POST on a serve endpoint: a call request, executed, and what came of it as the reply (protocol 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import Fetch
from stepwell.client.run_state import fetch_state
from stepwell.client.settings import Settings
from stepwell.errors import StepwellError, WireError
from stepwell.middleware.hooks import REQUEST
from stepwell.serving.executor import Execute
from stepwell.serving.responses import failed_call
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest, decode_call_request
from stepwell.wire.encoding import decode
from stepwell.wire.reply import encode_reply


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one app's functions. What goes wrong before a function is reached is worth another attempt."""

    app: App
    settings: Settings
    fetch: Fetch
    execute: Execute
    now_ms: Callable[[], int]

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Execute the function that ``request`` calls, and reply."""
        slug = request.query.get("fnId", "")
        function = self._function(slug)
        if function is None:
            message = f'the app "{self.app.id}" has no function "{slug}"; sync the app after renaming or removing one'
            return failed_call(message, code="function_not_found", name="FunctionNotFoundError")
        try:
            call = decode_call_request(decode(request.body))
        except WireError as error:
            return failed_call(str(error), code="body_invalid", name="ValidationError")
        if call.ctx.use_api:
            try:
                call = await fetch_state(self.settings, self.fetch, call)
            except (ConnectionError, StepwellError) as error:
                message = f"the run's state could not be fetched: {error}"
                return failed_call(message, code="state_unavailable", name="StateError")
        return await self._execute(request, function, call)

    async def _execute(self, request: HttpRequest, function: Function[Any], call: CallRequest) -> HttpResponse:
        target = request.query.get("stepId") or call.ctx.step_id
        token = REQUEST.set(request)
        try:
            outcome = await self.execute(function, call, None if target == DISCOVERY_STEP_ID else target)
        finally:
            REQUEST.reset(token)
        return HttpResponse(*encode_reply(outcome, self.now_ms()))

    def _function(self, slug: str) -> Function[Any] | None:
        function = self.app.functions.get(slug.removeprefix(f"{self.app.id}-"))
        return function if function is not None and function.slug == slug else None
