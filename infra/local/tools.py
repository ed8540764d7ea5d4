"""What the local deployments share: tools in environments of their own, commands that fail loudly, steps with times."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.build import ROOT, find_target

STATE = ROOT / ".aws-local"
"""What is installed and written here; git ignores it."""

REGION = "us-east-1"
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "SAM_CLI_TELEMETRY": "0",
}
"""Credentials that open nothing, so that a mistake cannot reach an account of yours."""

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_PASSED_ON_PREFIXES = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_SPARED = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
NO_PROXY = ",".join(filter(None, ("127.0.0.1", "localhost", "172.17.0.1", _SPARED)))
"""What is on this machine is reached without a proxy."""
INSTALL_S = 900
"""Long enough for a slow machine that has other things to do, as all such times are here: they end what hangs."""
_TAIL_LINES = 60


class FailedError(Exception):
    """A step did not work; the text says which, and shows what was printed last."""


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announces a step, and says how long it took."""
    say(f"== {text}")
    started = time.monotonic()
    yield
    say(f"   {time.monotonic() - started:.1f} s")


def environment(**more: str) -> dict[str, str]:
    """The environment of a tool: what it needs of ours, none of our AWS settings, and ``more``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES) or name.startswith("LAMBDA_")
    }
    return {**kept, **ACCOUNT, "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, **more}


def spare_proxies() -> None:
    """Reach what is on this machine without a proxy from this process, too."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = NO_PROXY


def run(command: Sequence[str | Path], env: Mapping[str, str], *, timeout_s: float, cwd: Path = ROOT) -> str:
    """What a command prints, which has nothing to read. Raises FailedError when it fails or takes too long.

    The error has the end of what was printed.
    """
    words = [str(word) for word in command]
    shown = " ".join(word if " " not in word else f"'{word}'" for word in [Path(words[0]).name, *words[1:]])
    try:
        done = subprocess.run(
            words,
            env=env,
            cwd=cwd,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired as expired:
        raise FailedError(f"{shown}\ntook longer than {timeout_s:.0f} s:\n{tail(expired.stdout or b'')}") from None
    if done.returncode:
        raise FailedError(f"{shown}\nended with {done.returncode}:\n{tail(done.stdout)}")
    return done.stdout.decode(errors="replace")


def tail(raw: bytes, lines: int = _TAIL_LINES) -> str:
    """The last lines of an output."""
    return "\n".join(raw.decode(errors="replace").splitlines()[-lines:])


def tool(name: str, interpreter: str = sys.executable) -> Path:
    """The ``bin`` folder of a virtual environment with what ``infra/local/NAME.txt`` pins; made when it is missing."""
    pins = ROOT / "infra" / "local" / f"{name}.txt"
    version = run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], environment(), timeout_s=60)
    identity = hashlib.sha256(pins.read_bytes() + version.encode()).hexdigest()
    folder = STATE / f"{name}-{version.strip()}"
    done = folder / ".installed"
    if not done.is_file() or done.read_text() != identity:
        with step(f"installing {name} into {folder.relative_to(ROOT)} (once)"):
            shutil.rmtree(folder, ignore_errors=True)
            run([interpreter, "-m", "venv", folder], environment(), timeout_s=INSTALL_S)
            pip = [
                folder / "bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
                "-r",
                pins,
            ]
            run(pip, environment(), timeout_s=INSTALL_S)
            done.write_text(identity)
    return folder / "bin"


def runtime_python() -> str:
    """The interpreter that stands for Lambda's: of the runtime's version, or whatever this machine has.

    In the latter case the functions are built for that version, which is said.
    """
    target = find_target()
    if target.interpreter is not None:
        return target.interpreter
    version = ".".join(map(str, sys.version_info[:2]))
    say(f"   Python {target.version}, the runtime's version, is not on this machine: built for {version} instead")
    return sys.executable


def free_port() -> int:
    """A port of the loopback interface that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
