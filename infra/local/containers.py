"""A container engine of our own for ``sam local``, for whoever is root: no registry, no network, nothing left after.

``dockerd`` runs in a network namespace of its own, so that no container reaches anything but servers started in there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.tools import FailedError, environment, run, say, step, tail

HOST = "172.17.0.1"
"""Where containers reach servers that run in the namespace."""

PACKAGES = ("docker.io", "busybox-static", "iproute2")
PROGRAMS = ("dockerd", "docker", "unshare", "nsenter", "ip")
BUSYBOX = Path("/bin/busybox")
_UP_WITHIN_S = 180
_DOWN_WITHIN_S = 20


class UnavailableError(FailedError):
    """Containers cannot be run here, though all programs are there: nothing of ours has been tried in one."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One that is up: the process whose network to enter, and where the engine listens."""

    pid: int
    socket: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of who talks to it."""
        return environment(DOCKER_HOST=f"unix://{self.socket}")

    def inside(self, *command: str | Path) -> list[str]:
        """A command that runs in its network."""
        return ["nsenter", "--target", str(self.pid), "--net", *map(str, command)]


def missing(*, install: bool) -> str | None:
    """Why no engine can be had here; None when one can. With ``install``, packages are installed on Debian as root."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a container engine of its own needs root"
    if install and not _installed() and shutil.which("apt-get"):
        with step(f"apt-get install {' '.join(PACKAGES)}"):
            env = environment(DEBIAN_FRONTEND="noninteractive")
            try:
                run(["apt-get", "update", "-qq"], env, timeout_s=300)
                run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], env, timeout_s=300)
            except FailedError as error:
                say(str(error))
    if _installed():
        return None
    return f"programs are missing; on Debian and Ubuntu: apt-get install {' '.join(PACKAGES)}"


def _installed() -> bool:
    return all(map(shutil.which, PROGRAMS)) and BUSYBOX.exists()


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine for as long as it is needed. Raises UnavailableError when it does not start."""
    home = Path(tempfile.mkdtemp(prefix="stepwell-engine-"))
    up = None
    log = home / "dockerd.log"
    isolated = ["--iptables=false", "--ip6tables=false", "--ip-masq=false"]
    places = ["--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "pid"]
    words = ["dockerd", *places, "--host", f"unix://{home}/docker.sock", *isolated]
    inner = "ip link set lo up && exec " + " ".join(map(str, words))
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", inner],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        up = Engine(process.pid, home / "docker.sock")
        _wait_until_up(up, process, log)
        yield up
    finally:
        _stop(process)
        shutil.rmtree(home, ignore_errors=True)


def try_container(engine: Engine, image: str) -> None:
    """Run nothing in a container. Raises UnavailableError: who is root in a container itself may not run others."""
    try:
        run(["docker", "run", "--rm", image, "/bin/sh", "-c", ":"], engine.env, timeout_s=_UP_WITHIN_S)
    except FailedError as error:
        raise UnavailableError(str(error)) from None


def _wait_until_up(up: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _UP_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(["docker", "version"], env=up.env, capture_output=True, check=False)
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    raise UnavailableError(f"the container engine did not start:\n{tail(log.read_bytes(), 15)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It stops its containers and unmounts what it mounted, if it is given the time."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(_DOWN_WITHIN_S)
            except subprocess.TimeoutExpired:
                continue
