"""The tests again and again on a machine that has something else to do: ``python -m tests.often TIMES COMMAND...``.

A test that depends on real time, or on which thread is first, is green on an idle machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# It ends by itself when whoever started it is gone, however that ended.
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


@contextmanager
def busy_cores() -> Iterator[list[int]]:
    """One process a core with nothing to do but that, ended with the block; their ids."""
    command = [sys.executable, "-c", BUSY, str(os.getpid())]
    started: list[subprocess.Popen[bytes]] = []
    try:
        # Extended by a generator: those that were started before one that could not be are ended, too.
        started.extend(subprocess.Popen(command) for _ in range(os.cpu_count() or 1))
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def often(times: int, command: Sequence[str]) -> int:
    """Run ``command`` that often, or up to the first time that it fails; the exit code."""
    with busy_cores() as ids:
        print(f"{len(ids)} processes keep the cores busy", flush=True)
        for turn in range(1, times + 1):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                print(done.stdout)
                print(f"run {turn} of {times}: red")
                return done.returncode
            print(f"run {turn} of {times}: {done.stdout.strip().rpartition(os.linesep)[2]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(often(int(sys.argv[1]), sys.argv[2:]))
