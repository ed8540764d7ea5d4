from __future__ import annotations

import asyncio
import base64
import builtins
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stepwell
from stepwell.errors import DefinitionError, NonRetriableError
from stepwell.middleware import Encryption
from stepwell.middleware.envelopes import MARK, Keyring
from stepwell.middleware.hooks import Chain
from stepwell.testing import Engine
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from tests.adapter.executing.support import Fn, call, data, failure, only, result
from tests.adapter.middleware.vault import NEW, OLD, SECRET, Card, CardData, Paid, give, vault

APP: Any = SimpleNamespace(id="app")


def envelopes(value: Any) -> Iterator[dict[str, Any]]:
    """The envelopes anywhere in a JSON value."""
    if isinstance(value, dict):
        if MARK in value:
            yield value
        for member in value.values():
            yield from envelopes(member)


def encrypted(handler: Any, *keys: str | bytes, **options: Any) -> Fn:
    """A function whose calls are encrypted with ``keys``."""
    return Fn(handler, middleware=Chain(APP, (Encryption(keys, **options),)))


async def one_step(ctx: stepwell.Context) -> Any:
    return await ctx.step.run("a", give, SECRET)


def contents_of(folder: Path) -> bytes:
    """Every byte of the database and the files beside it."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("checkpoint", [True, False])
async def test_nothing_secret_is_in_the_file(tmp_path: Path, checkpoint: bool) -> None:
    """A run that takes a secret through event, steps, invocation, wait and result leaves none of it in its file."""
    path = tmp_path / "journal.db"
    ends: asyncio.Queue[Notice] = asyncio.Queue()
    app = vault(checkpoint=checkpoint)
    async with Embedded(path, observe=ends.put_nowait) as engine:
        await engine.serve(app)
        await app.send(Paid(data=CardData(order="o1", card=Card(number=SECRET))))
        over = {NoticeKind.RUN_COMPLETED, NoticeKind.RUN_FAILED}
        seen: list[NoticeKind] = []
        async with asyncio.timeout(60):
            while len(seen) < 2:
                notice = await ends.get()
                seen += [notice.kind] if notice.kind in over else []
        assert seen == [NoticeKind.RUN_COMPLETED] * 2
        stored = contents_of(tmp_path)
    stored += contents_of(tmp_path)
    assert MARK.encode() in stored
    assert b"card/told" in stored
    assert SECRET.encode() not in stored


async def test_an_engine_under_test_encrypts_as_well(engine: Engine) -> None:
    """In a test the same is stored as anywhere else, and functions get what they would."""
    app = stepwell.App("vault", dev=True, middleware=[Encryption([NEW])])
    got: list[Any] = []

    @app.function(on="a/b")
    async def handler(ctx: stepwell.Context) -> Any:
        got.append(await ctx.step.run("a", give, SECRET))
        return await ctx.step.run("b", give, [SECRET])

    engine.serve(app)
    run = await engine.send_one("a/b")
    assert run.completed
    assert SECRET in got
    assert list(envelopes(run.step("a").output))
    assert list(envelopes(run.output))


async def test_failures_are_handled_in_clear(engine: Engine) -> None:
    """What handles a failure gets the event of the run that failed decrypted, nested as it is."""
    got: list[Any] = []
    app = stepwell.App("vault", dev=True, middleware=[Encryption([NEW], event_fields=["card"])])

    async def mourn(ctx: stepwell.Context) -> None:
        got.append(ctx.event.data["event"]["data"]["card"])

    @app.function(on="card/unlucky", retries=0, on_failure=mourn)
    async def unlucky(ctx: stepwell.Context) -> None:
        raise ValueError("no luck")

    @app.function(on="card/sent")
    async def sends(ctx: stepwell.Context) -> None:
        await ctx.step.send_event("s", stepwell.Event(name="card/unlucky", data={"card": SECRET}))

    engine.serve(app)
    await engine.send_one("card/sent")
    await engine.settle()
    assert got == [SECRET]
    (sent,) = engine.sent("card/unlucky")
    assert list(envelopes(sent.data))


async def test_a_replay_gives_what_was_encrypted() -> None:
    """A stored result comes back decrypted; two encryptions of it differ."""
    first = only(await call(encrypted(one_step, NEW))).data
    second = only(await call(encrypted(one_step, NEW))).data
    assert first != second
    finished = result(await call(encrypted(one_step, NEW), {"a": data(first)}))
    assert Keyring([NEW]).opened(finished, ("result",)) == SECRET


async def test_values_from_before_pass() -> None:
    """Results and events that were stored in clear are read as they are."""

    async def handler(ctx: stepwell.Context) -> Any:
        return [ctx.event.data["n"], await ctx.step.run("a", give, 1)]

    finished = result(await call(encrypted(handler, NEW), {"a": data("clear")}))
    assert Keyring([NEW]).opened(finished, ("result",)) == [1, "clear"]


async def test_keys_are_rotated() -> None:
    """The first key encrypts, every key decrypts."""
    stored = only(await call(encrypted(one_step, OLD))).data
    outcome = result(await call(encrypted(one_step, NEW, OLD), {"a": data(stored)}))
    new_id, old_id = Keyring([NEW, OLD]).ids
    assert (stored["key"], outcome["key"]) == (old_id, new_id)


async def test_a_missing_key_is_named() -> None:
    """Without the key of a stored value the call fails for good, and says which key it was."""
    stored = only(await call(encrypted(one_step, OLD))).data
    failed = failure(await call(encrypted(one_step, NEW), {"a": data(stored)}))
    assert failed.no_retry
    assert f'encrypted with the key "{stored["key"]}", which is not among those here' in failed.error.message


async def test_values_cannot_be_swapped() -> None:
    """The result of one step is refused in the place of another's, of another function's and when it was changed."""
    stored = only(await call(encrypted(one_step, NEW))).data

    async def other_step(ctx: stepwell.Context) -> Any:
        return await ctx.step.run("b", give, 1)

    swapped = failure(await call(encrypted(other_step, NEW), {"b": data(stored)}))
    assert (swapped.no_retry, "cannot be decrypted" in swapped.error.message) == (True, True)
    changed = stored | {MARK: base64.b64encode(base64.b64decode(stored[MARK])[:-1] + b"x").decode()}
    wrong = [changed, stored | {MARK: "?"}, stored | {MARK: 7}, stored | {"for": "field"}]
    place = ("step", "app-fn", hash_step_id("a"))
    assert Keyring([NEW]).opened(stored, place) == SECRET
    for value in wrong[:3]:
        with pytest.raises(NonRetriableError, match="cannot be decrypted"):
            Keyring([NEW]).opened(value, place)
    with pytest.raises(NonRetriableError, match="cannot be decrypted"):
        Keyring([NEW]).opened(stored, ("step", "app-other", hash_step_id("a")))
    field = Keyring([NEW]).sealed(1, ("field", "card"))
    assert Keyring([NEW]).opened({"card": field}, ()) == {"card": 1}
    with pytest.raises(NonRetriableError, match="cannot be decrypted"):
        Keyring([NEW]).opened({"name": field}, ())


async def test_fields_are_chosen() -> None:
    """Of an event's data the named fields are encrypted, or all of them; the others, and the name, stay in clear."""
    sent: list[Any] = []

    class Sends:
        async def send_events(self, events: Any, seed: Any) -> list[str]:
            sent.extend(events)
            return ["1"]

    for fields in ([], ["card"], ["*"]):
        app = stepwell.App("vault", dev=True, middleware=[Encryption([NEW], event_fields=fields)])
        app.transport = Sends()  # type: ignore[assignment]
        await app.send(stepwell.Event(name="a/b", data={"card": SECRET, "order": "o1"}))
    hidden = [sorted(name for name, value in event["data"].items() if isinstance(value, dict)) for event in sent]
    assert hidden == [[], ["card"], ["card", "order"]]
    assert sent[1]["data"]["order"] == "o1"


@pytest.mark.parametrize(
    ("keys", "options", "problem"),
    [
        ([], {}, "at least one key"),
        (["short"], {}, "key 1 must be 32 bytes"),
        ([NEW, b"short"], {}, "key 2 must be 32 bytes"),
        ([7], {}, "key 1 must be 32 bytes"),
        (OLD, {}, r"write Encryption\(\[key\]\)"),
        ([NEW], {"event_fields": "card"}, "are lists"),
    ],
)
def test_wrong_options_are_refused(keys: Any, options: Any, problem: str) -> None:
    """Keys that are none and options of the wrong kind are refused at once, and no key is in the message."""
    with pytest.raises(DefinitionError, match=problem) as raised:
        Encryption(keys, **options)
    assert OLD not in str(raised.value)


def test_keys_do_not_show(caplog: pytest.LogCaptureFixture) -> None:
    """The repr names keys by their ids alone."""
    caplog.set_level(logging.DEBUG)
    shown = repr(Encryption([OLD], event_fields=["card"]))
    assert OLD not in shown
    assert Keyring([OLD]).ids[0] in shown


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``cryptography`` the error says which extra to install."""
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError("No module", name="cryptography")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'needs cryptography, which is not installed; run: pip install "stepwell\['):
        Encryption([NEW])
