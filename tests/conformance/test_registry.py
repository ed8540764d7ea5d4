from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.wire.registration import Trigger
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.ports import Registry

SHOP = App("shop", "http://127.0.0.1:8000/api/inngest", "stepwell:v0.1.0", "fastapi", "sum-1", 5)
MAIL = App("mail", "http://127.0.0.1:8001/api/inngest", "inngest-js:v4", "express", "sum-2", 6)


def a_function(slug: str, *events: str, app_id: str = "shop", **changes: Any) -> Function:
    """A function with a trigger for each event name."""
    triggers = tuple(Trigger(event=event) for event in events)
    return Function(slug, app_id, slug.title(), f"http://127.0.0.1:8000/?fnId={slug}", triggers, **changes)


def slugs(functions: list[Function]) -> list[str]:
    """Their slugs."""
    return [function.slug for function in functions]


async def test_an_app_comes_back_as_it_was_put(registry: Registry):
    """Every member of an app and of its functions survives storage."""
    whole = Function(
        "shop-whole",
        "shop",
        "Whole",
        "http://x",
        (Trigger("order/created", "event.data.x == 1"), Trigger(cron="TZ=Europe/London 0 9 * * 1", jitter="30s")),
        retries=0,
        options={"concurrency": [{"limit": 2, "key": "event.data.id"}], "idempotency": "event.data.id"},
    )
    bare = Function("shop-bare", "shop", "Bare", "http://y")
    assert await registry.put_app(SHOP, [whole, bare]) is True
    assert await registry.list_apps() == [SHOP]
    assert await registry.get_function("shop-whole") == whole
    assert await registry.get_function("shop-bare") == bare
    assert await registry.get_function("shop-none") is None


async def test_an_app_is_replaced_whole(registry: Registry):
    """A registration with another checksum replaces the app and all its functions: those left out are gone."""
    await registry.put_app(SHOP, [a_function("shop-a", "x"), a_function("shop-b", "x", "y")])
    changed = App("shop", "http://127.0.0.1:9000/", "stepwell:v0.2.0", "", "sum-9", 9)
    kept = a_function("shop-b", "z", retries=1)
    assert await registry.put_app(changed, [kept, a_function("shop-c", "y")]) is True
    assert await registry.list_apps() == [changed]
    assert slugs(await registry.list_functions()) == ["shop-b", "shop-c"]
    assert await registry.get_function("shop-b") == kept
    assert await registry.get_function("shop-a") is None
    assert slugs(await registry.functions_on(["x"])) == []
    assert slugs(await registry.functions_on(["y", "z"])) == ["shop-b", "shop-c"]


async def test_the_same_checksum_changes_nothing(registry: Registry):
    """A registration whose checksum is the stored one is not stored again."""
    await registry.put_app(SHOP, [a_function("shop-a", "x")])
    again = App("shop", "http://elsewhere/", "other", "", SHOP.checksum, 99)
    assert await registry.put_app(again, []) is False
    assert await registry.list_apps() == [SHOP]
    assert slugs(await registry.functions_on(["x"])) == ["shop-a"]


async def test_a_checksum_is_compared_with_the_current_one_alone(registry: Registry):
    """Going back to an earlier registration is a change."""
    other = App("shop", SHOP.url, SHOP.sdk, SHOP.framework, "sum-9", 9)
    await registry.put_app(SHOP, [a_function("shop-a", "x")])
    await registry.put_app(other, [])
    assert await registry.put_app(SHOP, [a_function("shop-a", "x")]) is True
    assert slugs(await registry.functions_on(["x"])) == ["shop-a"]


async def test_apps_do_not_touch_each_other(registry: Registry):
    """Replacing or removing an app leaves the others and their functions."""
    sends = a_function("mail-send", "x", app_id="mail")
    await registry.put_app(SHOP, [a_function("shop-a", "x")])
    await registry.put_app(MAIL, [sends])
    assert await registry.list_apps() == [MAIL, SHOP]
    assert await registry.remove_app(SHOP.url) is True
    assert await registry.list_apps() == [MAIL]
    assert await registry.functions_on(["x"]) == [sends]


async def test_a_removed_app_is_gone(registry: Registry):
    """A removed app leaves nothing behind, cannot be removed again, and can register anew unchanged."""
    await registry.put_app(SHOP, [a_function("shop-a", "x")])
    assert await registry.remove_app("http://unknown/") is False
    assert await registry.remove_app(SHOP.url) is True
    assert await registry.remove_app(SHOP.url) is False
    assert (await registry.list_apps(), await registry.list_functions()) == ([], [])
    assert await registry.functions_on(["x"]) == []
    assert await registry.put_app(SHOP, [a_function("shop-a", "x")]) is True


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["order/created"], ["shop-a", "shop-b"]),
        (["order/created", "order/*", "order/created.*"], ["shop-a", "shop-b", "shop-w"]),
        (["order/*"], ["shop-b", "shop-w"]),
        (["order"], []),
        (["order/%", "order/_reated", "ORDER/CREATED"], []),
        ([], []),
    ],
    ids=["a name", "a name and its wildcards", "a wildcard alone", "a prefix", "look-alikes", "nothing"],
)
async def test_functions_are_found_by_their_triggers(registry: Registry, patterns: list[str], expected: list[str]):
    """A function is found once, by slug, when one of its trigger events is one of the patterns to the letter."""
    await registry.put_app(
        SHOP,
        [
            a_function("shop-w", "order/*"),
            a_function("shop-b", "order/created", "order/*", "order/created"),
            a_function("shop-a", "order/created"),
            Function("shop-cron", "shop", "Cron", "http://x", (Trigger(cron="* * * * *"),)),
        ],
    )
    assert slugs(await registry.functions_on(pattern for pattern in patterns)) == expected


async def test_functions_are_listed_by_slug(registry: Registry):
    """Functions are listed in the order of their slugs, of all apps or of one."""
    await registry.put_app(SHOP, [a_function("shop-b"), a_function("shop-a")])
    await registry.put_app(MAIL, [a_function("mail-send", app_id="mail")])
    assert slugs(await registry.list_functions()) == ["mail-send", "shop-a", "shop-b"]
    assert slugs(await registry.list_functions("shop")) == ["shop-a", "shop-b"]
    assert await registry.list_functions("none") == []


async def test_a_slug_belongs_to_whoever_registered_it_last(registry: Registry):
    """When two apps spell the same slug the later registration has it, with its triggers alone."""
    short = App("a", "http://a/", "sdk", "", "sum-a", 1)
    long = App("a-b", "http://a-b/", "sdk", "", "sum-ab", 2)
    await registry.put_app(short, [a_function("a-b-c", "x", app_id="a")])
    await registry.put_app(long, [a_function("a-b-c", "y", app_id="a-b")])
    assert await registry.functions_on(["x"]) == []
    assert slugs(await registry.functions_on(["y"])) == ["a-b-c"]
    await registry.remove_app(short.url)
    assert slugs(await registry.list_functions("a-b")) == ["a-b-c"]


async def test_of_identical_registrations_one_changes_something(registry: Registry):
    """Of the same registration sent several times at once exactly one is a change."""
    answers = await asyncio.gather(*(registry.put_app(SHOP, [a_function("shop-a", "x")]) for _ in range(4)))
    assert sorted(answers) == [False, False, False, True]
