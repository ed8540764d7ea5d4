"""The Lambda function that registers apps: a custom resource of the stacks they are deployed in, or asked by hand."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from stepwell.errors import StepwellError
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.entry.aws.assemble import SERVER_KIND, Deployment, this_process
from stepwell_orchestrator.entry.aws.custom_resource import (
    Put,
    ResourceResult,
    answer,
    is_custom_resource,
    put_by_urllib,
)
from stepwell_orchestrator.entry.aws.deadline import until
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.syncing import DeployedSync, SyncError, target_url

MARGIN_MAX_MS: Final = 20 * SECOND_MS
MARGIN_SHARE: Final = 3
"""What is kept of the time, at most a third of it, to say that the app took too long."""

_log = logging.getLogger("stepwell.sync")


class Registration:
    """Answers two kinds of events.

    CloudFormation's, of a ``Custom::StepwellSync`` with the properties ``FunctionArn`` (or ``FunctionName``) and
    ``Path``, or ``Url``; any further property, such as a version, only makes it ask again. It is answered whatever
    happens; a deletion forgets the app and never fails.

    And ``{"action": "sync", "function": name or ARN, "path": ...}`` or ``{"action": "sync", "url": ...}``, answered by
    ``{"ok": true, ...}`` or ``{"ok": false, "error": ...}``.
    """

    def __init__(self, deployment: Callable[[], Deployment], put: Put = put_by_urllib) -> None:
        self._deployment = deployment
        self._put = put

    async def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer one event."""
        left_ms = context.get_remaining_time_in_millis()
        time_ms = left_ms - min(left_ms // MARGIN_SHARE, MARGIN_MAX_MS)
        if is_custom_resource(event):
            result = await self._in_time(lambda: self._serve_resource(event), time_ms)
            if event["RequestType"] == "Delete":
                result = ResourceResult({})
            await answer(event, result, self._put)
            return {"ok": result.problem is None, "error": result.problem}
        result = await self._in_time(lambda: self._serve_request(event), time_ms)
        return {"ok": True, **result.data} if result.problem is None else {"ok": False, "error": result.problem}

    async def _in_time(self, work: Callable[[], Awaitable[Mapping[str, Any]]], time_ms: int) -> ResourceResult:
        """What came of the work, an error or too long a time included."""
        try:
            clock = self._deployment().clock
            async with until(clock, clock.now_ms() + time_ms):
                return ResourceResult(await work())
        except TimeoutError:
            problem = f"the app did not answer within {time_ms // SECOND_MS} s; is it starting slowly, or stuck?"
        except StepwellError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
            _log.exception("a registration failed")
            problem = f"{type(error).__name__}: {error}; the log of the sync function has the details"
        _log.error("not registered: %s", problem)
        return ResourceResult({}, problem)

    async def _serve_resource(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        url = target_url(event.get("ResourceProperties") or {})
        sync = await self._sync()
        if event["RequestType"] == "Delete":
            return {"forgotten": await sync.forget(url)}
        registered = await sync.sync(url)
        await self._forget_old(event, url, sync)
        return {"AppId": registered.app_id, "Functions": registered.functions}

    async def _forget_old(self, event: Mapping[str, Any], url: str, sync: DeployedSync) -> None:
        """A resource that stands for another app now must not leave the one before behind."""
        with suppress(SyncError):
            old_url = target_url(event.get("OldResourceProperties") or {})
            if old_url != url:
                await sync.forget(old_url)

    async def _serve_request(self, event: Any) -> Mapping[str, Any]:
        asked = event if isinstance(event, Mapping) else {}
        if asked.get("action") != "sync":
            raise SyncError('ask with {"action": "sync", "function": name or ARN} or {"action": "sync", "url": URL}')
        members = {"Url": "url", "FunctionName": "function", "Path": "path"}
        url = target_url({name: asked.get(member) for name, member in members.items()})
        return (await (await self._sync()).sync(url)).encode()

    async def _sync(self) -> DeployedSync:
        deployment = self._deployment()
        await deployment.signing_keys.refresh()
        return DeployedSync(
            requester=deployment.invoker,
            register=deployment.register,
            registry=deployment.backend.registry,
            clock=deployment.clock,
            signing_keys=deployment.signing_keys.values,
            server_kind=SERVER_KIND,
        )


handler = LambdaFunction(lambda: Registration(this_process).handle)
