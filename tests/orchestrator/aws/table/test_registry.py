from __future__ import annotations

import random
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.registration import Trigger
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.aws.table.registry import DynamoRegistry
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.function import App, Function
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Do, Fault, conflict_in_transaction, lost_reply, refused, repeated

SHOP = App("shop", "http://shop/", "sdk", "", "sum-1", 5)
MAIL = App("mail", "http://mail/", "sdk", "", "sum-2", 6)


@pytest.fixture
def registry(bed: Bed) -> DynamoRegistry:
    return bed.backend().registry


def a_function(slug: str, event: str = "x", app_id: str = "shop", **options: Any) -> Function:
    """A function with one trigger."""
    return Function(slug, app_id, slug, f"http://{app_id}/{slug}", (Trigger(event=event),), options=options)


def a_large_function(slug: str, seed: int, size: int) -> Function:
    """A function that cannot be compressed."""
    return a_function(slug, noise=random.Random(seed).randbytes(size).hex())


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Do something, calls and all, within another call."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited for something")


def after(work: Coroutine[Any, Any, Any]) -> Fault:
    """Another process does something just before a call."""

    def fault(do: Do, _: str) -> dict[str, Any]:
        at_once(work)
        return do()

    return fault


def before(work: Coroutine[Any, Any, Any]) -> Fault:
    """Another process does something just after a call."""

    def fault(do: Do, _: str) -> dict[str, Any]:
        response = do()
        at_once(work)
        return response

    return fault


def calls(bed: Bed) -> list[str]:
    """What was asked of the table since last asked."""
    names = [name for name, _ in bed.dynamodb.calls]
    bed.dynamodb.calls.clear()
    return names


def slugs(functions: list[Function]) -> list[str]:
    """Their slugs."""
    return [function.slug for function in functions]


async def test_what_has_not_changed_is_read_once(bed: Bed, registry: DynamoRegistry):
    """A process reads the apps once; from then on a look-up is one consistent read of one small item, each second."""
    await registry.put_app(SHOP, [a_function("shop-a")])
    calls(bed)
    for process in (registry, bed.backend().registry):
        assert slugs(await process.functions_on(["x"])) == ["shop-a"]
        assert calls(bed) == ["get_item", "query"]
        for _ in range(3):
            await bed.clock.advance(SECOND_MS)
            for _ in range(5):
                assert await process.get_function("shop-a") == a_function("shop-a")
                assert slugs(await process.functions_on(["x"])) == ["shop-a"]
        assert all(parameters["ConsistentRead"] for _, parameters in bed.dynamodb.calls)
        assert calls(bed) == ["get_item"] * 3


async def test_a_change_of_another_process_is_seen_within_a_second(bed: Bed, registry: DynamoRegistry):
    """Whatever one process registers or removes, any other sees a second later, and the one itself at once."""
    other = bed.backend().registry
    await registry.put_app(SHOP, [a_function("shop-a")])
    assert slugs(await other.list_functions()) == ["shop-a"]
    await registry.put_app(replace(SHOP, checksum="sum-9"), [a_function("shop-b")])
    assert slugs(await registry.functions_on(["x"])) == ["shop-b"]
    await bed.clock.advance(SECOND_MS - 1)
    assert slugs(await other.functions_on(["x"])) == ["shop-a"]
    await bed.clock.advance(1)
    assert slugs(await other.functions_on(["x"])) == ["shop-b"]
    await other.remove_app(SHOP.url)
    assert await other.get_function("shop-b") is None
    await bed.clock.advance(SECOND_MS)
    assert await registry.get_function("shop-b") is None


async def test_a_function_that_is_not_known_is_looked_for(bed: Bed, registry: DynamoRegistry):
    """A function that another process registered is found by its slug at once, however lately this one has read."""
    other = bed.backend().registry
    assert await other.get_function("shop-a") is None
    await registry.put_app(SHOP, [a_function("shop-a")])
    assert await other.get_function("shop-a") == a_function("shop-a")


async def test_registering_what_is_registered_writes_nothing(bed: Bed, registry: DynamoRegistry):
    """An unchanged checksum costs a read."""
    await registry.put_app(SHOP, [a_function("shop-a")])
    assert await registry.put_app(SHOP, []) is False
    calls(bed)
    assert await registry.put_app(SHOP, []) is False
    assert calls(bed) == ["get_item"]


async def test_two_apps_put_at_the_same_time_both_survive(bed: Bed, registry: DynamoRegistry):
    """An app that another process registers between the read and the write of this one stays, and so does this one."""
    other = bed.backend().registry
    bed.dynamodb.plan("transact_write_items", after(other.put_app(MAIL, [a_function("mail-a", app_id="mail")])))
    assert await registry.put_app(SHOP, [a_function("shop-a")]) is True
    for process in (registry, other, bed.backend().registry):
        assert await process.list_apps() == [MAIL, SHOP]
        assert slugs(await process.functions_on(["x"])) == ["mail-a", "shop-a"]


async def test_an_app_put_twice_at_the_same_time_changes_once(bed: Bed, registry: DynamoRegistry):
    """Of the same registration by two processes at once one is told that it changed nothing."""
    other = bed.backend().registry
    bed.dynamodb.plan("transact_write_items", after(other.put_app(SHOP, [a_function("shop-a")])))
    assert await registry.put_app(SHOP, [a_function("shop-a")]) is False


async def test_another_transaction_in_the_way_is_waited_out(bed: Bed, registry: DynamoRegistry):
    """A write that meets another one's transaction is done again."""
    bed.dynamodb.plan("transact_write_items", conflict_in_transaction(2), refused("TransactionInProgressException"))
    assert await registry.put_app(SHOP, []) is True


async def test_a_registry_that_never_stands_still_is_told(bed: Bed, registry: DynamoRegistry):
    """A registration that others are ahead of time and again gives up and says what to do."""
    other = bed.backend().registry
    rivals = [after(other.put_app(replace(MAIL, checksum=str(n)), [])) for n in range(10)]
    bed.dynamodb.plan("transact_write_items", *(fault for rival in rivals for fault in (rival, lambda do, _: do())))
    with pytest.raises(StoreError, match="changed by others 10 times in a row; try again"):
        await registry.put_app(SHOP, [])
    assert await registry.list_apps() == [replace(MAIL, checksum="9")]


async def test_a_lost_reply_finds_itself_done(bed: Bed, registry: DynamoRegistry):
    """A registration or removal that the client library repeats was done once, and says that it was."""
    bed.dynamodb.plan("transact_write_items", repeated, repeated)
    assert await registry.put_app(SHOP, [a_function("shop-a")]) is True
    assert await registry.remove_app(SHOP.url) is True
    assert await registry.list_apps() == []


async def test_a_registration_that_failed_can_be_repeated(bed: Bed, registry: DynamoRegistry):
    """When the reply is lost for good the caller is told; a repeat finds that nothing is left to change."""
    bed.dynamodb.plan("transact_write_items", lost_reply)
    with pytest.raises(AwsError):
        await registry.put_app(SHOP, [a_function("shop-a")])
    assert await registry.put_app(SHOP, [a_function("shop-a")]) is False
    assert slugs(await registry.functions_on(["x"])) == ["shop-a"]


@pytest.mark.parametrize("operation", ["get_item", "query", "transact_write_items"])
async def test_a_throttle_is_told_and_changes_nothing(bed: Bed, registry: DynamoRegistry, operation: str):
    """Whichever call is throttled, the caller is told so, nothing is registered, and a repeat registers."""
    await registry.put_app(MAIL, [])
    fresh = bed.backend().registry
    bed.dynamodb.plan(operation, refused("ThrottlingException"))
    with pytest.raises(AwsError) as error:
        await fresh.put_app(SHOP, [])
    assert error.value.throttled
    assert await registry.list_apps() == [MAIL]
    assert await fresh.put_app(SHOP, []) is True


async def test_a_change_while_the_apps_are_read_is_not_missed(bed: Bed, registry: DynamoRegistry):
    """What is registered between the look at the counter and the reading of the apps, or after it, is seen next."""
    other = bed.backend().registry
    await other.put_app(SHOP, [a_function("shop-a")])
    bed.dynamodb.plan("get_item", before(other.put_app(replace(SHOP, checksum="2"), [a_function("shop-b")])))
    assert slugs(await registry.list_functions()) == ["shop-b"]
    bed.dynamodb.plan("query", before(other.put_app(replace(SHOP, checksum="3"), [a_function("shop-c")])))
    assert slugs(await registry.list_functions()) == ["shop-b"]
    assert slugs(await registry.list_functions()) == ["shop-c"]


async def test_the_last_to_register_a_slug_has_it_in_every_process(bed: Bed, registry: DynamoRegistry):
    """Who registered last is stored: a process that starts later decides as the others do."""
    short, long = replace(SHOP, id="a"), replace(MAIL, id="a-b")
    first = a_function("a-b-c", "x", "a")
    await registry.put_app(short, [first])
    await registry.put_app(long, [a_function("a-b-c", "y", "a-b")])
    for process in (registry, bed.backend().registry):
        assert (await process.functions_on(["x"]), slugs(await process.functions_on(["y"]))) == ([], ["a-b-c"])
        assert await process.list_functions("a") == []
    await registry.put_app(replace(short, checksum="again"), [first])
    assert await bed.backend().registry.get_function("a-b-c") == first
    await registry.remove_app(short.url)
    assert slugs(await bed.backend().registry.functions_on(["y"])) == ["a-b-c"]


async def test_an_app_of_any_size_is_one(bed: Bed, registry: DynamoRegistry):
    """An app too large for one item comes back whole, and replaced by a small one leaves nothing behind."""
    large = [a_large_function(f"shop-{number}", number, 200_000) for number in range(3)]
    await registry.put_app(SHOP, large)
    other = bed.backend().registry
    assert await other.list_functions() == large
    assert await registry.put_app(replace(SHOP, checksum="sum-9"), [a_function("shop-a")]) is True
    assert slugs(await other.list_functions()) == ["shop-a"]
    assert await registry.remove_app(SHOP.url) is True
    items = bed.dynamodb.client.scan(TableName=bed.names.table)["Items"]
    assert [item["sk"]["S"] for item in items] == ["v"]


async def test_an_app_is_never_read_half_replaced(bed: Bed, registry: DynamoRegistry):
    """When parts of a large app are replaced while they are read, they are read again."""
    old = [a_large_function("shop-a", 1, 500_000)]
    new = [a_large_function("shop-a", 2, 500_000)]
    await registry.put_app(SHOP, old)

    def torn(do: Do, _: str) -> dict[str, Any]:
        first = do()["Items"]
        at_once(bed.backend().registry.put_app(replace(SHOP, checksum="sum-9"), new))
        second = do()["Items"]
        return {"Items": [first[0], *second[1:]]}

    def missing(do: Do, _: str) -> dict[str, Any]:
        return {"Items": do()["Items"][1:]}

    bed.dynamodb.plan("query", torn, missing)
    assert await bed.backend().registry.list_functions() == new


async def test_an_app_that_no_transaction_takes_is_refused(bed: Bed, registry: DynamoRegistry):
    """An app of more than 3.8 MB, compressed, is refused with its size and what to do; nothing changes."""
    enormous = [a_large_function(f"shop-{number}", number, 1_500_000) for number in range(3)]
    with pytest.raises(StoreError, match=r'app "shop" takes .* bytes to register, more than 3850000: split it'):
        await registry.put_app(SHOP, enormous)
    assert await registry.list_apps() == []


async def test_an_app_may_have_any_name(registry: DynamoRegistry):
    """Names too long for a key, and those that look like others, are apps of their own."""
    apps = [replace(SHOP, id=app_id, url=f"http://{n}/") for n, app_id in enumerate(["x" * 5_000, "#", "a#00", "v"])]
    for app in apps:
        assert await registry.put_app(app, [])
    assert await registry.list_apps() == sorted(apps, key=lambda app: app.id)
