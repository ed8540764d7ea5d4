"""Cron lines (protocol 6.11)."""

from __future__ import annotations

import pytest

from stepwell.errors import WireError
from stepwell.wire.cron import ZoneError, read_cron


@pytest.mark.parametrize(
    ("text", "zone", "fields"),
    [
        ("0 9 * * 1", "UTC", "0 9 * * 1"),
        ("TZ=Europe/London 0 9 * * 1", "Europe/London", "0 9 * * 1"),
        ("CRON_TZ=Asia/Tokyo   5 4 * * *", "Asia/Tokyo", "5 4 * * *"),
        ("  0   9 * * 1 ", "UTC", "0 9 * * 1"),
        ("TZ=America/New_York @daily", "America/New_York", "0 0 * * *"),
        ("@yearly", "UTC", "0 0 1 1 *"),
        ("@annually", "UTC", "0 0 1 1 *"),
        ("@monthly", "UTC", "0 0 1 * *"),
        ("@weekly", "UTC", "0 0 * * 0"),
        ("@midnight", "UTC", "0 0 * * *"),
        ("@hourly", "UTC", "0 * * * *"),
        ("*/15 */6 * * *", "UTC", "*/15 */6 * * *"),
        ("?/15 ? ? ? ?", "UTC", "*/15 * * * *"),
        ("*/1 0-23 1-31 1-12 0-6", "UTC", "* * * * *"),
        ("*,5 1,* * * *", "UTC", "* * * * *"),
        ("10-50/20 22-23,1 1/10 jan-MAR,6 sun,Wed", "UTC", "10,30,50 1,22,23 1,11,21,31 1,2,3,6 0,3"),
        ("50/5 * */10 */6 1/2", "UTC", "50,55 * 1,11,21,31 1,7 1,3,5"),
        ("0 0 29 2 *", "UTC", "0 0 29 2 *"),
        ("0 0 30 2 5", "UTC", "0 0 30 2 5"),
    ],
)
def test_what_a_line_says(text: str, zone: str, fields: str):
    """Names, words, ranges, steps, lists and zones are read, and come out as numbers that every parser reads alike."""
    line = read_cron(text)
    assert (line.zone, line.text) == (zone, fields)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a cron has five fields"),
        ("* * * *", "a cron has five fields"),
        ("0 * * * * *", "a cron has five fields"),
        ("@every 5m", "a cron has five fields"),
        ("@fortnightly", 'or is a word such as "@daily", got "@fortnightly"'),
        ("60 * * * *", '"60" is not a minute (0-59) in the cron "60 * * * *"'),
        ("-1 * * * *", '"-1" is not a minute'),
        ("* 24 * * *", '"24" is not a hour (0-23)'),
        ("* 5-2 * * *", '"5-2" is not a hour (0-23)'),
        ("* * 0 * *", '"0" is not a day of month (1-31)'),
        ("* * L * *", '"L" is not a day of month (1-31)'),
        ("* * * 13 *", '"13" is not a month (1-12 or jan-dec)'),
        ("* * * * 7", '"7" is not a day of week (0-6 or sun-sat)'),
        ("* * * * mon#2", '"mon#2" is not a day of week'),
        ("*/0 * * * *", '"*/0" is not a minute'),
        ("*/ * * * *", '"*/" is not a minute'),
        ("*5 * * * *", '"*5" is not a minute'),
        ("1,,2 * * * *", '"1,,2" is not a minute'),
        ("٣ * * * *", '"٣" is not a minute'),
        ("0 0 30 2 *", 'the cron "0 0 30 2 *" never ticks: none of its months has a day 30'),
        ("0 0 31 feb,apr *", "never ticks: none of its months has a day 31"),
        ("0 0 * * " + ",".join("1" * 130), "characters; the limit is 255"),
    ],
)
def test_what_is_no_line(text: str, problem: str):
    """A line that cannot be read, or never ticks, is refused naming its field."""
    with pytest.raises(WireError) as caught:
        read_cron(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "/etc/localtime", "Europe"])
def test_a_zone_that_does_not_exist(zone: str):
    """A zone that the system does not know is refused as that."""
    with pytest.raises(ZoneError, match="there is no time zone"):
        read_cron(f"TZ={zone} 0 9 * * 1")


@pytest.mark.parametrize(
    ("text", "either"), [("0 0 1 * *", False), ("0 0 * * 1", False), ("0 0 1 * 1", True), ("0 0 */2 * 1", True)]
)
def test_two_kinds_of_days(text: str, either: bool):
    """Only a line that restricts both day fields takes a day that is in one of them."""
    assert read_cron(text).either_day is either
