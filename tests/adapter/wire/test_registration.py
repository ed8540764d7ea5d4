"""Registrations (protocol 2.5, 2.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.registration import (
    RETRIES_DEFAULT,
    FunctionConfig,
    Registration,
    Trigger,
    decode_function,
    decode_registration,
)
from tests.adapter.wire.values import json_values, texts

URL = "http://app/api?fnId=app-f&stepId=step"
STEPS = {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": URL}}}
FUNCTION = {"id": "app-f", "name": "F", "triggers": [{"event": "a/b"}], "steps": STEPS}
BODY = {"appName": "app", "url": "http://app/api", "sdk": "py:v1", "functions": [FUNCTION]}
CONFIG = FunctionConfig("app-f", "F", URL, (Trigger(event="a/b"),))


def with_retries(retries):
    return {**FUNCTION, "steps": {"step": {**STEPS["step"], "retries": retries}}}


def test_decode():
    """A body is read into app, URL, SDK and functions."""
    assert decode_registration(BODY) == Registration("app", "http://app/api", (CONFIG,), "py:v1")


@pytest.mark.parametrize(
    "members",
    [
        {"appName": None, "appname": "app"},
        {"appName": None, "APPNAME": "app"},
        {"appName": None, "app_name": "app"},
        {"deploy_type": "ping", "deployType": "ping", "v": "1", "capabilities": {}, "idempotencyKey": "x"},
        {"framework": None, "appVersion": None, "headers": None, "capabilities": None, "deployId": None},
        {"headers": []},
        {"headers": {"env": None, "platform": None}},
        {"url": None, "URL": "http://app/api"},
    ],
)
def test_decode_tolerance(members):
    """Keys are read in any case, with or without underscores; nulls and unknown members do not matter."""
    body = {key: value for key, value in (BODY | members).items() if value is not None or key not in BODY}
    assert decode_registration(body) == decode_registration(BODY)


def test_optional_members():
    """Version, framework, environment and platform are read where the SDKs put them."""
    body = {**BODY, "appversion": "7", "framework": "fastapi", "headers": {"env": "branch", "platform": "lambda"}}
    found = decode_registration(body)
    assert (found.app_version, found.framework, found.env, found.platform) == ("7", "fastapi", "branch", "lambda")


@pytest.mark.parametrize("functions", [[], None])
def test_no_functions(functions):
    """An app may have no functions."""
    assert decode_registration({**BODY, "functions": functions}).functions == ()


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        (None, RETRIES_DEFAULT),
        ({}, RETRIES_DEFAULT),
        ({"attempts": None}, RETRIES_DEFAULT),
        ({"attempts": 0}, 0),
        ({"attempts": 20}, 20),
    ],
)
def test_retries(retries, expected):
    """The retries of the step are read, four when it says nothing."""
    assert RETRIES_DEFAULT == 4
    assert decode_function(with_retries(retries)).retries == expected


def test_top_level_retries():
    """A top-level number of retries is read where the step has none."""
    assert decode_function({**FUNCTION, "retries": 2}).retries == 2
    assert decode_function({**with_retries({"attempts": 3}), "retries": 2}).retries == 3


def test_options():
    """Other members are kept as sent, without nulls."""
    options = {"concurrency": [{"limit": 5}], "rateLimit": {"limit": 1, "period": "1m", "key": None}, "cancel": []}
    assert decode_function({**FUNCTION, **options, "throttle": None, "priority": None}).options == options


@pytest.mark.parametrize(
    ("raw", "trigger"),
    [
        ({"event": "a/b"}, Trigger(event="a/b")),
        (
            {"event": "a/*", "expression": "event.data.x == 1", "cron": None},
            Trigger(event="a/*", expression="event.data.x == 1"),
        ),
        ({"event": "a", "expression": None}, Trigger(event="a")),
        (
            {"cron": "TZ=Europe/Paris 0 12 * * 5", "jitter": "30s"},
            Trigger(cron="TZ=Europe/Paris 0 12 * * 5", jitter="30s"),
        ),
        ({"cron": "0 0 * * *", "event": ""}, Trigger(cron="0 0 * * *")),
    ],
)
def test_triggers(raw, trigger):
    """A trigger is an event or a cron."""
    assert decode_function({**FUNCTION, "triggers": [raw]}).triggers == (trigger,)


@pytest.mark.parametrize("triggers", [None, []])
def test_no_triggers(triggers):
    """A function without triggers is one that is only invoked."""
    assert decode_function({**FUNCTION, "triggers": triggers}).triggers == ()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "Invalid request: the body must be an object"),
        ([], "Invalid request: the body must be an object"),
        ({}, "App ID required"),
        ({**BODY, "appName": ""}, "App ID required"),
        ({**BODY, "appName": "  "}, "App ID required"),
        ({**BODY, "appName": 5}, "App ID required"),
        ({**BODY, "functions": {"a": 1}}, "Invalid request: functions must be a list"),
        ({**BODY, "functions": [1]}, "a function must be an object"),
        ({**BODY, "functions": [{}]}, "a function has no id"),
    ],
)
def test_refused(raw, said):
    """A body that cannot be understood is refused in the words the caller is shown."""
    with pytest.raises(WireError) as caught:
        decode_registration(raw)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"id": 5}, "a function has no id"),
        ({"steps": None}, "function app-f: steps must have exactly one entry"),
        ({"steps": {}}, "function app-f: steps must have exactly one entry"),
        ({"steps": {**STEPS, "more": STEPS["step"]}}, "function app-f: steps must have exactly one entry"),
        ({"steps": [STEPS["step"]]}, "function app-f: steps must have exactly one entry"),
        ({"steps": {"step": 1}}, "function app-f: steps entry must be an object"),
        ({"triggers": {"event": "a"}}, "function app-f: triggers must be a list"),
        ({"triggers": 5}, "function app-f: triggers must be a list"),
        ({"triggers": ["a/b"]}, "function app-f: a trigger must be an object"),
        ({"triggers": [{}]}, "function app-f: a trigger needs either an event or a cron"),
        (
            {"triggers": [{"event": "a", "cron": "* * * * *"}]},
            "function app-f: a trigger needs either an event or a cron",
        ),
        ({"retries": "3"}, "function app-f: retries must be a whole number from 0 to 20, got '3'"),
        ({"retries": True}, "function app-f: retries must be a whole number from 0 to 20, got True"),
        ({"retries": -1}, "function app-f: retries must be a whole number from 0 to 20, got -1"),
        ({"retries": 21}, "function app-f: retries must be a whole number from 0 to 20, got 21"),
    ],
)
def test_function_refused(members, said):
    """A function that cannot be understood is refused by its id and the member."""
    with pytest.raises(WireError) as caught:
        decode_function({**FUNCTION, **members})
    assert str(caught.value) == said


@pytest.mark.parametrize("name", [None, ""])
def test_a_function_without_a_name_is_called_by_its_id(name):
    """The name is for people, and may be left out."""
    assert decode_function({**FUNCTION, "name": name}).name == "app-f"


@pytest.mark.parametrize("runtime", [None, {}, {"url": None}, {"url": "ftp://app"}, {"url": "/api"}, "http://app"])
def test_url_refused(runtime):
    """A function must be reachable over http or websocket."""
    with pytest.raises(
        WireError, match=r"^function app-f: steps\.step\.runtime\.url must be an http, https, ws or wss URL"
    ):
        decode_function({**FUNCTION, "steps": {"step": {"runtime": runtime}}})


def test_encode():
    """A registration is written with the members every server reads."""
    config = FunctionConfig(
        "app-f", "F", URL, (Trigger(event="a/b"),), retries=2, options={"debounce": {"period": "1m"}}
    )
    body = Registration("app", "http://app/api", (config,), "py:v1", "fastapi", "7", "branch", "lambda").encode()
    assert body == {
        "url": "http://app/api",
        "deployType": "ping",
        "appName": "app",
        "appVersion": "7",
        "sdk": "py:v1",
        "v": "0.1",
        "framework": "fastapi",
        "functions": [
            {
                "id": "app-f",
                "name": "F",
                "triggers": [{"event": "a/b"}],
                "steps": {
                    "step": {
                        "id": "step",
                        "name": "step",
                        "runtime": {"type": "http", "url": URL},
                        "retries": {"attempts": 2},
                    }
                },
                "debounce": {"period": "1m"},
            }
        ],
        "capabilities": {"in_band_sync": "v1", "trust_probe": "v1"},
        "headers": {"env": "branch", "platform": "lambda"},
    }


def test_encode_minimal():
    """What an app does not have is left out, and a websocket URL has its own runtime type."""
    config = FunctionConfig("f", "F", "wss://app")
    body = Registration("app", "", (config,), "py:v1").encode()
    assert "appVersion" not in body
    assert body["headers"] == {}
    assert body["functions"][0]["steps"]["step"]["runtime"] == {"type": "ws", "url": "wss://app"}


names = texts.filter(bool)
triggers = st.one_of(
    st.builds(Trigger, event=names, expression=st.none() | names),
    st.builds(Trigger, cron=names, jitter=st.none() | names),
)
configs = st.builds(
    FunctionConfig,
    id=names,
    name=names,
    url=texts.map("https://{}".format),
    triggers=st.lists(triggers, max_size=3).map(tuple),
    retries=st.integers(0, 20),
    options=st.dictionaries(
        st.sampled_from(["concurrency", "throttle", "cancel", "priority"]),
        json_values().filter(lambda value: value is not None),
        max_size=3,
    ),
)
registrations = st.builds(
    Registration,
    app_id=names.filter(str.strip),
    url=texts,
    functions=st.lists(configs, max_size=2).map(tuple),
    sdk=texts,
    framework=texts,
    app_version=texts,
    env=texts,
    platform=texts,
)


@given(registrations)
def test_round_trip(registration):
    """A registration is read back as it was written."""
    assert decode_registration(decode(encode(registration.encode()))) == registration


@given(
    st.one_of(
        json_values("appName", "functions", "id", "name", "steps", "triggers"),
        st.fixed_dictionaries(
            {
                "appName": names,
                "functions": st.lists(
                    st.fixed_dictionaries(
                        {"id": names, "name": names, "steps": st.just(STEPS) | json_values("step", "runtime", "url")},
                        optional={"triggers": json_values("event", "cron"), "retries": json_values("attempts")},
                    ),
                    max_size=2,
                ),
            },
            optional={"headers": json_values("env"), "url": json_values()},
        ),
    )
)
def test_any_registration(raw):
    """Any JSON is a registration or a WireError."""
    try:
        found = decode_registration(raw)
    except WireError:
        return
    assert found.app_id.strip()
