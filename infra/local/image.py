"""A stand-in for the Lambda image of a Python runtime, made of an interpreter of this machine.

It has what the real one has where functions look for it: Python in /var/lang, the runtime's client and boto3 in
/var/runtime, a shell. It is Debian's C library, not Amazon Linux's, and functions are root in it: it shows that the
built code starts and answers under the real runtime client, and nothing about how fast or in how much memory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from infra.build import Target, compile_to_bytecode
from infra.local.containers import BUSYBOX, Engine
from infra.local.tools import FailedError, environment, run, tool

_APPLETS = ("sh", "cat", "chmod", "cp", "env", "ls", "mkdir", "mv", "rm")
_EMPTY = ("dev", "opt", "proc", "sys", "tmp", "var/task")
_NOT_IN_LAMBDA = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "*-packages", "__pycache__", "config-*", "_test*"
)
_LINKED_BY_WHEELS = ("libstdc++.so.6", "libgcc_s.so.1", "librt.so.1", "libresolv.so.2", "libdl.so.2", "libutil.so.1")
"""What manylinux wheels may take for granted."""

_BOOTSTRAP = """#!/bin/sh
export PYTHONHOME=/var/lang PYTHONPATH=/var/task:/opt/python:/var/runtime AWS_EXECUTION_ENV=AWS_Lambda_python{version}
export LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime
exec /var/lang/bin/python{version} -m awslambdaric "${{_HANDLER:-$AWS_LAMBDA_FUNCTION_HANDLER}}"
"""


def import_image(engine: Engine, python: str, *, runtime: str, machine: str) -> str:
    """Make the image for a runtime such as ``python3.13`` known to the engine; its name, the one that SAM looks for."""
    ask = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sys.base_prefix, sysconfig.get_path('stdlib'))"
    version, prefix, library = run([python, "-c", ask], environment(), timeout_s=60).split()
    name = f"public.ecr.aws/lambda/python:{runtime.removeprefix('python')}-{machine}"
    with tempfile.TemporaryDirectory(prefix="stepwell-image-") as folder:
        root = Path(folder, "root")
        _lay_out(root, Path(prefix, "bin", f"python{version}"), Path(library), version)
        site = next((tool("runtime", python).parent / "lib").glob("python*/site-packages"))
        shutil.copytree(site, root / "var/runtime", ignore=shutil.ignore_patterns("pip*", "setuptools*"))
        _write_bootstrap(root, version)
        compile_to_bytecode(root / "var", Target(version, python, ()), root)
        _copy_libraries(root)
        archive = Path(folder, "image.tar")
        run(["tar", "--create", "--file", archive, "--directory", root, "."], environment(), timeout_s=120)
        settings = {
            "PATH": "/var/lang/bin:/bin:/opt/bin",
            "LD_LIBRARY_PATH": "/var/lang/lib:/lib/wheels:/var/runtime:/var/task/lib:/opt/lib",
            "LANG": "C.UTF-8",
        }
        changes = ["WORKDIR /var/task", *(f"ENV {key}={value}" for key, value in settings.items())]
        options = [word for change in changes for word in ("--change", change)]
        run(["docker", "import", *options, archive, name], engine.env, timeout_s=300)
    return name


def _lay_out(root: Path, interpreter: Path, library: Path, version: str) -> None:
    for folder in (*_EMPTY, "bin", "etc", "lib/wheels", "var/lang/bin", "var/lang/lib"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy2(interpreter, root / "var/lang/bin")
    shutil.copytree(library, root / f"var/lang/lib/python{version}", ignore=_NOT_IN_LAMBDA)
    for alias in ("python", "python3"):
        (root / "var/lang/bin" / alias).symlink_to(f"python{version}")
    shutil.copy2(BUSYBOX, root / "bin/busybox")
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def _write_bootstrap(root: Path, version: str) -> None:
    bootstrap = root / "var/runtime/bootstrap"
    bootstrap.write_text(_BOOTSTRAP.format(version=version))
    bootstrap.chmod(0o755)


def _copy_libraries(root: Path) -> None:
    """What the interpreter and its extension modules are linked with goes where the loader looks for it."""
    programs = [*(root / "var/lang/bin").glob("python3.*"), *root.rglob("*.so")]
    printed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    known = run(["/sbin/ldconfig", "-p"], environment(), timeout_s=60)
    found = {match[1] for match in re.finditer(r"(?:=> |^\s+)(/\S+) \(0x", printed, re.MULTILINE)}
    if not found:
        raise FailedError("ldd names no library of the interpreter; an image cannot be made on this machine")
    for library in found:
        in_system = library.startswith(("/lib/", "/lib64/", "/usr/lib/"))
        place = root / library.lstrip("/") if in_system else root / "var/lang/lib" / Path(library).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(library).resolve(), place)
    for library in _LINKED_BY_WHEELS:
        if match := re.search(rf"^\s*{re.escape(library)} .*x86-64.* => (\S+)$", known, re.MULTILINE):
            shutil.copy2(Path(match[1]).resolve(), root / "lib/wheels" / library)
