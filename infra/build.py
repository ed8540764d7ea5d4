"""Build what a Lambda function is made of: ``sam build`` calls it through the Makefile.

    python infra/build.py engine DIRECTORY           the engine's functions, which all are the same code
    python infra/build.py app PACKAGE DIRECTORY      a package of examples/ that serves functions

The zip has no boto3: the runtime brings it. Extension modules are there for arm64 and x86_64 side by side, since their
file names say which is which; so one build fits whatever the stack's Architecture is. Everything is compiled to byte
code, which the runtime cannot keep: without it, each cold start compiles a second's worth of Python.

Dependencies are installed once and kept under .aws-sam/ until constraints.txt or pyproject.toml change.

Environment: LAMBDA_PYTHON, an interpreter of the runtime's version (python3.13), and LAMBDA_ARCHITECTURES.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".aws-sam" / "stepwell"
PACKAGES = {"engine": ("adapter/stepwell", "orchestrator/stepwell_orchestrator"), "app": ("adapter/stepwell",)}
EXTRAS = {"engine": ("orchestrator", "lambda"), "app": ("lambda",)}
NOT_IN_LAMBDA = {"rich", "typer", "uvicorn", "watchfiles"}
"""What only a terminal or a server on your machine needs."""

MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
GLIBC = ("2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17")
"""Wheels for these and older run on Amazon Linux 2023."""

UNUSED = ("bin", "**/tests", "**/*.pyx", "**/*.pxd", "**/*.pyi", "multidict/_testcapi.*", "yaml/_yaml.*.so")
"""Not needed to run; PyYAML does without its C part, and nothing here reads YAML."""

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


@dataclass(frozen=True, slots=True)
class Target:
    """What is built for: the runtime's Python version, an interpreter of that version if there is one, processors."""

    version: str
    interpreter: str | None
    architectures: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Build into the directory that comes last."""
    kind, *package, directory = arguments
    target = find_target()
    dependencies = install_dependencies(kind, target)
    artifacts = Path(directory)
    shutil.copytree(dependencies, artifacts, dirs_exist_ok=True)
    copied = [copy_package(Path(source), artifacts) for source in PACKAGES[kind]]
    for name in package:
        (artifacts / "examples").mkdir(exist_ok=True)
        shutil.copy2(ROOT / "examples" / "__init__.py", artifacts / "examples")
        copied.append(copy_package(Path("examples", name), artifacts / "examples"))
    write_metadata(artifacts)
    for folder in copied:
        compile_to_bytecode(folder, target, artifacts)
    return 0


def find_target() -> Target:
    """What LAMBDA_PYTHON and LAMBDA_ARCHITECTURES ask for, as far as this machine has it."""
    name = os.environ.get("LAMBDA_PYTHON") or "python3.13"
    architectures = tuple((os.environ.get("LAMBDA_ARCHITECTURES") or "arm64 x86_64").split())
    wanted = re.search(r"(\d\.\d+)$", name)
    for candidate in (name,) if wanted is None else (name, sys.executable, "python3"):
        version, executable = describe(candidate, wanted[1] if wanted else "")
        if version is not None and (wanted is None or version == wanted[1]):
            return Target(version, executable, architectures)
    if wanted is None:
        raise SystemExit(f"error: LAMBDA_PYTHON is {name}, which does not run; name one like python3.13")
    print(
        f"warning: {name} does not run on this machine, so the functions are shipped as source, which makes their cold "
        f"starts slower. Install Python {wanted[1]}, or name one with LAMBDA_PYTHON.",
        file=sys.stderr,
    )
    return Target(wanted[1], None, architectures)


def describe(interpreter: str, version: str) -> tuple[str | None, str]:
    """An interpreter's version and true path; (None, "") when it does not run."""
    # Where several versions are installed side by side by pyenv, its shims run only the ones that this names.
    environment = {**os.environ, "PYENV_VERSION": version} if version else None
    try:
        found = subprocess.run(
            [interpreter, "-c", _VERSION], capture_output=True, text=True, env=environment, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None, ""
    found_version, executable = found.stdout.split(maxsplit=1)
    return found_version, executable.strip()


def install_dependencies(kind: str, target: Target) -> Path:
    """The folder that has what the packages import, installed and compiled now or by an earlier build."""
    wanted = requirements(kind)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    identity = json.dumps([wanted, constraints, target.version, target.interpreter, target.architectures, UNUSED])
    folder = KEPT / f"{kind}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    with locked(KEPT):
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            for architecture in target.architectures:
                install(wanted, architecture, target, fresh)
            for pattern in UNUSED:
                for path in fresh.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            compile_to_bytecode(fresh, target, fresh)
            fresh.rename(folder)
    return folder


def requirements(kind: str) -> list[str]:
    """What the packages of a kind need in Lambda, as pyproject.toml says."""
    project = read_project()
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in EXTRAS[kind])]
    return sorted(each for every in lists for each in every if re.split(r"[\[<>=]", each)[0] not in NOT_IN_LAMBDA)


def read_project() -> dict[str, Any]:
    """What pyproject.toml says about the distribution."""
    import tomllib

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def install(wanted: Sequence[str], architecture: str, target: Target, folder: Path) -> None:
    """Install wheels for one processor; what another one left there and is the same is written again."""
    machine = MACHINES[architecture]
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBC] + [f"manylinux2014_{machine}"]
    tag = target.version.replace(".", "")
    stage = folder.with_suffix(f".{architecture}")
    shutil.rmtree(stage, ignore_errors=True)
    command = [pip_interpreter(target), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-compile", "--target", str(stage), "--only-binary=:all:", "-c", str(ROOT / "constraints.txt")]
    command += ["--python-version", target.version, "--implementation", "cp", "--abi", f"cp{tag}", "--abi", "abi3"]
    command += [option for platform in platforms for option in ("--platform", platform)]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: cannot install the dependencies for {architecture}:\n{done.stderr}")
    shutil.copytree(stage, folder, dirs_exist_ok=True)
    shutil.rmtree(stage)


def pip_interpreter(target: Target) -> str:
    """Who runs pip: of the runtime's version if possible, since markers are read with the version of who runs it."""
    for candidate in (target.interpreter, sys.executable, str(ROOT / ".venv/bin/python"), "python3"):
        if candidate is None:
            continue
        tried = subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False)
        if tried.returncode == 0:
            return candidate
    raise SystemExit(
        "error: no pip; install it with `python3 -m ensurepip`, or on Debian and Ubuntu: apt install python3-pip"
    )


def copy_package(source: Path, parent: Path) -> Path:
    """Copy a package's source; returns where it is."""
    return Path(shutil.copytree(ROOT / source, parent / source.name, ignore=_NOT_COPIED, dirs_exist_ok=True))


def write_metadata(artifacts: Path) -> None:
    """So that the packages know their version, as an installed distribution does."""
    project = read_project()
    folder = artifacts / f"{project['name']}-{project['version']}.dist-info"
    folder.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")


def compile_to_bytecode(folder: Path, target: Target, root: Path) -> None:
    """Compile all of a folder, for where Lambda has it. The runtime trusts it without looking at the source."""
    if target.interpreter is None:
        return
    command = [target.interpreter, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(root), "-p", "/var/task", str(folder)], stdout=subprocess.DEVNULL, check=False)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One build at a time: ``sam build --parallel`` starts several."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
