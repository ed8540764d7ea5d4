"""``make sim``: many seeds over two processes, or one with its trace. The environment says which."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing

from tests.sim.backends import BACKENDS, BackendName
from tests.sim.progress import Progress
from tests.sim.shrink import shrink
from tests.sim.simulate import Report, simulate
from tests.sim.told import summary, told

_BATCH = 10
_SHRUNK_MAX = 3
_FAILURES_TOLD_MAX = 20
_BAD_SETTING, _INTERRUPTED = 2, 130


def main() -> int:
    """The exit code: 1 for a broken promise, 2 for a setting that makes no sense, 130 when interrupted before one."""
    # What the adapter has to say of a broken engine is in the traces.
    logging.getLogger("stepwell").addHandler(logging.NullHandler())
    try:
        seed, start = _number("SEED", 0), _number("START", 0)
        seeds, processes = _number("SEEDS", 2_000), _number("PROCESSES", 2)
        backend = _backend()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return _BAD_SETTING
    if os.environ.get("SEED"):
        return _one(seed, backend, traced=bool(os.environ.get("TRACE")), shrunken=bool(os.environ.get("SHRINK")))
    return _Search(range(start, start + seeds), backend).run(processes)


def _backend() -> BackendName:
    name = os.environ.get("BACKEND") or "sqlite"
    for known in BACKENDS:
        if name == known:
            return known
    raise ValueError(f"BACKEND={name} is not known; it is one of {', '.join(BACKENDS)}")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise ValueError(f"{name}={text} is not a seed or a count; give a whole number, as in {name}=17")
    return int(text)


def _one(seed: int, backend: BackendName, *, traced: bool, shrunken: bool) -> int:
    lived = simulate(seed, backend=backend)
    progress = Progress(1)
    verdict = "\n".join(lived.report.failures) or f"seed {seed}: every promise held"
    if shrunken and lived.violation is not None:
        shrunk = shrink(lived, progress=progress.tries)
        lived, verdict = shrunk.least, told(shrunk)
    if traced:
        progress.print("\n".join(lived.trace.lines()))
    progress.print(f"{verdict}\ntrace {lived.report.digest}")
    return 0 if lived.violation is None else 1


class _Search:
    """Looks for seeds that break a promise, and shrinks the first one for each promise."""

    def __init__(self, seeds: range, backend: BackendName) -> None:
        self._seeds = seeds
        self._backend = backend
        self._total = Report()
        self._shrunk: set[int] = set()
        self._progress = Progress(len(seeds))

    def run(self, processes: int) -> int:
        """The exit code."""
        interrupted = False
        try:
            with closing(_reports(self._seeds, self._backend, processes)) as reports:
                for report in reports:
                    self._add(report)
        except KeyboardInterrupt:
            interrupted = True
        self._progress.print("\n".join(summary(self._total, self._backend)))
        if interrupted:
            print(f"interrupted: {len(self._seeds) - self._total.seeds} seeds were not looked at")
        return 1 if self._total.broken else _INTERRUPTED if interrupted else 0

    def _add(self, report: Report) -> None:
        told_before = len(self._total.broken)
        self._total.add(report)
        self._progress.seeds(self._total.seeds, len(self._total.broken))
        for number, (seed, promise) in enumerate(report.broken.items()):
            if promise not in self._shrunk and len(self._shrunk) < _SHRUNK_MAX:
                self._shrunk.add(promise)
                self._shrink(seed, report.failures[number])
            elif told_before + number < _FAILURES_TOLD_MAX:
                self._progress.print(report.failures[number])
            elif told_before + number == _FAILURES_TOLD_MAX:
                self._progress.print("more seeds fail; from here on they are only counted")

    def _shrink(self, seed: int, failure: str) -> None:
        lived = simulate(seed, backend=self._backend)
        if lived.violation is None:
            self._progress.print(f"{failure}; but not again: something that no seed decides has a part in it")
        else:
            self._progress.print(told(shrink(lived, progress=self._progress.tries)))


def _reports(seeds: range, backend: BackendName, processes: int) -> Iterator[Report]:
    """A report for each few seeds, in their order."""
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    with ProcessPoolExecutor(processes, initializer=_stop_softly) as pool:
        yield from pool.map(_batch, batches, [backend] * len(batches))


_stopped = threading.Event()


def _stop_softly() -> None:
    """Let Ctrl-C, which reaches every process, end a batch after the seed at hand."""
    signal.signal(signal.SIGINT, lambda *_: _stopped.set())


def _batch(seeds: range, backend: BackendName) -> Report:
    total = Report()
    for seed in seeds:
        if not _stopped.is_set():
            total.add(simulate(seed, backend=backend).report)
    return total


if __name__ == "__main__":
    sys.exit(main())
