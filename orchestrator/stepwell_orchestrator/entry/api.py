"""The Lambda function behind the function URL: events in, the API out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stepwell.serving.lambda_handler import LambdaHandler
from stepwell_orchestrator.aws.payloads.large_answers import LargeAnswers
from stepwell_orchestrator.entry.aws.answer_redirects import LargeAnswerRedirects
from stepwell_orchestrator.entry.aws.assemble import SERVER_KIND, Deployment, this_process

if TYPE_CHECKING:
    from mangum import Mangum
    from starlette.types import Receive, Scope, Send

ZIPPED_BYTES_MIN: Final = 64 * 1024
"""From there on answers are compressed for who takes it: Lambda carries only so much, and runs' state may be more."""
_ZIP_LEVEL: Final = 4


def serving(deployment: Deployment) -> Mangum:
    """The API of a deployment."""
    from mangum import Mangum
    from starlette.middleware.gzip import GZipMiddleware

    zipping = GZipMiddleware(_WithKeys(deployment), minimum_size=ZIPPED_BYTES_MIN, compresslevel=_ZIP_LEVEL)
    large_answers = LargeAnswers(deployment.clients.services.s3, bucket=deployment.settings.names.bucket)
    return Mangum(LargeAnswerRedirects(zipping, large_answers.leave), lifespan="off")


class _WithKeys:
    """The API with the keys of the time being."""

    def __init__(self, deployment: Deployment) -> None:
        from stepwell_orchestrator.api.app import create_api
        from stepwell_orchestrator.api.deps import Deps
        from stepwell_orchestrator.controlling.waiting_for import WaitsOfRuns
        from stepwell_orchestrator.controlling.waits_of_events import WaitsOfEvents

        self._deployment = deployment
        flow, registry, clock = deployment.backend.flow, deployment.backend.registry, deployment.clock
        self._api = create_api(
            Deps(
                ingest=deployment.ingest,
                register=deployment.register,
                control=deployment.control,
                checkpointer=deployment.checkpointer,
                journal=deployment.backend.journal,
                registry=registry,
                queued=None,
                clock=clock,
                waits_of_runs=WaitsOfRuns(flow, registry, clock),
                waits_of_events=WaitsOfEvents(flow, registry, clock),
            ),
            kind=SERVER_KIND,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from stepwell_orchestrator.api.deps import Access

        keys = self._deployment.event_keys, self._deployment.signing_keys
        await asyncio.gather(*(one.refresh() for one in keys))
        event_keys, signing_keys = (tuple(one.values) for one in keys)
        self._api.state.access = Access(SERVER_KIND, event_keys, signing_keys)
        await self._api(scope, receive, send)


handler = LambdaHandler(lambda: serving(this_process()))
