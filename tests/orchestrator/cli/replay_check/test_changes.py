"""Changes to the code of a function, and what the check says of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell_orchestrator.cli.replay_check.report import Kind, Report
from tests.orchestrator.cli.replay_check.support import checked, cut, names, record


def give(value: Any) -> Any:
    return value


def never(*_: Any) -> Any:
    raise AssertionError("a step body ran")


async def linear(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", give, "ada")
    await ctx.step.sleep("cool-off", "1m")
    receipt = await ctx.step.run("charge", give, 7)
    return [user, receipt]


async def renamed(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    await ctx.step.sleep("cool-off", "1m")
    return [user, await ctx.step.run("charge-card", never)]


async def removed(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    return [user, await ctx.step.run("charge", never)]


async def inserted(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    await ctx.step.run("check-user", never)
    await ctx.step.sleep("cool-off", "1m")
    return [user, await ctx.step.run("charge", never)]


async def swapped(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    receipt = await ctx.step.run("charge", never)
    await ctx.step.sleep("cool-off", "1m")
    return [user, receipt]


async def other_kind(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    await ctx.step.run("cool-off", never)
    return [user, await ctx.step.run("charge", never)]


async def sends_now(ctx: Any) -> Any:
    await ctx.step.send_event("fetch-user", stepwell.Event(name="user/wanted"))
    await ctx.step.sleep("cool-off", "1m")
    return ["ada", await ctx.step.run("charge", never)]


async def returns_early(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    return [user]


async def asks_nothing(ctx: Any) -> Any:
    return None


async def raises_between(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    return user["id"]


async def raises_at_the_end(ctx: Any) -> Any:
    await linear_without_bodies(ctx)
    raise LookupError("no such receipt")


async def other_type(ctx: Any) -> Any:
    def number() -> int:
        return never()  # type: ignore[no-any-return]

    await ctx.step.run("fetch-user", number)


async def other_result(ctx: Any) -> Any:
    return {"receipt": (await linear_without_bodies(ctx))[1]}


async def goes_on(ctx: Any) -> Any:
    both = await linear_without_bodies(ctx)
    await ctx.step.run("notify", never)
    return both


async def linear_without_bodies(ctx: Any) -> Any:
    user = await ctx.step.run("fetch-user", never)
    await ctx.step.sleep("cool-off", "1m")
    return [user, await ctx.step.run("charge", never)]


async def other_details(ctx: Any) -> Any:
    options = stepwell.StepOptions("charge", retries=0, timeout="5s")
    user = await ctx.step.run(stepwell.StepOptions("fetch-user", name="Fetch the user"), never, "argument")
    await ctx.step.sleep("cool-off", "3d")
    return [user, await ctx.step.run(options, never)]


async def side_by_side_now(ctx: Any) -> Any:
    user, _, receipt = await asyncio.gather(
        ctx.step.run("fetch-user", never), ctx.step.sleep("cool-off", "1m"), ctx.step.run("charge", never)
    )
    return [user, receipt]


def plain_now(ctx: Any) -> Any:
    user = ctx.step.run("fetch-user", never)
    ctx.step.sleep("cool-off", "1m")
    return [user, ctx.step.run("charge", never)]


LINEAR = ["fetch-user", "cool-off", "charge"]
OF_LINEAR = [
    (renamed, Kind.STEP_MISSING, "cool-off", "charge", ["charge-card"], 'the code now asks for "charge-card" (run)'),
    (removed, Kind.STEP_MISSING, "fetch-user", "cool-off", ["charge"], 'the code now asks for "charge" (run)'),
    (inserted, Kind.STEP_MISSING, "fetch-user", "cool-off", ["check-user"], 'asks for "check-user" (run)'),
    (swapped, Kind.STEP_ORDER, "fetch-user", "cool-off", ["charge"], '"cool-off" (sleep), the code now asks for "ch'),
    (other_kind, Kind.STEP_KIND, "fetch-user", "cool-off", ["cool-off"], '"cool-off" is a run now, the journal has a'),
    (sends_now, Kind.STEP_KIND, None, "fetch-user", ["fetch-user"], "is a send of events now, the journal has a run"),
    (returns_early, Kind.ENDS_EARLY, "fetch-user", "cool-off", [], 'the code now returns ["ada"]'),
    (asks_nothing, Kind.ENDS_EARLY, None, "fetch-user", [], "at the beginning the journal has"),
    (raises_between, Kind.RAISES, "fetch-user", "cool-off", [], "now raises TypeError: string indices must be"),
    (
        other_type,
        Kind.RAISES,
        "fetch-user",
        "cool-off",
        [],
        'EncodingError: step "fetch-user": the result does not fit',
    ),
    (raises_at_the_end, Kind.RAISES, "charge", None, [], "the code now raises LookupError: no such receipt"),
    (other_result, Kind.OUTCOME, "charge", None, [], 'returned ["ada",7], the code now returns {"receipt":7}'),
    (goes_on, Kind.OUTCOME, "charge", None, ["notify"], 'returned ["ada",7], the code now asks for "notify" (run)'),
]


def summary(report: Report) -> tuple[Any, ...]:
    """What the report says, without the words."""
    difference = report.difference
    assert difference is not None, "no difference was found"
    after, recorded = (step and step.label for step in (difference.after, difference.recorded))
    return difference.kind, after, recorded, [step.label for step in difference.found]


@pytest.mark.parametrize(
    ("now", "kind", "after", "recorded", "found", "said"), OF_LINEAR, ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_change_is_found_where_it_is(
    now: Callable[[Any], Any],
    kind: Kind,
    after: str | None,
    recorded: str | None,
    found: list[str],
    said: str,
    tmp_path: Path,
) -> None:
    """A change to three steps in a row is reported by its kind, at its place, with both sides of it."""
    journal = await record(linear)
    assert names(journal) == LINEAR

    report = await checked(now, journal, tmp_path)
    assert summary(report) == (kind, after, recorded, found)
    assert report.difference is not None
    assert said in report.difference.message
    assert report.difference.effect.endswith(".")
    assert report.difference.fix


@pytest.mark.parametrize("now", [linear_without_bodies, other_details, side_by_side_now, plain_now])
async def test_a_harmless_change_is_no_difference(now: Callable[[Any], Any], tmp_path: Path) -> None:
    """Bodies, arguments, policies, names and durations may change, and steps may stop waiting for each other."""
    journal = await record(linear)
    assert (await checked(now, journal, tmp_path)).difference is None


@pytest.mark.parametrize("now", [other_result, goes_on])
async def test_the_outcome_can_be_left_out(now: Callable[[Any], Any], tmp_path: Path) -> None:
    """With the output ignored a function may return something else, or go on."""
    journal = await record(linear)
    assert (await checked(now, journal, tmp_path, ignore_output=True)).difference is None
    report = await checked(raises_at_the_end, journal, tmp_path, ignore_output=True)
    assert summary(report)[0] is Kind.RAISES


async def test_the_first_difference_is_reported(tmp_path: Path) -> None:
    """Of several changes the one that comes first in the journal counts."""

    async def twice(ctx: Any) -> Any:
        await ctx.step.run("fetch-user", never)
        await ctx.step.sleep("cool-off", "1m")
        await ctx.step.run("charge-card", never)
        return {}

    journal = await record(linear)
    assert summary(await checked(twice, journal, tmp_path))[2] == "charge"
    assert (await checked(twice, cut(journal, 2), tmp_path)).difference is None


async def test_a_run_that_goes_on_may_go_on_otherwise(tmp_path: Path) -> None:
    """What comes after the end of the journal of a run under way is told, and is no difference."""
    journal = cut(await record(linear), 2)
    report = await checked(renamed, journal, tmp_path)
    assert report.difference is None
    assert [str(step) for step in report.goes_on] == ['"charge-card" (run)']


async def test_a_run_under_way_may_not_raise(tmp_path: Path) -> None:
    """Code that raises after the end of the journal of a run under way fails that run, so it is a difference."""
    journal = cut(await record(linear), 1)
    report = await checked(raises_between, journal, tmp_path)
    assert summary(report) == (Kind.RAISES, "fetch-user", None, [])
    assert report.difference is not None
    assert report.difference.error is not None
    assert report.difference.error["name"] == "TypeError"
    assert report.difference.error["where"].startswith(f"{__file__}:")


async def waits(ctx: Any) -> Any:
    answer = await ctx.step.wait_for_event("approval", event="order/approved", timeout="30d")
    return answer is not None


async def waits_for_another(ctx: Any) -> Any:
    await ctx.step.wait_for_event("approval", event="order/accepted", timeout="30d")


async def waits_on_a_condition(ctx: Any) -> Any:
    await ctx.step.wait_for_event("approval", event="order/approved", timeout="30d", if_="async.data.n == 1")


async def waits_longer(ctx: Any) -> Any:
    return (await ctx.step.wait_for_event("approval", event="order/approved", timeout="60d", lookback="1h")) is not None


async def waits_under_another_id(ctx: Any) -> Any:
    await ctx.step.wait_for_event("approval-2", event="order/approved", timeout="30d")


async def waits_no_more(ctx: Any) -> Any:
    return True


OF_A_WAIT = [
    (
        waits_for_another,
        Kind.STEP_OPTIONS,
        '"approval" has the event "order/accepted" now, the journal has the event "',
    ),
    (waits_on_a_condition, Kind.STEP_OPTIONS, 'the condition "async.data.n == 1" now, the journal has no condition'),
]


@pytest.mark.parametrize(("now", "kind", "said"), OF_A_WAIT)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "waiting"])
async def test_what_a_wait_is_for_matters(
    now: Callable[[Any], Any], kind: Kind, said: str, ended: bool, tmp_path: Path
) -> None:
    """Another event or condition of a wait is found, whether the wait is over or not."""
    journal = await record(waits, events=("order/approved",) if ended else ())
    assert (journal["outcome"] is not None) is ended

    report = await checked(now, journal, tmp_path)
    assert summary(report)[0] is kind
    assert report.difference is not None
    assert said in report.difference.message
    assert (await checked(waits_longer, journal, tmp_path)).difference is None


async def test_raising_instead_of_waiting_names_the_wait(tmp_path: Path) -> None:
    """Code that raises before it comes to the wait that a run is in is reported with that wait."""
    report = await checked(raises_between, await record(waits), tmp_path)
    assert summary(report) == (Kind.STEP_MISSING, None, "approval", ["fetch-user"])

    async def raises(ctx: Any) -> Any:
        raise LookupError("nobody approves")

    assert summary(await checked(raises, await record(waits), tmp_path)) == (Kind.RAISES, None, "approval", [])


@pytest.mark.parametrize(
    ("now", "found"), [(waits_under_another_id, ["approval-2"]), (waits_no_more, [])], ids=["renamed", "removed"]
)
async def test_a_step_under_way_must_still_be_asked_for(
    now: Callable[[Any], Any], found: list[str], tmp_path: Path
) -> None:
    """The wait that a run is in must be one that the code asks for."""
    report = await checked(now, await record(waits), tmp_path)
    assert summary(report) == (Kind.STEP_MISSING, None, "approval", found)
    assert report.goes_on == ()
    assert report.difference is not None
    assert '"approval" (wait) is under way in the journal' in report.difference.message


async def listens(ctx: Any) -> Any:
    await ctx.step.wait_for_signal("answer", signal="approve-7", timeout="1h")


async def listens_elsewhere(ctx: Any) -> Any:
    await ctx.step.wait_for_signal("answer", signal="approve-8", timeout="1h")


async def invokes(ctx: Any) -> Any:
    await ctx.step.invoke("child", function="shop-price", data={"n": 1}, timeout="1h")


async def invokes_another(ctx: Any) -> Any:
    await ctx.step.invoke("child", function="shop-cost", data={"n": 1}, timeout="1h")


async def invokes_with_other_data(ctx: Any) -> Any:
    await ctx.step.invoke("child", function="shop-price", data={"n": 2}, timeout="2h")


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (listens, listens_elsewhere, 'has the signal "approve-8" now, the journal has the signal "approve-7"'),
        (invokes, invokes_another, 'has the function "shop-cost" now, the journal has the function "shop-price"'),
        (listens, invokes, None),
        (invokes, invokes_with_other_data, ""),
    ],
)
async def test_what_else_a_step_is_about_matters(
    before: Callable[[Any], Any], now: Callable[[Any], Any], said: str | None, tmp_path: Path
) -> None:
    """Another signal or another function is found; other data to invoke a function with is not looked at."""
    journal = await record(before, lasts="1m")
    assert journal["outcome"] is None or journal["outcome"]["status"] == "Failed"
    report = await checked(now, journal, tmp_path)
    if said:
        assert summary(report)[0] is Kind.STEP_OPTIONS
        assert report.difference is not None
        assert said in report.difference.message
    elif said is None:
        assert summary(report)[:3] == (Kind.STEP_MISSING, None, "answer")
    else:
        assert report.difference is None


async def pair(ctx: Any) -> Any:
    return await asyncio.gather(ctx.step.sleep("long", "2m"), ctx.step.sleep("short", "1m"))


async def pair_turned(ctx: Any) -> Any:
    return list(reversed(await asyncio.gather(ctx.step.sleep("short", "1m"), ctx.step.sleep("long", "2m"))))


async def short_then_long(ctx: Any) -> Any:
    return [await ctx.step.sleep("short", "1m"), await ctx.step.sleep("long", "2m")]


async def long_then_short(ctx: Any) -> Any:
    return [await ctx.step.sleep("long", "2m"), await ctx.step.sleep("short", "1m")]


async def test_the_order_of_a_group_is_that_in_which_it_finished(tmp_path: Path) -> None:
    """Members of a group may be asked for in any order, and one after another in the order they finished in."""
    journal = await record(pair)
    assert names(journal) == ["short", "long"]
    assert (await checked(pair_turned, journal, tmp_path)).difference is None
    assert (await checked(short_then_long, journal, tmp_path)).difference is None
    assert summary(await checked(long_then_short, journal, tmp_path)) == (Kind.STEP_ORDER, None, "short", ["long"])


def plain_group(ctx: Any) -> Any:
    both = ctx.step.parallel(lambda: ctx.step.run("a", give, 1), lambda: ctx.step.run("b", give, 2))
    return [*both, ctx.step.run("c", give, 3)]


def plain_group_turned(ctx: Any) -> Any:
    b, a = ctx.step.parallel(lambda: ctx.step.run("b", never), lambda: ctx.step.run("a", never))
    return [a, b, ctx.step.run("c", never)]


def plain_group_of_others(ctx: Any) -> Any:
    a, c = ctx.step.parallel(lambda: ctx.step.run("a", never), lambda: ctx.step.run("c", never))
    return [a, ctx.step.run("b", never), c]


async def test_a_plain_function_is_followed_memo_by_memo(tmp_path: Path) -> None:
    """In a def function a step taken out of a parallel group is found, though every result is there in the end."""
    journal = await record(plain_group)
    assert sorted(names(journal)[:2]) == ["a", "b"]
    assert (await checked(plain_group_turned, journal, tmp_path)).difference is None
    report = await checked(plain_group_of_others, {**journal, "stack": sorted_stack(journal)}, tmp_path)
    assert summary(report) == (Kind.STEP_MISSING, "a", "b", ["c"])


def sorted_stack(journal: dict[str, Any]) -> list[str]:
    """The stack as it is when steps finish in the order of their names."""
    by_name = {step["name"]: step["id"] for step in journal["steps"]}
    return [by_name[name] for name in sorted(by_name)]


async def fails(ctx: Any) -> Any:
    await ctx.step.run("fetch-user", give, 1)
    raise stepwell.NonRetriableError("the card is blocked")


async def fails_otherwise(ctx: Any) -> Any:
    await ctx.step.run("fetch-user", never)
    raise stepwell.NonRetriableError("the card is lost")


async def fails_no_more(ctx: Any) -> Any:
    return await ctx.step.run("fetch-user", never)


async def continues(ctx: Any) -> Any:
    await ctx.step.run("fetch-user", never)
    await ctx.step.run("charge", never)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            fails_otherwise,
            "failed with NonRetriableError: the card is blocked, the code now raises NonRetriableError: the",
        ),
        (fails_no_more, "failed with NonRetriableError: the card is blocked, the code now returns 1"),
        (continues, 'failed with NonRetriableError: the card is blocked, the code now asks for "charge" (run)'),
    ],
)
async def test_a_failure_that_changes_is_another_outcome(now: Callable[[Any], Any], said: str, tmp_path: Path) -> None:
    """A function that failed agrees when it fails with the same error; else its outcome differs."""
    journal = await record(fails)
    assert (await checked(fails, journal, tmp_path)).difference is None
    report = await checked(now, journal, tmp_path)
    assert summary(report)[0] is Kind.OUTCOME
    assert report.difference is not None
    assert said in report.difference.message
    assert (await checked(now, journal, tmp_path, ignore_output=True)).difference is None


async def test_a_failure_that_was_not_of_the_code_is_no_outcome(tmp_path: Path) -> None:
    """A run that the engine ended agrees with code that goes on."""
    journal = await record(linear)
    error = {"name": "too_many_steps", "message": "over the limit"}
    journal["outcome"] = {"status": "Failed", "ended_at": journal["exported_at"], "output": error, "error": error}
    assert (await checked(goes_on, journal, tmp_path)).difference is None


async def test_a_cancelled_run_has_no_outcome(tmp_path: Path) -> None:
    """A run that was cancelled agrees with code that ends otherwise."""
    journal = cut(await record(linear), 2)
    journal["outcome"] = {"status": "Cancelled", "ended_at": journal["exported_at"], "output": None, "error": None}
    assert (await checked(renamed, journal, tmp_path)).difference is None


async def test_what_is_recorded_of_a_dropped_step_does_not_count(tmp_path: Path) -> None:
    """A step that the code had lost before need not be asked for."""
    journal = cut(await record(linear), 2)
    journal["steps"].append({**journal["steps"][0], "id": "0" * 40, "name": "lost", "status": "Cancelled"})
    del journal["steps"][-1]["memo"]
    assert (await checked(linear, journal, tmp_path)).difference is None
