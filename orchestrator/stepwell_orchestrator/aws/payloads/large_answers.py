"""Answers that are too large for Lambda to carry: left in the bucket, with a URL that is good for some minutes."""

from __future__ import annotations

import hashlib
from typing import Final

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.service import Service

PREFIX: Final = "answer/"
"""The bucket forgets what is under it after a day (template.yaml)."""
GOOD_FOR_MS: Final = 5 * MINUTE_MS


class LargeAnswers:
    """Where such answers lie in the bucket. ``s3`` answers ``presign_get`` with a ``Url`` (``WholeObjects``)."""

    def __init__(self, s3: Service, *, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    async def leave(self, body: bytes, *, content_type: str, content_encoding: str) -> str:
        """Put a body into the bucket. Returns the URL that gives it to anybody. Raises AwsError."""
        address = {"Bucket": self._bucket, "Key": f"{PREFIX}{hashlib.sha256(body).hexdigest()}"}
        encoding = {"ContentEncoding": content_encoding} if content_encoding else {}
        await self._s3.call("put_object", **address, Body=body, ContentType=content_type, **encoding)
        signed = await self._s3.call("presign_get", **address, ExpiresIn=GOOD_FOR_MS // SECOND_MS)
        return str(signed["Url"])
