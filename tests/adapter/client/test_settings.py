from __future__ import annotations

from typing import Any

import pytest

from stepwell.client.settings import DEV_EVENT_KEY, DEV_ORIGIN, Overrides, read_settings
from stepwell.errors import DefinitionError

KEY = "signkey-test-12345678"


@pytest.mark.parametrize(
    ("overrides", "environ", "expected"),
    [
        ({}, {}, {"dev": False, "kind": "cloud", "api_origin": None, "event_key": None, "signing_keys": ()}),
        ({}, {"STEPWELL_DEV": "1"}, {"dev": True, "api_origin": DEV_ORIGIN, "event_origin": DEV_ORIGIN}),
        ({}, {"INNGEST_DEV": "7"}, {"dev": True, "api_origin": DEV_ORIGIN}),
        ({}, {"INNGEST_DEV": "0"}, {"dev": False}),
        ({}, {"INNGEST_DEV": "true"}, {"dev": True, "event_key": DEV_EVENT_KEY}),
        ({}, {"STEPWELL_DEV": "0", "INNGEST_DEV": "1"}, {"dev": False}),
        ({}, {"STEPWELL_DEV": "http://10.0.0.2:9000/"}, {"dev": True, "api_origin": "http://10.0.0.2:9000"}),
        ({"dev": False}, {"STEPWELL_DEV": "http://10.0.0.2:9000"}, {"dev": False, "api_origin": None}),
        ({"dev": True}, {"STEPWELL_DEV": "0"}, {"dev": True, "api_origin": DEV_ORIGIN}),
        ({}, {"STEPWELL_DEV": " ", "INNGEST_DEV": "1"}, {"dev": True}),
        (
            {"base_url": "https://a.example/"},
            {"STEPWELL_API_BASE_URL": "https://b.example"},
            {"api_origin": "https://a.example"},
        ),
        (
            {},
            {"STEPWELL_BASE_URL": "https://a.example", "INNGEST_API_BASE_URL": "https://b.example"},
            {"api_origin": "https://b.example", "event_origin": "https://a.example"},
        ),
        (
            {},
            {"STEPWELL_EVENT_API_BASE_URL": "https://e.example"},
            {"api_origin": None, "event_origin": "https://e.example"},
        ),
        ({"event_key": "mine"}, {"STEPWELL_EVENT_KEY": "theirs"}, {"event_key": "mine"}),
        ({}, {"STEPWELL_EVENT_KEY": "ours", "INNGEST_EVENT_KEY": "theirs"}, {"event_key": "ours"}),
        ({}, {"INNGEST_SIGNING_KEY": KEY, "STEPWELL_SIGNING_KEY_FALLBACK": "ab"}, {"signing_keys": (KEY, "ab")}),
        ({"env": "pr-1"}, {"STEPWELL_ENV": "main"}, {"env": "pr-1"}),
        ({}, {"INNGEST_ENV": "main"}, {"env": "main"}),
        (
            {},
            {"STEPWELL_SERVE_ORIGIN": "https://x.example/", "STEPWELL_SERVE_PATH": "/f"},
            {"serve_origin": "https://x.example", "serve_path": "/f"},
        ),
        ({}, {}, {"streaming": "disable", "allow_in_band_sync": True}),
        ({}, {"STEPWELL_STREAMING": "allow"}, {"streaming": "allow"}),
        ({}, {"STEPWELL_STREAMING": "true"}, {"streaming": "allow"}),
        ({}, {"INNGEST_STREAMING": "FORCE"}, {"streaming": "force"}),
        ({}, {"STEPWELL_ALLOW_IN_BAND_SYNC": "false"}, {"allow_in_band_sync": False}),
        ({}, {}, {"checkpoint": True}),
        ({}, {"STEPWELL_CHECKPOINT": "off"}, {"checkpoint": False}),
    ],
)
def test_settings_come_from_the_first_source_that_has_them(
    overrides: dict[str, Any], environ: dict[str, str], expected: dict[str, Any]
) -> None:
    """An explicit option wins over a STEPWELL variable, which wins over the INNGEST one, and an empty one is unset."""
    settings = read_settings(Overrides(**overrides), environ)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("overrides", "environ", "named"),
    [
        ({}, {"STEPWELL_DEV": "maybe"}, 'STEPWELL_DEV is "maybe"'),
        ({}, {"INNGEST_DEV": "ftp://x"}, 'INNGEST_DEV is "ftp://x"'),
        ({"base_url": "server.example"}, {}, 'base_url is "server.example"'),
        ({"base_url": "https://"}, {}, "base_url"),
        ({}, {"STEPWELL_API_BASE_URL": "https://a.example?x=1"}, "STEPWELL_API_BASE_URL"),
        ({}, {"STEPWELL_STREAMING": "sometimes"}, "STEPWELL_STREAMING"),
        ({}, {"STEPWELL_ALLOW_IN_BAND_SYNC": "2"}, "STEPWELL_ALLOW_IN_BAND_SYNC"),
        ({"serve_path": "api"}, {}, 'write "/api"'),
        ({"signing_key": "signkey-test-nothex"}, {}, "signing_key: a signing key must look like"),
        ({}, {"STEPWELL_SIGNING_KEY_FALLBACK": "zz"}, "STEPWELL_SIGNING_KEY_FALLBACK: a signing key must look like"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_named(
    overrides: dict[str, Any], environ: dict[str, str], named: str
) -> None:
    """A wrong setting is refused with the option or variable it came from."""
    with pytest.raises(DefinitionError) as refused:
        read_settings(Overrides(**overrides), environ)
    assert named in str(refused.value)


def test_what_is_missing_is_said_when_it_is_needed() -> None:
    """Without a server or an event key the settings stand, and using them says what to set."""
    nothing = read_settings(Overrides(), {})
    with pytest.raises(DefinitionError, match="STEPWELL_BASE_URL"):
        nothing.api_url("/fn/register")
    with pytest.raises(DefinitionError, match="STEPWELL_EVENT_API_BASE_URL"):
        nothing.event_url()
    with pytest.raises(DefinitionError, match="STEPWELL_EVENT_KEY"):
        read_settings(Overrides(base_url="https://a.example"), {}).event_url()


@pytest.mark.parametrize("key", [".", "..", "a\udcff"])
def test_an_event_key_that_no_path_can_carry_is_refused(key: str) -> None:
    """The setting is named, in one line, before anything is sent."""
    with pytest.raises(DefinitionError, match=r"^STEPWELL_EVENT_KEY: an event key [^\n]+; choose another$"):
        read_settings(Overrides(), {"STEPWELL_EVENT_KEY": key})


def test_an_event_key_is_one_part_of_the_path() -> None:
    """Whatever is in the key, it stays between the slashes."""
    settings = read_settings(Overrides(base_url="https://a.example", event_key="a/b c"), {})
    assert settings.event_url() == "https://a.example/e/a%2Fb%20c"


def test_keys_do_not_show() -> None:
    """No representation of the settings contains a key, and a refused key is not quoted."""
    overrides = Overrides(event_key="sekret-1", signing_key=KEY, signing_key_fallback="abcdef")
    text = repr(overrides) + repr(read_settings(overrides, {}))
    assert not any(key in text for key in ("sekret-1", KEY, "abcdef"))
    with pytest.raises(DefinitionError) as refused:
        read_settings(Overrides(signing_key="signkey-test-oops"), {})
    assert "oops" not in str(refused.value)
