from examples.onboarding.app import app, ask_why
from stepwell.testing import Engine

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


def test_it_works_without_async(engine) -> None:
    """In a test that is not async the same calls need no await."""
    engine.serve(app)
    run = engine.send_one("user/signed-up", ADA)
    engine.advance("30d")
    assert run.output == "pro"
