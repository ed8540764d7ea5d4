"""A deployed stack as its owner reaches it: with their own credentials, by the stack's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwell.errors import StepwellError, WireError
from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.aws.service import AwsError

SYNC_FUNCTION: Final = "SyncFunctionArn"

_FIXES: Final[Mapping[str, str]] = {
    "AccessDenied": "your credentials may not do that; it takes cloudformation:DescribeStacks, lambda:InvokeFunction",
    "AccessDeniedException": "your credentials may not do that; it takes lambda:InvokeFunction on the sync function",
    "ExpiredToken": "your credentials have expired; log in again",
    "ExpiredTokenException": "your credentials have expired; log in again",
    "InvalidClientTokenId": "your credentials are not known to AWS; check AWS_PROFILE, or log in again",
    "NoCredentialsError": "there are no AWS credentials here; set AWS_PROFILE, or log in",
    "NoRegionError": "there is no AWS region here; set AWS_REGION, or AWS_PROFILE to a profile that has one",
    "ProfileNotFound": "AWS_PROFILE names no profile; check it",
    "ValidationError": "there is no such stack in this account and region; check the name, AWS_PROFILE and AWS_REGION",
}
"""What to do, by the code of the error."""


class StackError(StepwellError):
    """A stack could not be reached, or did not do what it was asked."""


class DeployedStack:
    """One CloudFormation stack. Every method raises StackError."""

    def __init__(self, name: str, clients: Clients) -> None:
        self._name = name
        self._clients = clients

    async def output(self, key: str) -> str:
        """Return one of its outputs."""
        try:
            response = await self._clients.stacks.call("describe_stacks", StackName=self._name)
        except Exception as error:
            raise self._failed(error) from error
        outputs = {one["OutputKey"]: one["OutputValue"] for one in response["Stacks"][0].get("Outputs", ())}
        if key not in outputs:
            raise StackError(f"the stack {self._name} has no output {key}; is it one of Stepwell's template.yaml?")
        return str(outputs[key])

    async def sync(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """Have it register an app: ``function`` or ``url``, and ``path``. Returns the answer of its sync function."""
        function = await self.output(SYNC_FUNCTION)
        payload = encode({"action": "sync", **target})
        try:
            response = await self._clients.functions.call("invoke", FunctionName=function, Payload=payload)
        except Exception as error:
            raise self._failed(error) from error
        try:
            answer = decode(response["Payload"], repair=True)
        except WireError:
            answer = None
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            told = answer if isinstance(answer, dict) else {}
            reason = told.get("error") or told.get("errorMessage") or "it gave no reason; its log has the details"
            raise StackError(f"the stack {self._name} did not register it: {reason}")
        return answer

    def _failed(self, error: Exception) -> StackError:
        if isinstance(error, ImportError):
            return StackError('--stack needs the package boto3, which is not installed: pip install "stepwell[aws]"')
        code = error.code if isinstance(error, AwsError) else type(error).__name__
        return StackError(f"the stack {self._name} cannot be reached: {_FIXES.get(code, str(error))}")
