"""The server's environment."""

from __future__ import annotations

import pytest

from stepwell.errors import DefinitionError
from stepwell_orchestrator.entry.settings import ServerSettings, point_apps_at, read_settings


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ServerSettings()),
        ({"STEPWELL_EVENT_KEYS": " one, two,", "STEPWELL_SIGNING_KEYS": ""}, ServerSettings(event_keys=("one", "two"))),
        (
            {"STEPWELL_SIGNING_KEYS": "signkey-a-00ff", "STEPWELL_LOG_LEVEL": "debug"},
            ServerSettings(signing_keys=("signkey-a-00ff",), log_level="DEBUG"),
        ),
        ({"STEPWELL_GATEWAY_ALLOW": "a, 10.0.0.0/8"}, ServerSettings(gateway_allow=("a", "10.0.0.0/8"))),
    ],
)
def test_settings_are_read(environ: dict[str, str], expected: ServerSettings) -> None:
    """Keys are lists with commas, and the log level may be written in any case."""
    assert read_settings(environ) == expected


def test_unknown_log_level_is_refused() -> None:
    """A log level that does not exist is told with the ones that do."""
    with pytest.raises(DefinitionError, match='STEPWELL_LOG_LEVEL is "LOUD"; set it to DEBUG, INFO, WARNING or ERROR'):
        read_settings({"STEPWELL_LOG_LEVEL": "loud"})


def test_a_place_that_cannot_be_allowed_is_refused() -> None:
    """What names no host, address or network stops the server before it begins."""
    with pytest.raises(DefinitionError, match=r'STEPWELL_GATEWAY_ALLOW has "10\.0\.0\.0/99"'):
        read_settings({"STEPWELL_GATEWAY_ALLOW": "10.0.0.0/99"})


def test_an_event_key_that_no_path_can_carry_is_refused() -> None:
    """A key that clients would take for a folder stops the server before it begins."""
    with pytest.raises(DefinitionError, match=r'^STEPWELL_EVENT_KEYS: an event key cannot be "\.\."'):
        read_settings({"STEPWELL_EVENT_KEYS": "a/b,.."})


def test_keys_do_not_show_in_a_repr() -> None:
    """Keys stay out of logs."""
    settings = read_settings({"STEPWELL_EVENT_KEYS": "secret", "STEPWELL_SIGNING_KEYS": "secret"})
    assert "secret" not in repr(settings)


def test_loaded_apps_are_pointed_at_this_server() -> None:
    """An app that is loaded finds this server and needs no keys, whatever the shell says."""
    environ = {"STEPWELL_BASE_URL": "https://production.example"}
    point_apps_at("http://127.0.0.1:8288", environ)
    assert environ == {"STEPWELL_DEV": "1", "STEPWELL_BASE_URL": "http://127.0.0.1:8288"}
