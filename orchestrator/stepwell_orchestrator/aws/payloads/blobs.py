"""Documents as attribute values: compressed when that helps, and in S3 under their hash when they are large.

The first byte says which: ``j`` JSON, ``z`` JSON compressed, ``s`` the hash of an object that holds one of these.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, Final

from stepwell_orchestrator.aws.attribute_values import Value, binary
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.errors import StoreError

INLINE_BYTES_MAX: Final = 64 * 1024
"""A longer document lies in S3."""
PREFIX: Final = "payload/"
_PLAIN: Final = b"j"
_COMPRESSED: Final = b"z"
_STORED: Final = b"s"
_COMPRESS_FROM: Final = 128
"""Shorter ones do not get shorter."""


class WholeObjects:
    """A boto3 S3 client that reads an object where it makes the call, which is never on the event loop."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put_object(self, **parameters: Any) -> dict[str, Any]:
        """As the client's."""
        response: dict[str, Any] = self.client.put_object(**parameters)
        return response

    def get_object(self, **parameters: Any) -> dict[str, Any]:
        """As the client's; ``Body`` is bytes."""
        response = self.client.get_object(**parameters)
        return {**response, "Body": response["Body"].read()}

    def presign_get(self, *, ExpiresIn: int, **parameters: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Sign a URL that gives an object to anybody for that many seconds. The service is not asked for it."""
        return {"Url": self.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=ExpiresIn)}


class Blobs:
    """The bucket for what is too large for an item. An object is named by what it holds and never changes.

    ``s3`` answers ``get_object`` with the whole object (``WholeObjects``).
    """

    def __init__(self, s3: Service, *, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    async def pack(self, document: bytes) -> Value:
        """The document as an attribute, after having put it into the bucket if it is large.

        Raises AwsError when it could not be put.
        """
        packed = compress(document)
        if len(packed) <= INLINE_BYTES_MAX:
            return binary(packed)
        digest = hashlib.sha256(packed).digest()
        await self._s3.call("put_object", Bucket=self.bucket, Key=_key(digest), Body=packed)
        return binary(_STORED + digest)

    async def unpack(self, value: Value) -> bytes:
        """The document in an attribute. Raises StoreError when its object is missing or is not what was put."""
        packed = bytes(value["B"])
        if packed[:1] == _STORED:
            packed = await self._get(packed[1:])
        return decompress(packed)

    async def renew(self, value: Value) -> None:
        """Put a document's object anew, so that the bucket's lifecycle rule reckons its age from now on."""
        packed = bytes(value["B"])
        if packed[:1] == _STORED:
            key = _key(packed[1:])
            await self._s3.call("put_object", Bucket=self.bucket, Key=key, Body=await self._get(packed[1:]))

    async def _get(self, digest: bytes) -> bytes:
        key = _key(digest)
        try:
            response = await self._s3.call("get_object", Bucket=self.bucket, Key=key)
        except AwsError as error:
            if error.code == "NoSuchKey":
                raise StoreError(
                    f"object {key} is missing from bucket {self.bucket}: a step, event or outcome was stored there; "
                    "restore it, or check the bucket's lifecycle rule and cancel the run"
                ) from error
            raise
        packed: bytes = response["Body"]
        if hashlib.sha256(packed).digest() != digest:
            raise StoreError(
                f"object {key} of bucket {self.bucket} is not what Stepwell put there; restore its first version"
            )
        return packed


def compress(document: bytes) -> bytes:
    """The shorter of a document and its compressed form, marked as what it is."""
    if len(document) >= _COMPRESS_FROM:
        compressed = zlib.compress(document)
        if len(compressed) < len(document):
            return _COMPRESSED + compressed
    return _PLAIN + document


def decompress(packed: bytes) -> bytes:
    """The document in what ``compress`` made."""
    return zlib.decompress(packed[1:]) if packed[:1] == _COMPRESSED else packed[1:]


def _key(digest: bytes) -> str:
    return f"{PREFIX}{digest.hex()}"
