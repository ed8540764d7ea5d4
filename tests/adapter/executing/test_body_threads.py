"""Plain bodies: threads of their own, a bounded number for each function, and never two of one step at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import pytest

from stepwell.executing.body_threads import BodyKey, BodyThreads
from stepwell.replaying.replay import Returned
from stepwell.steps.calls import StepOptions
from stepwell.wire.reply import Outcome
from tests.adapter.executing.support import Fn, call, only, request, runtime
from tests.adapter.executing.support import execute as execute_call

KEY = BodyKey("app-fn", "run-1", "hashed", "a")


class Expiring:
    """A time limit that is up when the test says so: the body is cancelled, as ``asyncio.timeout`` does it."""

    def __init__(self, up: asyncio.Event) -> None:
        self._up = up
        self._expired = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watch = asyncio.ensure_future(self._wait())
        return self

    async def _wait(self) -> None:
        await self._up.wait()
        self._expired = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._watch.cancel()
        if self._expired:
            self._task.uncancel()
            raise TimeoutError
        return None

    def expired(self) -> bool:
        return self._expired


class Hanging:
    """A plain body that hangs until it is let go; counts how often it began, and how many run at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = 0
        self.names: list[str] = []
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()

    def __call__(self) -> str:
        self.began += 1
        self.names.append(threading.current_thread().name)
        self._loop.call_soon_threadsafe(self.begun.set)
        self.go.wait()
        return "done"


@pytest.fixture
async def hanging() -> AsyncIterator[Hanging]:
    """A hanging body, which is let go at the end."""
    body = Hanging()
    yield body
    body.go.set()


async def _timed_out(body: Hanging, threads: BodyThreads, **ctx: Any) -> Outcome:
    """An attempt of step "a" whose time is up once its body has begun, or has to wait for an earlier one."""
    up = asyncio.Event()
    if body.began:
        up.set()
    attempt = asyncio.ensure_future(
        call(_function(body), runtime=runtime(threads=threads, timeout=lambda _: Expiring(up)), **ctx)
    )
    await body.begun.wait()
    up.set()
    return await attempt


def _function(body: Callable[[], Any]) -> Callable[[Any], Any]:
    async def handler(ctx: Any) -> Any:
        return await ctx.step.run(StepOptions("a", timeout="1s"), body)

    return handler


async def test_a_body_that_outlives_its_timeout_is_said_to_run_on(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt has failed by its timeout, and a warning names function, step and thread."""
    with caplog.at_level(logging.WARNING, logger="stepwell"):
        opcode = only(await _timed_out(hanging, BodyThreads()))

    assert opcode.error is not None
    assert opcode.error.message == 'step "a" took longer than its timeout of 1s'
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith('function "app-fn", step "a": its body cannot be stopped, and runs on in thread')


async def test_a_retry_does_not_start_a_body_beside_itself(hanging: Hanging) -> None:
    """While the body of an attempt before runs, an attempt fails, counted, with an error that says so."""
    threads = BodyThreads()
    await _timed_out(hanging, threads)

    retried = only(await _timed_out(hanging, threads, attempt=1))
    last = only(await _timed_out(hanging, threads, attempt=4))

    assert hanging.began == 1
    assert (retried.op, last.op) == ("StepError", "StepFailed")
    assert retried.error is not None
    assert retried.error.message == (
        'step "a": the body of the last attempt is still running in thread "stepwell-app-fn-a", and is not started a '
        "second time beside it: give what it waits for a time limit of its own, shorter than the step's"
    )


async def test_a_retry_waits_for_the_body_before_it(hanging: Hanging) -> None:
    """When that ends in time the attempt runs the body once more, and its result counts."""
    threads = BodyThreads()
    await _timed_out(hanging, threads)

    retry = asyncio.ensure_future(call(_function(hanging), runtime=runtime(threads=threads), attempt=1))
    await asyncio.sleep(0)
    hanging.go.set()

    assert (only(await retry).data, hanging.began) == ("done", 2)


@pytest.mark.parametrize(
    "other", [{"run_id": "01HF7YAT00000G40R40M30E20B"}, {"step": "b"}, {"function": "app-other"}], ids=str
)
async def test_other_steps_do_not_wait_for_a_body_that_runs_on(hanging: Hanging, other: dict[str, str]) -> None:
    """What another run, step or function has to do begins at once."""
    threads = BodyThreads()
    await _timed_out(hanging, threads)

    async def handler(ctx: Any) -> None:
        await ctx.step.run(other.get("step", "a"), lambda: "other")

    function = Fn(handler, slug=other.get("function", "app-fn"))
    changed = request(**({"run_id": other["run_id"]} if "run_id" in other else {}))

    outcome = await execute_call(function, changed, target=None, runtime=runtime(threads=threads))
    assert only(outcome).data == "other"


async def test_a_body_runs_in_a_thread_that_names_it() -> None:
    """The thread is a daemon, so that the process can end, and is named after function and step."""

    def body() -> list[Any]:
        thread = threading.current_thread()
        return [thread.name, thread.daemon]

    assert only(await call(_function(body))).data == ["stepwell-app-fn-a", True]


async def test_bodies_of_a_function_are_bounded(hanging: Hanging) -> None:
    """No more run at once than a function may have; the next begins when one ends, the longest waiting first."""
    threads, order = BodyThreads(2), []

    async def run(label: str) -> None:
        async with threads.turn("app-fn") as turn:
            order.append(label)
            await turn.run(BodyKey("app-fn", "run-1", label, label), lambda: Returned(hanging()))

    tasks = [asyncio.ensure_future(run(label)) for label in "abcd"]
    await hanging.begun.wait()
    assert order == ["a", "b"]

    hanging.go.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "d"]


async def test_a_function_whose_bodies_hang_starves_no_other(hanging: Hanging) -> None:
    """Each function has threads of its own, and the event loop's are never taken."""
    threads = BodyThreads(1)
    hung = asyncio.ensure_future(call(_function(hanging), runtime=runtime(threads=threads)))
    await hanging.begun.wait()

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", lambda: "quick")

    other = await call(Fn(handler, slug="app-other"), runtime=runtime(threads=threads))

    assert only(other).data == "quick"
    assert await asyncio.to_thread(lambda: "looked up") == "looked up"
    assert hanging.names == ["stepwell-app-fn-a"]
    hanging.go.set()
    await hung


async def test_a_turn_that_is_not_waited_for_any_more_goes_to_the_next(hanging: Hanging) -> None:
    """Who is cancelled while it waits takes no turn with it, neither before nor at the moment it is given."""
    threads = BodyThreads(1)

    async def take() -> str:
        async with threads.turn("app-fn"):
            return "taken"

    async with threads.turn("app-fn"):
        early, granted, last = (asyncio.ensure_future(take()) for _ in range(3))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
    granted.cancel()

    assert await last == "taken"


async def test_a_body_left_behind_keeps_its_turn_until_it_ends(hanging: Hanging) -> None:
    """Cancelling an attempt frees no thread: the next body waits until the first has really ended."""
    threads = BodyThreads(1)

    async def run() -> None:
        async with threads.turn("app-fn") as turn:
            await turn.run(KEY, lambda: Returned(hanging()))

    async def take() -> str:
        async with threads.turn("app-fn"):
            return "taken"

    left = asyncio.ensure_future(run())
    await hanging.begun.wait()
    left.cancel()
    after = asyncio.ensure_future(take())
    await asyncio.sleep(0)
    assert not after.done()

    hanging.go.set()
    assert await after == "taken"


async def test_cancelling_a_call_leaves_its_plain_body_and_says_so(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    """Who cancels a call from outside does not wait for a thread, which nobody can stop."""
    task = asyncio.ensure_future(call(_function(hanging)))
    await hanging.begun.wait()
    task.cancel()

    with caplog.at_level(logging.WARNING, logger="stepwell"), pytest.raises(asyncio.CancelledError):
        await task
    assert "runs on in thread" in caplog.text
