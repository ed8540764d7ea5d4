"""DynamoDB by moto's own methods, without the way there and back over HTTP, which takes most of the time of a call.

For tests that make very many calls. What botocore checks of the parameters of a call is not checked here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.responses import DynamoHandler

from tests.orchestrator.aws import strict


class StraightDynamo:
    """Answers as boto3's client does, but for the metadata of responses."""

    def __init__(self) -> None:
        self._handler = DynamoHandler()
        self._handler.region = strict.REGION
        self._handler.current_account = strict.ACCOUNT

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        method = getattr(self._handler, operation)

        def call(**parameters: Any) -> dict[str, Any]:
            with strict.STATE.lock:
                self._handler.body = parameters
                try:
                    return dict(method().result)
                except JsonRESTError as error:
                    raise _told(error, operation) from error

        return call


def _told(error: JsonRESTError, operation: str) -> ClientError:
    """A refusal as botocore reads it."""
    told = json.loads(error.description, object_hook=_with_bytes)
    code = told.pop("__type").rpartition("#")[2]
    message = told.pop("message", None) or told.pop("Message", "")
    return ClientError({"Error": {"Code": code, "Message": message}, **told}, operation)


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    is_binary = value.keys() == {"B"} and isinstance(value["B"], str)
    return {"B": base64.b64decode(value["B"])} if is_binary else value
