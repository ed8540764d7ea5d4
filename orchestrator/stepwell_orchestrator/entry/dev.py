"""``stepwell dev``: the server in this process, or, when modules are watched for changes, in one that is restarted."""

from __future__ import annotations

import asyncio
import errno
import logging
import multiprocessing
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from stepwell.errors import StepwellError
from stepwell_orchestrator.entry.dev_server import DevOptions, serve
from stepwell_orchestrator.entry.loading import LoadError
from stepwell_orchestrator.entry.reload import EXIT_FAILED, EXIT_NOT_LOADED, spawner, supervise
from stepwell_orchestrator.entry.settings import read_settings
from stepwell_orchestrator.entry.syncing import Say
from stepwell_orchestrator.terminal.console import ConsoleLog

_BACKLOG: Final = 2048


class ServeError(StepwellError):
    """The dev server cannot listen where it should."""


def run(options: DevOptions) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. What went wrong has been said in one line.

    Raises ServeError when the address cannot be listened at, DefinitionError for a variable of the environment.
    """
    read_settings()
    with listen(options.host, options.port) as listener:
        if options.reload and options.modules:
            return asyncio.run(_supervise(options, listener))
        return asyncio.run(_serve(options, listener))


@contextmanager
def listen(host: str, port: int) -> Generator[socket.socket]:
    """A listening socket; port 0 is any free one. Raises ServeError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServeError(
            f'the host "{host}" cannot be resolved; use 127.0.0.1, or 0.0.0.0 for every interface'
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ServeError(_why_not(host, port, error)) from error
        yield listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: another `stepwell dev` may be running; stop it or pass --port"
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for the system; pass --port with one above 1023"
    return f"cannot listen at {host}:{port} ({error.strerror}); pass another --host or --port"


async def _supervise(options: DevOptions, listener: socket.socket) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # The socket stays open here: what arrives during a restart waits instead of being refused.
    start = spawner(serve_in_child, options, listener)
    return await supervise(start, options.folder, _say_on(_console()), stopping)


def serve_in_child(options: DevOptions, listener: socket.socket) -> None:
    """The serving process: ends when its parent does, or tells it to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(asyncio.run(_serve(options, listener)))


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def _say_on(console: Console) -> Say:
    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    return say


async def _serve(options: DevOptions, listener: socket.socket) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    parent = multiprocessing.parent_process()
    if parent is None:
        loop.add_signal_handler(signal.SIGINT, stopping.set)
    else:
        loop.add_reader(parent.sentinel, stopping.set)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    settings = read_settings()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s")
    console = _console()
    say = _say_on(console)
    try:
        await serve(options, listener, settings, observe=ConsoleLog(console), say=say, stopping=stopping)
    except StepwellError as error:
        _console(stderr=True).print(f"stepwell: {error}", soft_wrap=True)
        return EXIT_NOT_LOADED if parent and isinstance(error, LoadError) else EXIT_FAILED
    return 0
