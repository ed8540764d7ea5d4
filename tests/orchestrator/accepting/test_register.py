"""Taking registrations: all functions or none, and where their calls go (protocol 2.3 - 2.10)."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.wire.registration import Trigger
from stepwell_orchestrator.accepting.register import InvalidFunctionsError, Register, normal_url
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.schedules import NoSchedules
from tests.orchestrator.fakes import NOW_MS, FixedClock, MemoryQueue, MemoryRegistry

URL = "http://127.0.0.1:3000/api/inngest"


def function(slug: str = "shop-pay", *, url: str = URL, **members: Any) -> dict[str, Any]:
    """A function as an SDK registers it."""
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": f"{url}?fnId={slug}&stepId=step"}}
    return {"id": slug, "name": slug, "triggers": [{"event": "shop/paid"}], "steps": {"step": step}, **members}


def body(*functions: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A registration as the Python SDK sends it."""
    return {"appname": "shop", "deploy_type": "ping", "sdk": "py:v1", "url": URL, "functions": [*functions], **members}


class World:
    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.queue = MemoryQueue()
        self.notices: list[Notice] = []
        timetable = Timetable(NoSchedules(), self.registry, self.queue, FixedClock())
        self.register = Register(self.registry, timetable, FixedClock(), self.notices.append)


@pytest.fixture
def world() -> World:
    return World()


async def test_functions_are_stored_as_registered(world: World) -> None:
    """A registration stores the app and every function with url, triggers, retries and options, and tells of it."""
    triggers = [{"event": "shop/paid", "expression": "event.data.n == 1"}, {"event": "shop/*"}]
    raw = function(triggers=triggers, timeouts={"finish": "5m"}, debounce={"period": "1m"}, cancel=None)
    raw["steps"]["step"]["retries"] = {"attempts": 2}
    synced = await world.register.accept(body(raw, function("shop-mail")))
    assert synced.modified
    stored = world.registry.functions["shop-pay"]
    assert stored.triggers == (Trigger("shop/paid", "event.data.n == 1"), Trigger("shop/*"))
    assert (stored.retries, stored.app_id) == (2, "shop")
    assert stored.options == {"timeouts": {"finish": "5m"}, "debounce": {"period": "1m"}}
    assert (stored.url, stored.sdk) == (f"{URL}?fnId=shop-pay&stepId=step", "py:v1")
    app = world.registry.apps["shop"]
    assert (app.url, app.sdk, app.synced_at_ms) == ("http://localhost:3000/api/inngest", "py:v1", NOW_MS)
    detail = "2 functions"
    assert world.notices == [Notice(NOW_MS, NoticeKind.APP_SYNCED, subject="shop", detail=detail)]


async def test_same_registration_modifies_nothing(world: World) -> None:
    """A repeat answers modified false with the same ids and tells nobody; a change of a trigger answers true."""
    first = (await world.register.accept(body(function()))).encode()
    second = (await world.register.accept(body(function(), url=URL + "?deployId=7"))).encode()
    third = (await world.register.accept(body(function(triggers=[{"event": "shop/due"}])))).encode()
    assert (first["modified"], second["modified"], third["modified"]) == (True, False, True)
    assert {**first, "modified": False} == second
    assert third["app_id"] == first["app_id"]
    assert third["sync_id"] != first["sync_id"]
    assert len(world.notices) == 2


async def test_calls_go_where_the_app_was_reached(world: World) -> None:
    """When this server asked for the registration, functions are called at the origin it reached."""
    await world.register.accept(
        body(function(url="http://0.0.0.0:3000/api/inngest")), reached_at="http://app.local:8080/api/inngest"
    )
    assert world.registry.functions["shop-pay"].url == "http://app.local:8080/api/inngest?fnId=shop-pay&stepId=step"
    assert world.registry.apps["shop"].url == "http://app.local:8080/api/inngest"


async def test_calls_take_the_path_that_a_proxy_strips(world: World) -> None:
    """Functions are called at the path and with the query that the app was reached with, whatever it knows of them."""
    raw = function(url="http://10.0.0.7:8000/api/inngest")
    await world.register.accept(body(raw), reached_at="https://shop.example/svc/api/inngest?token=t&stepId=x")
    called = "https://shop.example/svc/api/inngest?token=t&fnId=shop-pay&stepId=step"
    assert world.registry.functions["shop-pay"].url == called


async def test_function_url_loses_the_deploy_id(world: World) -> None:
    """A deployId that an SDK repeats in its function urls is dropped."""
    raw = function()
    raw["steps"]["step"]["runtime"]["url"] += "&deployId=7"
    await world.register.accept(body(raw))
    assert world.registry.functions["shop-pay"].url == f"{URL}?fnId=shop-pay&stepId=step"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://127.0.0.1:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://[::1]:3000/api", "http://localhost:3000/api"),
        ("http://LOCALHOST/api/", "http://localhost/api"),
        ("https://Shop.example/api?deployId=5", "https://shop.example/api"),
        ("https://shop.example/api?a=1&deployId=5&b=", "https://shop.example/api?a=1&b="),
        ("https://user@shop.example:8443/api", "https://user@shop.example:8443/api"),
        ("", ""),
    ],
)
def test_app_url_has_one_spelling(url: str, normal: str) -> None:
    """Spellings of one serve URL become the same."""
    assert normal_url(url) == normal


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "Invalid request: the body must be an object"),
        ({"functions": []}, "App ID required"),
        ({"appName": "  "}, "App ID required"),
        ({"appName": "shop", "functions": "all"}, "Invalid request: functions must be a list"),
    ],
)
async def test_bad_body_is_refused(world: World, raw: Any, message: str) -> None:
    """A registration that is none is refused with the protocol's words."""
    with pytest.raises(ApiError) as refusal:
        await world.register.accept(raw)
    assert (refusal.value.status, refusal.value.message) == (400, message)
    assert world.registry.apps == {}


NO_URL = {"steps": {"step": {"id": "step", "name": "step", "runtime": {"url": "ftp://x"}}}}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"steps": {}}, "function shop-pay: steps must have exactly one entry"),
        (NO_URL, "runtime.url must be an http, https, ws or wss URL"),
        ({"retries": 21}, "retries must be a whole number from 0 to 20, got 21"),
        ({"triggers": [{}]}, "a trigger needs either an event or a cron"),
        (
            {"triggers": [{"event": f"e{n}"} for n in range(11)]},
            "triggers has more than 10 entries; split the function",
        ),
        ({"triggers": [{"event": "a"}, {"event": "a"}]}, "triggers[1] repeats an earlier trigger"),
        ({"triggers": [{"cron": "* * * * *"}] * 2}, "triggers[1] repeats an earlier trigger"),
        ({"triggers": [{"event": "n" * 256}]}, "triggers[0]: event has 256 characters; the limit is 255"),
        ({"triggers": [{"event": " "}]}, "triggers[0]: event must be an event name"),
        ({"triggers": [{"event": "a*b"}]}, '"a*b" has a misplaced wildcard; it may only end in "/*" or ".*"'),
        ({"triggers": [{"event": "a*"}]}, '"a*" has a misplaced wildcard'),
        ({"triggers": [{"event": "*"}]}, '"*" has a misplaced wildcard'),
        ({"triggers": [{"event": "a", "expression": "event.data.x =="}]}, "expression is no valid expression"),
        ({"triggers": [{"event": "a", "expression": "async.data.x == 1"}]}, "expression is no valid expression"),
        (
            {"triggers": [{"cron": "* * * *"}]},
            "function shop-pay: triggers[0]: cron is refused: a cron has five fields",
        ),
        ({"triggers": [{"cron": "0 0 31 4 *"}]}, 'cron is refused: the cron "0 0 31 4 *" never ticks'),
        ({"triggers": [{"cron": "TZ=Mars/Base 0 9 * * 1"}]}, "cron is refused: there is no time zone 'Mars/Base'"),
        ({"triggers": [{"cron": "@daily", "missed": "some"}]}, 'missed must be "skip" or "last" or "all", got'),
        (
            {"triggers": [{"cron": "@daily"}, {"cron": "@daily", "jitter": "1m"}]},
            "triggers[1] repeats an earlier trigger",
        ),
        ({"triggers": [{"cron": "0 9 * * 1", "jitter": "6m"}]}, "jitter is 6m; it must be from 1 s to 300 s"),
        ({"concurrency": [{"limit": 1}] * 3}, "concurrency has 3 limits; at most 2 are allowed"),
        ({"concurrency": [{"limit": -1}]}, "concurrency: limit must be a whole number 0 or more, got -1"),
        ({"concurrency": {"limit": 1, "scope": "env"}}, 'has scope "env" and no key'),
        ({"concurrency": {"limit": 1, "scope": "moon"}}, 'scope must be "fn", "env" or "account"'),
        ({"concurrency": {"fn": [{"limit": 1}] * 2}}, "concurrency: fn has 2 limits; at most 1 are allowed"),
        ({"throttle": {"limit": 0, "period": "1m"}}, "throttle: limit must be a whole number 1 or more, got 0"),
        ({"throttle": {"limit": 1, "period": "8d"}}, "throttle: period is 8d; it must be from 1 s to 604800 s"),
        ({"rateLimit": {"limit": 1, "period": "25h"}}, "rateLimit: period is 25h"),
        ({"rateLimit": {"limit": 1, "period": 5}}, 'period must be a duration such as "30s" or "1h30m", got 5'),
        ({"debounce": {"period": "500ms"}}, "debounce: period is 500ms"),
        ({"debounce": {"period": "1s", "key": "nope.x"}}, "debounce: key is no valid expression"),
        (
            {"batchEvents": {"maxSize": 1, "timeout": "5s"}},
            "batchEvents: maxSize must be a whole number from 2 to 100, got 1",
        ),
        (
            {"batchEvents": {"maxSize": 101, "timeout": "5s"}},
            "batchEvents: maxSize must be a whole number from 2 to 100, got 101",
        ),
        (
            {"batchEvents": {"maxSize": 2, "timeout": "192h"}},
            "batchEvents: timeout is 192h; it must be from 1 s to 604800 s",
        ),
        (
            {"batchEvents": {"maxSize": 2, "timeout": "5s"}, "rateLimit": {"limit": 1, "period": "1s"}},
            "batchEvents cannot be combined with rateLimit; remove one of them",
        ),
        (
            {"batchEvents": {"maxSize": 2, "timeout": "5s"}, "idempotency": "event.data.id"},
            "batchEvents cannot be combined with idempotency; remove one of them",
        ),
        (
            {"batchEvents": {"maxSize": 2, "timeout": "5s"}, "debounce": {"period": "1s"}},
            "batchEvents cannot be combined with debounce; remove one of them",
        ),
        ({"priority": {"run": "event.data."}}, "priority: run is no valid expression"),
        ({"cancel": [{"event": "x"}] * 6}, "cancel has 6 entries; the limit is 5"),
        ({"cancel": [{"if": "true"}]}, "cancel: [0]: event must be an event name"),
        ({"cancel": {"event": "x"}}, "cancel must be a list"),
        ({"cancel": ["x"]}, "cancel: [0] must be an object"),
        ({"cancel": [{"event": "x" * 256}]}, "cancel: [0]: event has 256 characters; the limit is 255"),
        ({"cancel": [{"event": "order/*"}]}, '"order/*" has a wildcard, which only triggers may have'),
        ({"cancel": [{"event": "x"}, {"event": ""}]}, "cancel: [1]: event must be an event name"),
        (
            {"cancel": [{"event": "x", "if": "size(event.data) > 1"}]},
            'if is no valid expression: expression, line 1, column 1: "size" is not allowed',
        ),
        ({"cancel": [{"event": "x", "if": "has(async.data.a)"}]}, 'column 1: "has" is not allowed'),
        ({"cancel": [{"event": "x", "if": "async.data.a + 1 == 2"}]}, 'the operator "+" is not allowed here'),
        ({"cancel": [{"event": "x", "if": "async.data.a =="}]}, "cancel: [0]: if is no valid expression: "),
        (
            {"cancel": [{"event": "x", "if": "data.a == 1"}]},
            'there is no variable "data" here; use one of: async, event',
        ),
        ({"cancel": [{"event": "x", "if": "true ||" * 2_000 + "true"}]}, "cancel: [0]: if is no valid expression: "),
        (
            {"cancel": [{"event": "x", "if": "(" * 900 + "true" + ")" * 900}]},
            "cancel: [0]: if is no valid expression: ",
        ),
        ({"cancel": [{"event": "x", "if": 5}]}, "cancel: [0]: if must be an expression, got 5"),
        ({"cancel": [{"event": "x", "timeout": "soon"}]}, "cancel: [0]: timeout must be a duration"),
        ({"cancel": [{"event": "x", "timeout": "-1s"}]}, "cancel: [0]: timeout is -1s; it must be from 0 s"),
        ({"cancel": [{"event": "x", "timeout": "367d"}]}, "cancel: [0]: timeout is 367d; it must be from 0 s"),
        ({"cancel": [{"event": "x", "timeout": 60}]}, "cancel: [0]: timeout must be a duration"),
        ({"idempotency": 5}, "idempotency must be an expression, got 5"),
        ({"idempotency": ""}, "idempotency is no valid expression"),
        ({"idempotency": "event.data.id +"}, "idempotency is no valid expression"),
        ({"idempotency": "async.data.id"}, 'there is no variable "async" here; use one of: event'),
        ({"singleton": {"mode": "wait"}}, 'singleton: mode must be "skip" or "cancel", got \'wait\''),
        ({"timeouts": {"start": "1x"}}, "timeouts: start must be a duration"),
        ({"timeouts": {"finish": "367d"}}, "timeouts: finish is 367d; it must be from 0 s to 31622400 s"),
        ({"timeouts": {"finish": "-5s"}}, "timeouts: finish is -5s"),
        ({"timeouts": {"start": 30}}, 'timeouts: start must be a duration such as "30s" or "1h30m", got 30'),
        ({"timeouts": "5m"}, "timeouts must be an object"),
        ({"throttle": "fast"}, "throttle must be an object"),
    ],
)
async def test_bad_function_refuses_the_registration(world: World, members: dict[str, Any], says: str) -> None:
    """One bad function refuses the whole registration, naming function and field, and leaves what was there."""
    await world.register.accept(body(function("shop-old")))
    with pytest.raises(InvalidFunctionsError) as refusal:
        await world.register.accept(body(function("shop-good"), function(**members)))
    assert refusal.value.status == 400
    assert refusal.value.message.startswith("At least one function is invalid: function shop-pay: ")
    assert says in refusal.value.message
    assert "\n" not in refusal.value.message
    assert list(world.registry.functions) == ["shop-old"]


async def test_every_broken_rule_is_told(world: World) -> None:
    """The details list every broken rule of every function, a duplicate slug among them."""
    bad = function("shop-a", throttle={"limit": 0, "period": "0s"})
    with pytest.raises(InvalidFunctionsError) as refusal:
        await world.register.accept(body(function(), function(), bad))
    assert refusal.value.details == (
        "function shop-pay: is defined 2 times; give each its own id",
        "function shop-a: throttle: limit must be a whole number 1 or more, got 0",
        "function shop-a: throttle: period is 0s; it must be from 1 s to 604800 s",
    )


@pytest.mark.parametrize(
    "members",
    [
        {"triggers": []},
        {"cancel": [], "concurrency": []},
        {"concurrency": 5},
        {"concurrency": {"step": [{"limit": 2, "key": "event.data.a", "scope": "env"}], "fn": {"limit": 1}}},
        {"cancel": [{"event": "x", "if": "event.data.a == async.data.a", "timeout": "1h"}]},
        {"cancel": [{"event": "x", "if": None, "timeout": None}]},
        {"cancel": [{"event": "x", "timeout": "2027-01-01T09:00:00Z"}, {"event": "y", "timeout": "1d2h3m4s"}]},
        {"cancel": [{"event": "x", "if": 'event.data["a"][0] == int(async.data.b) && !(async.ts < 5)'}]},
        {"timeouts": {"start": None, "finish": "1w"}},
        {"throttle": {"limit": 10, "period": "1m", "burst": 2, "key": "event.data.k"}},
        {"rateLimit": {"limit": 1, "period": "24h"}},
        {"batchEvents": {"maxSize": 3, "timeout": "2s", "if": "event.data.b == true"}},
        {"singleton": {"key": "event.data.k", "mode": "skip"}},
        {"priority": {"run": "event.data.prio"}, "timeouts": {"start": "1m", "finish": "5m"}},
        {"triggers": [{"cron": "TZ=Europe/Paris 0 12 * * 5", "jitter": "30s"}, {"cron": "*/5 * * JAN-MAR MON"}]},
        {"triggers": [{"event": "shop/paid"}, {"cron": "@daily"}, {"cron": "@hourly", "missed": "all"}]},
        {"idempotency": "event.data.key"},
    ],
)
async def test_what_sdks_register_is_accepted(world: World, members: dict[str, Any]) -> None:
    """Every option in the shapes that official SDKs send is accepted."""
    assert (await world.register.accept(body(function(**members)))).modified


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({}, "1 function"),
        (
            {"cancel": [{"event": "x"}], "timeouts": {"finish": "5m"}, "idempotency": "event.data.id"},
            "1 function",
        ),
        (
            {
                "cancel": [{"event": "x"}],
                "debounce": {"period": "1m"},
                "singleton": {"mode": "skip"},
                "triggers": [{"cron": "0 9 * * 1"}],
            },
            "1 function; not applied yet: singleton",
        ),
    ],
)
async def test_what_waits_for_a_later_version_is_told(world: World, members: dict[str, Any], detail: str) -> None:
    """The notice of a registration names the options that are stored and not acted upon, and no others."""
    await world.register.accept(body(function(**members)))
    told = [notice.detail for notice in world.notices if notice.kind is NoticeKind.APP_SYNCED]
    assert told == [detail]


UNCONDITIONAL = [{"event": "shop/closed"}, {"event": "shop/moved"}, {"event": "shop/refunded", "if": "true"}]


@pytest.mark.parametrize(
    ("sdk", "cancel", "told"),
    [
        ("js:v4.2.0", UNCONDITIONAL, ["shop/closed, shop/moved"]),
        ("py:v0.5.0", UNCONDITIONAL[:1], ["shop/closed"]),
        ("go:v0.8.0", [{"event": "shop/closed", "if": "event.data.id == async.data.id"}], []),
        ("js:v4.2.0", None, []),
        ("stepwell-py:v0.1.0", UNCONDITIONAL, []),
    ],
)
async def test_a_cancellation_of_every_run_is_told(world: World, sdk: str, cancel: Any, told: list[str]) -> None:
    """A function of another SDK that any such event cancels gets one line with the fix; ours was asked for it."""
    raw = body(function(cancel=cancel), sdk=sdk)
    await world.register.accept(raw)
    await world.register.accept(raw)
    warned = [notice for notice in world.notices if notice.kind is NoticeKind.WARNED]
    assert [notice.function_id for notice in warned] == ["shop-pay"] * len(told)
    assert [notice.detail for notice in warned] == [
        f"cancelOn {events} has no condition, so one such event cancels every run of the function; add "
        'match: "data.id" or if: "event.data.id == async.data.id", or if: "true" where all of them are meant'
        for events in told
    ]


@pytest.mark.parametrize("cron", ["@daily", "@hourly", "@weekly", "TZ=Europe/London @monthly"])
async def test_a_word_for_a_schedule_is_a_cron(world: World, cron: str) -> None:
    """The shorthands that official packages pass on are taken."""
    await world.register.accept(body({**function("shop-pay"), "triggers": [{"cron": cron}]}))
