"""Header names of the wire, in the lower case they are looked up with."""

from __future__ import annotations

from typing import Final

SDK: Final = "x-inngest-sdk"
SIGNATURE: Final = "x-inngest-signature"
ENV: Final = "x-inngest-env"
FRAMEWORK: Final = "x-inngest-framework"
PLATFORM: Final = "x-inngest-platform"
EXPECTED_SERVER_KIND: Final = "x-inngest-expected-server-kind"
SERVER_KIND: Final = "x-inngest-server-kind"
REQUEST_VERSION: Final = "x-inngest-req-version"
NO_RETRY: Final = "x-inngest-no-retry"
RETRY_AFTER: Final = "retry-after"
SYNC_KIND: Final = "x-inngest-sync-kind"
EVENT_ID_SEED: Final = "x-inngest-event-id-seed"
RUN_ID: Final = "x-run-id"
STEP_ID: Final = "x-inngest-step-id"
REQUEST_ID: Final = "x-request-id"
GENERATION_ID: Final = "x-inngest-generation-id"
JOB_ID: Final = "x-inngest-job-id"
SDK_HANDLED: Final = "x-inngest-sdk-handled"
GIVEN_UP: Final = "x-stepwell-given-up"
"""Our own: the hashed ids of the unfinished steps that the function has cancelled, separated by commas."""
WARNINGS: Final = "x-stepwell-warnings"
"""Our own: what the author ought to hear about the call, as a JSON array of texts."""
SAID: Final = "x-stepwell-said"
"""Our own: how far the function's lines in the log have come, as ``memos:lines``, the lines since the last memo."""

SYNC_IN_BAND: Final = "in_band"
SYNC_OUT_OF_BAND: Final = "out_of_band"

REQUEST_VERSION_CURRENT: Final = 2
"""The hash and execution version this adapter speaks: parallel steps are joined before discovery."""

REQUEST_VERSION_UNKNOWN: Final = -1
"""What a server sends before the first reply of a run told it the version."""
