"""Restarting the serving process when a Python file changes. Runs survive it, because of the journal."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from watchfiles import PythonFilter, awatch

from stepwell_orchestrator.entry.syncing import Say

EXIT_FAILED: Final = 1
EXIT_NOT_LOADED: Final = 3
"""The serving process could not load an app, and has said why: only a change of a file can help."""

_DEBOUNCE_MS: Final = 300
_TERM_S: Final = 8.0


class Child:
    """A running process that can be waited for without a thread."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._over = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._ended)

    @property
    def exit_code(self) -> int:
        """How it ended, once it is over."""
        code = self._process.exitcode
        assert code is not None, "the process is not over"
        return code

    async def wait(self) -> None:
        """Return once it is over."""
        await self._over.wait()

    async def stop(self) -> None:
        """Ask it to end, and make it when it takes too long; of one that is over, nothing happens."""
        if self._over.is_set():
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_TERM_S):
                await self.wait()
        except TimeoutError:
            self._process.kill()
            await self.wait()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._over.set()


def spawner(target: Callable[..., None], *args: object) -> Callable[[], Child]:
    """Starts ``target`` in a new interpreter, which knows nothing of the modules loaded in this one."""
    context = multiprocessing.get_context("spawn")

    def start() -> Child:
        process = context.Process(target=target, args=args)
        process.start()
        return Child(process)

    return start


async def supervise(start: Callable[[], Child], folder: Path, say: Say, stopping: asyncio.Event) -> int:
    """Keep one serving process running, a fresh one after each change under ``folder``; returns an exit code.

    It ends with 0 when ``stopping`` is set, and with 1 when the process ends by itself; but not when an app, having
    loaded before, does not load after a change: then it waits for the next one.
    """
    changes = awatch(folder, watch_filter=PythonFilter(), debounce=_DEBOUNCE_MS, stop_event=stopping)
    child, restarted = start(), False
    try:
        while True:
            change = asyncio.ensure_future(anext(changes, None))
            over = asyncio.ensure_future(child.wait())
            await asyncio.wait({over, change}, return_when=asyncio.FIRST_COMPLETED)
            if over.done() and not change.done() and not (restarted and child.exit_code == EXIT_NOT_LOADED):
                stopping.set()
                await change
                return EXIT_FAILED
            changed = await change
            await child.stop()
            await over
            if changed is None:
                return 0
            say(f"{_names(folder, {path for _, path in changed})} changed, restarting")
            child, restarted = start(), True
    finally:
        await child.stop()


def _names(folder: Path, paths: set[str]) -> str:
    root = folder.resolve()
    shown = sorted(str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path for path in paths)
    return shown[0] if len(shown) == 1 else f"{shown[0]} and {len(shown) - 1} more"
