"""The dev server as a process: what it says, how it ends, and that a change of a file restarts it."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

COMMAND = (sys.executable, "-c", "from stepwell.cli import main; main()", "dev")
APP = """
import stepwell

app = stepwell.App("shop")


@app.function(on="shop/order")
async def {name}(ctx):
    await ctx.step.sleep("nap", "{nap}")
    return "{name}"
"""


class Servers:
    """Dev servers in a folder of their own, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[Process] = []

    def write(self, *, name: str = "fulfil", nap: str = "1h", text: str | None = None) -> None:
        """The app module as it is from now on."""
        (self.folder / "shop_app.py").write_text(APP.format(name=name, nap=nap) if text is None else text)

    async def start(self, *arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, cwd=self.folder, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
        )
        self._processes.append(process)
        return process

    async def fails(self, *arguments: str) -> tuple[int | None, str]:
        """The exit code and all that is said of a server that does not start."""
        process = await self.start(*arguments)
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        await process.wait()
        return process.returncode, said

    async def stop(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def line_with(process: Process, text: str) -> str:
    """The next line that holds ``text``; fails with what was said when the process ends before."""
    said = ""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        said += line
        if text in line:
            return line.strip()
    raise AssertionError(f"the process ended without saying {text!r}:\n{said}")


async def origin_of(process: Process) -> str:
    """Where a starting server listens."""
    return (await line_with(process, "listening at ")).removeprefix("listening at ").partition(",")[0]


async def request(method: str, url: str, **options: Any) -> Any:
    """The JSON a server answers."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
        return await answer.json()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    servers = Servers(tmp_path)
    servers.write()
    yield servers
    await servers.stop()


async def test_second_server_on_one_port(servers: Servers) -> None:
    """A second server on the same port ends with 1 and one line that says what to do."""
    port = (await origin_of(await servers.start("--port", "0"))).rpartition(":")[2]
    assert await servers.fails("--port", port, "--db", ":memory:") == (
        1,
        f"stepwell: port {port} is in use: another `stepwell dev` may be running; stop it or pass --port\n",
    )


async def test_second_server_on_one_database(servers: Servers) -> None:
    """A second server on the same file ends with 1 and one line that names the file."""
    await origin_of(await servers.start("--port", "0"))
    code, said = await servers.fails("--port", "0")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("stepwell: ")
    assert ".stepwell/dev.db is in use by another process" in said


@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
async def test_module_that_does_not_import(servers: Servers, reload: str) -> None:
    """A module that does not import ends the server with 1 and one line with the place, and no journal is made."""
    servers.write(text="import nothing_of_that_name\n")
    code, said = await servers.fails("shop_app:app", "--port", "0", reload)
    error = "ModuleNotFoundError: No module named 'nothing_of_that_name' (shop_app.py:1)"
    assert (code, said) == (1, f'stepwell: importing "shop_app" failed: {error}\n')
    assert not (servers.folder / ".stepwell").exists()


async def test_host_that_does_not_exist(servers: Servers) -> None:
    """A host that cannot be resolved is told in one line."""
    code, said = await servers.fails("--host", "no.such.host.invalid")
    assert (code, said.count("\n")) == (1, 1)
    assert 'the host "no.such.host.invalid" cannot be resolved' in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
async def test_clean_end(servers: Servers, number: signal.Signals, reload: str) -> None:
    """On SIGINT and SIGTERM the server ends with 0 and its database is free again."""
    for _ in range(2):
        process = await servers.start("shop_app:app", "--port", "0", reload)
        await origin_of(process)
        await line_with(process, "app shop synced")
        process.send_signal(number)
        assert await process.wait() == 0


async def test_runs_survive_a_reload(servers: Servers) -> None:
    """A changed file is served at once, a broken one is told and waited out, and a run that sleeps outlives both."""
    process = await servers.start("shop_app:app", "--port", "0")
    origin = await origin_of(process)
    await line_with(process, "app shop synced")
    [event_id] = (await request("POST", f"{origin}/e/key", json={"name": "shop/order"}))["ids"]
    await line_with(process, "sleep, until")
    servers.write(text="x = (")
    await line_with(process, "shop_app.py changed, restarting")
    await line_with(process, "SyntaxError: '(' was never closed (shop_app.py:1)")
    servers.write(name="deliver", nap="1ms")
    await line_with(process, "app shop synced")
    assert [entry["slug"] for entry in (await request("GET", f"{origin}/dev"))["functions"]] == ["shop-deliver"]
    await request("POST", f"{origin}/e/key", json={"name": "shop/order"})
    await line_with(process, "COMPLETED")
    [run] = (await request("GET", f"{origin}/v1/events/{event_id}/runs"))["data"]
    assert (run["function_id"], run["status"]) == ("shop-fulfil", "Running")


async def test_kill_minus_nine_of_the_parent_ends_the_child(servers: Servers) -> None:
    """When the watching process is killed, the serving one ends too and leaves the database to the next server."""
    process = await servers.start("shop_app:app", "--port", "0")
    await origin_of(process)
    await line_with(process, "app shop synced")
    process.kill()
    assert process.stdout is not None
    # The serving process holds the other end of the pipe: its end is the end of the file.
    await process.stdout.read()
    await origin_of(await servers.start("shop_app:app", "--port", "0", "--no-reload"))


async def test_app_that_is_no_target_any_more_is_forgotten(servers: Servers) -> None:
    """A server that does not load an app of the journal starts no runs of it."""
    process = await servers.start("shop_app:app", "--port", "0", "--no-reload")
    await line_with(process, "app shop synced")
    process.terminate()
    await process.wait()
    process = await servers.start("--port", "0")
    origin = await origin_of(process)
    await line_with(process, "the app shop is in the journal and not among the targets")
    assert (await request("GET", f"{origin}/dev"))["functions"] == []
