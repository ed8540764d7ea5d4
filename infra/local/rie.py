"""Functions without containers: the runtime's own client, under the interface emulator that the SAM CLI ships."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.local.deploy import MACHINE
from infra.local.tools import STATE, FailedError, environment, free_port, tail, tool

_UP_WITHIN_S = 120
_ANSWER_WITHIN_S = 240


@dataclass(frozen=True, slots=True)
class Emulated:
    """Each function in a process of its own, for one invocation: the emulator takes one at a time."""

    sam: Path
    python: str
    variables: Mapping[str, str]
    built: Path

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """What it returns. Raises FailedError, with what it printed, when it is not an answer."""
        port, api_port = free_port(), free_port()
        log = STATE / f"{function}.log"
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{api_port}"]
        client = [str(tool("runtime", self.python) / "python"), "-m", "awslambdaric", self._handler(function)]
        folder = self.built / function
        env = environment(
            **self.variables,
            PYTHONPATH=str(folder),
            AWS_LAMBDA_FUNCTION_NAME=function,
            AWS_LAMBDA_FUNCTION_TIMEOUT=str(_ANSWER_WITHIN_S),
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512",
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self._emulator(), *addresses, *client],
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return self._ask(port, event)
        except (OSError, ValueError) as error:
            raise FailedError(f"{function} gave no answer: {error}\n{tail(log.read_bytes())}") from None
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _ask(self, port: int, event: Mapping[str, Any]) -> Any:
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        deadline = time.monotonic() + _UP_WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=_ANSWER_WITHIN_S) as answer:
                    return json.load(answer)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _handler(self, function: str) -> str:
        """As the built template has it."""
        template = yaml.safe_load((self.built / "template.yaml").read_text(encoding="utf-8"))
        handler: str = template["Resources"][function]["Properties"]["Handler"]
        return handler

    def _emulator(self) -> str:
        """The one that ``sam local`` puts into its containers."""
        packages = next((self.sam.parents[1] / "lib").glob("python*/site-packages"))
        return str(packages / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{MACHINE}")
