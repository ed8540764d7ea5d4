"""``make sam-local``: every function, as built, invoked with its sample event against moto.

In containers by ``sam local invoke`` and ``sam local start-api`` where a container engine can be had; else by the
runtime's own client and the interface emulator that the SAM CLI ships. Says at the end what was skipped, and why.

Environment: SAM_LOCAL_INSTALL=1 lets it install the engine from Debian packages, as root; SAM_LOCAL_ENGINE=none has it
do without containers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from infra.local.containers import HOST, Engine, UnavailableError, engine, missing, try_container
from infra.local.deploy import BUILD_S, EVENTS, MACHINE
from infra.local.image import import_image
from infra.local.rie import Emulated
from infra.local.tools import (
    ROOT,
    STATE,
    FailedError,
    environment,
    run,
    runtime_python,
    say,
    spare_proxies,
    step,
    tail,
    tool,
)

TEMPLATES = ("template.yaml", "infra/app-template.yaml")
BUILT = ROOT / ".aws-sam" / "build"
RUNTIME = "python3.13"
INVOKE_S = 300

_FETCH = """
import sys, urllib.request
body = sys.argv[2].encode() if len(sys.argv) > 2 else None
print(urllib.request.urlopen(sys.argv[1], body, timeout=60).read().decode())
"""


class Invoker(Protocol):
    """A way to have a built function called."""

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """What it returns."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account made of moto: where CloudFormation waits for an answer, and what functions are told."""

    answer_url: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SamLocal:
    """``sam local invoke``, in the engine's network."""

    sam: Path
    engine: Engine
    settings: Path
    event_key: str

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """In a container of its own."""
        file = STATE / "event.json"
        file.write_text(json.dumps(event), encoding="utf-8")
        command = self.engine.inside(self.sam, "local", "invoke", function, "--event", file, *self.options())
        printed = run(command, self.engine.env, timeout_s=INVOKE_S)
        for line in reversed(printed.splitlines()):
            try:
                return json.loads(line)
            except ValueError:
                continue
        raise FailedError(f"{function} returned nothing that is JSON:\n{printed}")

    def options(self) -> list[str]:
        """What every ``sam local`` command is told."""
        parameters = ["--parameter-overrides", f"Architecture={MACHINE}"]
        return [*parameters, "--env-vars", str(self.settings), "--skip-pull-image"]


def main() -> int:
    """All of it; 0 when all of it that can be done here worked."""
    started, skipped = time.monotonic(), list[str]()
    spare_proxies()
    python, sam = runtime_python(), tool("sam") / "sam"
    try:
        for template in TEMPLATES:
            with step(f"sam validate --lint --template {template}"):
                run([sam, "validate", "--lint", "--template", template], environment(), timeout_s=INVOKE_S)
        with step("sam build"):
            env = environment(LAMBDA_PYTHON=python, LAMBDA_ARCHITECTURES=MACHINE)
            run([sam, "build"], env, timeout_s=BUILD_S)
        reason = _why_not_in_containers() or _in_containers(sam, python)
        if reason is not None:
            skipped.append(f"sam local invoke, sam local start-api: {reason}")
            _under_the_emulator(sam, python)
    except FailedError as error:
        say(f"\nFAILED: {error}")
        return 1
    say(f"\nsam-local passed in {time.monotonic() - started:.0f} s")
    for line in skipped:
        say(f"SKIPPED: {line}")
    return 0


def _why_not_in_containers() -> str | None:
    if os.environ.get("SAM_LOCAL_ENGINE") == "none":
        return "SAM_LOCAL_ENGINE=none asks for no containers"
    return missing(install=os.environ.get("SAM_LOCAL_INSTALL") == "1")


def _in_containers(sam: Path, python: str) -> str | None:
    """Try it all in containers; why not, when none can be run here after all."""
    try:
        _try_in_containers(sam, python)
    except UnavailableError as error:
        say(str(error))
        return "no container can be run on this machine; what was printed above says why"
    return None


def _try_in_containers(sam: Path, python: str) -> None:
    with ExitStack() as stack:
        with step("starting a container engine in a network of its own"):
            up = stack.enter_context(engine())
        with step("making an image of this machine's Python"):
            image = import_image(up, python, runtime=RUNTIME, machine=MACHINE)
            try_container(up, image)
            say(f"   {image}")
        account = stack.enter_context(_account(HOST, up.inside()))
        # The settings reach only functions that declare them; all are given the same.
        settings = STATE / "env.json"
        settings.write_text(json.dumps({"Parameters": account.variables}), encoding="utf-8")
        local = SamLocal(sam, up, settings, account.variables["STEPWELL_EVENT_KEY"])
        _try_every_function(local, account, up.inside())
        with step("sam local start-api: the API as an HTTP API"):
            _serve(local)


def _under_the_emulator(sam: Path, python: str) -> None:
    with _account("127.0.0.1", []) as account:
        _try_every_function(Emulated(sam, python, account.variables, BUILT), account, [])


@contextmanager
def _account(address: str, prefix: Sequence[str]) -> Iterator[Account]:
    """An account made of moto, at an address, until the end."""
    python = tool("moto") / "python"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "adapter", ROOT / "orchestrator")))
    command = [*prefix, str(python), "-m", "infra.local.account", address]
    with (
        (STATE / "moto.log").open("wb") as log,
        subprocess.Popen(
            command,
            env=environment(PYTHONPATH=paths),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        told = process.stdout.readline()
        if not told:
            raise FailedError(f"moto did not start; see {STATE / 'moto.log'}")
        try:
            yield Account(**json.loads(told))
        finally:
            process.stdin.close()


def _try_every_function(invoker: Invoker, account: Account, prefix: Sequence[str]) -> None:
    """Each with its sample event, and a look at what came of it."""
    with step("ApiFunction: an event is taken in"):
        answer = invoker.invoke("ApiFunction", _event("api"))
        _expect(answer.get("statusCode") == 200, answer)
        (event_id,) = json.loads(answer["body"])["ids"]
    with step("QueueFunction: the event is routed"):
        batch = json.dumps(_event("queue")).replace("01M81QZAYPKYGGTM9M2FJSZC5Q", event_id)
        answer = invoker.invoke("QueueFunction", json.loads(batch))
        _expect(answer == {"batchItemFailures": []}, answer)
    with step("SweepFunction: there is nothing to sweep"):
        answer = invoker.invoke("SweepFunction", _event("sweep"))
        _expect(answer == {"runs": 0, "redriven": 0}, answer)
    with step("SyncFunction: CloudFormation is answered"):
        answer = invoker.invoke("SyncFunction", {**_event("sync"), "ResponseURL": account.answer_url})
        _expect(answer.get("ok") is True, answer)
        answered = _fetch(prefix, account.answer_url)
        _expect(answered["Status"] == "SUCCESS", answered)
    with step("OrdersFunction: a call request runs a step"):
        answer = invoker.invoke("OrdersFunction", _event("orders"))
        _expect(answer.get("statusCode") == 206 and "price-order" in answer["body"], answer)


def _serve(local: SamLocal) -> None:
    """The built API as an HTTP API, since ``sam local start-api`` serves no function URLs."""
    template = yaml.safe_load((BUILT / "template.yaml").read_text(encoding="utf-8"))
    api = template["Resources"]["ApiFunction"]["Properties"]
    api["Events"] = {"Everything": {"Type": "HttpApi"}}
    served = BUILT / "http-api.yaml"
    served.write_text(yaml.safe_dump(template), encoding="utf-8")
    words = ["local", "start-api", "--template", served, "--host", "127.0.0.1", "--port", "3000", *local.options()]
    log = STATE / "start-api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            local.engine.inside(local.sam, *words),
            env=local.engine.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url, key = "http://127.0.0.1:3000", local.event_key
    try:
        health = _fetch_when_up(local.engine.inside(), f"{url}/health", process)
        _expect(health.get("message") == "OK", health)
        taken = _fetch(local.engine.inside(), f"{url}/e/{key}", '{"name": "a/b", "data": {}}')
        _expect(taken.get("status") == 200, taken)
    except FailedError as error:
        raise FailedError(f"{error}\n{tail(log.read_bytes())}") from None
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _fetch(prefix: Sequence[str], url: str, body: str = "") -> Any:
    """What a server in the engine's network answers: GET, or POST with a body."""
    words = [sys.executable, "-c", _FETCH, url, *([body] if body else [])]
    return json.loads(run([*prefix, *words], environment(), timeout_s=INVOKE_S))


def _fetch_when_up(prefix: Sequence[str], url: str, process: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + INVOKE_S
    while True:
        try:
            return _fetch(prefix, url)
        except FailedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


def _expect(holds: bool, answer: Any) -> None:
    if not holds:
        raise FailedError(f"not the answer that was expected: {json.dumps(answer)[:2000]}")


if __name__ == "__main__":
    sys.exit(main())
