"""MiniStack, an emulator of AWS in one process, on a free port of this machine for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.tools import ACCOUNT, REGION, STATE, FailedError, environment, free_port, tail, tool

_UP_WITHIN_S = 180
_DOWN_WITHIN_S = 15
_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own in it
_SCRATCH_BYTES = 6 * 1024**3


@dataclass(frozen=True, slots=True)
class Emulator:
    """One that is up: where it is, and the file that it logs to."""

    url: str
    log: Path

    def client(self, service: str, *, read_timeout_s: int = 60) -> Any:
        """A boto3 client of one of its services."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ACCOUNT["AWS_SECRET_ACCESS_KEY"],
            config=Config(read_timeout=read_timeout_s),
        )

    def function_url(self, url: str) -> str:
        """Where a function URL of it is reached: its hosts have no names on this machine, so it has them as paths."""
        host = url.partition("://")[2].partition("/")[0]
        return f"{self.url}/_aws/lambda-url/{host.partition('.')[0]}"


@contextmanager
def emulator(python: str) -> Iterator[Emulator]:
    """An emulator whose functions run in ``python``. Raises FailedError when it does not come up."""
    command = tool("ministack", python) / "ministack"
    port, scratch = free_port(), Path(tempfile.mkdtemp(prefix="stepwell-aws-", dir=_roomy_memory()))
    STATE.mkdir(exist_ok=True)
    log = STATE / "ministack.log"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "AUTH": "true",  # hold functions to the policies of their roles
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "TMPDIR": str(scratch),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [command],
            env=environment(**settings),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        up = Emulator(f"http://127.0.0.1:{port}", log)
        _wait_until_up(up, process)
        yield up
    finally:
        _stop(process)
        shutil.rmtree(scratch, ignore_errors=True)


def _roomy_memory() -> Path | None:
    """Where files lie in memory, if there is room: each process of each function gets a copy of its zip's files."""
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free >= _SCRATCH_BYTES else None
    except OSError:
        return None


def _wait_until_up(up: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline, address = time.monotonic() + _UP_WITHIN_S, ("127.0.0.1", int(up.url.rpartition(":")[2]))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(address, timeout=5):
                up.client("sts").get_caller_identity()
                return
        except (OSError, BotoCoreError, ClientError):
            time.sleep(0.1)
    raise FailedError(f"the emulator did not come up within {_UP_WITHIN_S} s:\n{tail(up.log.read_bytes())}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It and the workers that it started: the session is theirs alone."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(_DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
