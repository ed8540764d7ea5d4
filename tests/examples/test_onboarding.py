from collections import Counter

import pytest

import stepwell
from examples.onboarding import services
from examples.onboarding.app import app, ask_why
from examples.onboarding.questions import support
from stepwell.testing import CrashError, Engine, SyncEngine

ADA = {"user_id": 7, "email": "ada@example.com", "at": "2026-01-01T00:00:00+00:00"}


async def test_the_month_of_a_customer(engine: Engine) -> None:
    """A customer who starts a project is welcomed, warned on day 23 and charged on day 30."""
    engine.serve(app)
    run = await engine.send_one("user/signed-up", ADA)
    assert run.step("welcome").output == "mail to ada@example.com: Welcome!"

    await engine.advance("1d")
    await engine.send("project/created", {"user_id": 7})
    await engine.advance("22d")
    assert run.step("warn").attempts == 1
    assert run.step("last-week").status == "sleeping"

    await engine.advance("7d")
    assert run.completed
    assert run.output == "pro"


async def test_a_customer_who_does_not_start_is_offered_help(engine: Engine) -> None:
    """When the wait for a project times out after three days, one more mail is sent."""
    engine.serve(app)
    mail = engine.stub("offer-help", "mail-1")

    run = await engine.send_one("user/signed-up", ADA)
    await engine.send("project/created", {"user_id": 8})
    await engine.advance("3d")
    assert run.step("first-project").status == "timed_out"
    assert [call.args for call in mail.calls] == [("ada@example.com", "Shall we set it up together?")]


async def test_a_payment_that_fails_is_tried_again(engine: Engine) -> None:
    """Two failed payments are retried with back-off, within two minutes."""
    engine.serve(app)
    engine.fail_step("charge", times=2, error=ConnectionError("the bank is closed"))

    run = await engine.send_one("user/signed-up", ADA)
    await engine.advance("30d")
    assert run.step("charge").error.message == "the bank is closed"

    await engine.advance("2m")
    assert run.output == "pro"
    assert run.step("charge").attempts == 3


async def test_a_customer_who_does_not_pay_is_downgraded(engine: Engine) -> None:
    """When no attempt is left the customer is on the free plan, and somebody calls."""
    engine.serve(app)
    engine.fail_step("charge", times=None, error=ConnectionError("the bank is closed"))

    run = await engine.send_one("user/signed-up", ADA)
    await engine.advance("31d")
    assert run.output == "free"

    [event] = engine.sent("user/downgraded")
    assert event.data == {"reason": "the bank is closed"}
    [phone_call] = [run for run in engine.runs if run.function == ask_why.slug]
    assert phone_call.output == "call the customer: the bank is closed"


async def test_a_customer_who_leaves_hears_nothing_more(engine: Engine) -> None:
    """Deleting the account cancels the run."""
    engine.serve(app)
    run = await engine.send_one("user/signed-up", ADA)
    await engine.send("user/deleted", {"user_id": 7})
    await engine.advance("30d")
    assert run.cancelled
    assert [step.name for step in run.steps] == ["welcome", "first-project"]


QUESTION = {"question_id": 5, "email": "ada@example.com"}


async def test_a_question_is_taken_within_the_hour(engine: Engine) -> None:
    """When a colleague is faster than the hour, the customer hears no apology."""
    engine.serve(support)
    run = await engine.send_one("question/asked", QUESTION)
    await engine.advance("59m")
    await engine.send("question/taken", {"question_id": 5, "by": "bo"})
    await engine.settle()
    assert run.output == "bo"
    assert [step.name for step in run.steps] == ["taken", "hour"]


async def test_a_question_that_takes_longer(engine: Engine) -> None:
    """When the hour is over first, an apology is sent and the wait goes on."""
    engine.serve(support)
    run = await engine.send_one("question/asked", QUESTION)
    await engine.advance("1h")
    assert run.step("apologise").output == "mail to ada@example.com: We are still looking for somebody"
    assert run.step("taken").status == "waiting"

    await engine.send("question/taken", {"question_id": 5, "by": "bo"})
    await engine.settle()
    assert run.output == "bo"


@pytest.mark.crash_everywhere
async def test_a_month_bears_every_crash(engine: Engine) -> None:
    """Wherever the worker dies within the month, the customer ends on the same plan."""
    engine.serve(app)
    run = await engine.send_one("user/signed-up", ADA)
    await engine.advance("1d")
    await engine.send("project/created", {"user_id": 7})
    await engine.advance("29d")
    assert run.output == "pro"


async def test_a_month_without_payment_bears_every_crash(engine: Engine) -> None:
    """Wherever a worker dies, three attempts are made, and one customer is downgraded and called."""

    async def month(engine: Engine) -> str:
        engine.serve(app)
        engine.fail_step("charge", times=3, error=ConnectionError("the bank is closed"))
        run = await engine.send_one("user/signed-up", ADA)
        await engine.advance("31d")
        assert len(engine.sent("user/downgraded")) == 1
        return run.output

    report = await engine.crash_everywhere(month)
    assert "charge" in report.repeated["crm-onboard"]


@pytest.mark.crash_everywhere
async def test_a_race_bears_every_crash(engine: Engine) -> None:
    """Wherever the worker dies, what was first stays first."""
    engine.serve(support)
    run = await engine.send_one("question/asked", QUESTION)
    await engine.advance("1h")
    await engine.send("question/taken", {"question_id": 5, "by": "bo"})
    await engine.settle()
    assert run.output == "bo"
    assert run.step("apologise").status == "completed"


loyalty = stepwell.App("loyalty")
points: Counter[int] = Counter()


@loyalty.function(on="order/paid")
async def award(ctx: stepwell.Context) -> int:
    """Wrong: the points are neither an argument nor the result of a step."""
    user_id = ctx.event.data["user_id"]
    await ctx.step.run("award", points.update, {user_id: 10})
    await ctx.step.run("mail", services.send_mail, "ada@example.com", "Ten points for you")
    return points[user_id]


async def test_points_kept_in_memory_do_not_bear_a_crash(engine: Engine) -> None:
    """The ten points are given twice when the worker dies before the journal knows of them."""

    async def order(engine: Engine) -> None:
        points.clear()
        await engine.send_one("order/paid", {"user_id": 7})

    engine.serve(loyalty)
    with pytest.raises(CrashError) as raised:
        await engine.crash_everywhere(order)
    [finding] = raised.value.report.findings
    assert finding.boundary == 'before the commit of step "award" (completed) in loyalty-award'
    assert finding.details == ("without a crash: completed: 10", "with it:         completed: 20")


def test_it_works_without_async(engine: SyncEngine) -> None:
    """In a test that is not async the same calls need no await."""
    engine.serve(app)
    run = engine.send_one("user/signed-up", ADA)
    engine.advance("30d")
    assert run.output == "pro"
