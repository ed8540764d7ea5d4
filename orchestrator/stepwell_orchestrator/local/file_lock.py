"""One process at a time owns a database file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from stepwell_orchestrator.errors import StoreError


class FileLock:
    """Exclusive ownership of a database file, held until ``release`` or the end of the process.

    The lock lies on a neighbour, ``<file>.lock``, which holds the owner's process id and stays behind: removing it
    would let two processes lock two different files of one name.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"{path} is in use by another process{f' (pid {owner})' if owner else ''}; "
                "stop that one, or use another database file"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the file up."""
        os.close(self._descriptor)
