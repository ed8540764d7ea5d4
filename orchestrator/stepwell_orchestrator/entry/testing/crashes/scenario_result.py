"""What a scenario came to, for comparison: how its runs ended, the events that were sent, and what it returned."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.encoding import canonical
from stepwell_orchestrator.entry.testing.record import Record
from stepwell_orchestrator.entry.testing.run import Run
from stepwell_orchestrator.terminal.display import one_line

INTERNAL: Final = "inngest/"
"""What the names of the engine's own events begin with."""
_VALUE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run ended. ``trigger`` is the event that started it; ``end`` says what came of it."""

    function: str
    trigger: str
    end: str
    over: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that came out otherwise: what, and what it was ``expected`` to be and ``found``. ``run``: whose."""

    what: str
    expected: str
    found: str
    run: int | None = None


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """``endings`` of the runs in order of creation, and ``events`` other than the engine's own."""

    returned: Any
    endings: tuple[Ending, ...]
    events: tuple[str, ...]


def result_of(record: Record, returned: Any) -> ScenarioResult:
    """What there is to see of an engine in the end. Run ids are replaced: they follow from chance and time."""
    labels = _labels(record.runs)
    endings = tuple(_ending(run, labels) for run in record.runs)
    # Of events with an id of their own only the first counts, here as in the engine.
    events = {(event.name, event.id): event for event in record.received if not event.name.startswith(INTERNAL)}
    return ScenarioResult(
        returned=_comparable(returned, labels),
        endings=endings,
        events=tuple(f"{event.name} {_text(event.data, labels)}" for event in events.values()),
    )


def differences(expected: ScenarioResult, found: ScenarioResult) -> list[Difference]:
    """Every difference between two results, what matters most first. The order of runs and events does not matter."""
    found_all = _in_runs(expected.endings, found.endings)
    sent, wanted = Counter(found.events), Counter(expected.events)
    for event in sorted(sent.keys() | wanted.keys()):
        if sent[event] != wanted[event]:
            found_all.append(Difference(f"the event {_clipped(event)}", _times(wanted[event]), _times(sent[event])))
    if not _same(expected.returned, found.returned):
        what = "what the scenario returned"
        found_all.append(Difference(what, _clipped(repr(expected.returned)), _clipped(repr(found.returned))))
    return found_all


def _in_runs(expected: Sequence[Ending], found: Sequence[Ending]) -> list[Difference]:
    """Runs are matched by function and event, then by order, once those that ended alike are put aside."""
    left: defaultdict[tuple[str, str], list[Ending]] = defaultdict(list)
    for ending in (Counter(expected) - Counter(found)).elements():
        left[ending.function, ending.trigger].append(ending)
    extra = Counter(found) - Counter(expected)
    result: list[Difference] = []
    for index, ending in reversed(list(enumerate(found))):
        if extra[ending] > 0:
            extra[ending] -= 1
            counterparts = left[ending.function, ending.trigger]
            result.insert(0, _difference(counterparts.pop() if counterparts else None, ending, index))
    lost = [ending for endings in left.values() for ending in endings]
    return result + [Difference(f"a run of {one.function} on {one.trigger}", one.end, "there is none") for one in lost]


def _difference(expected: Ending | None, found: Ending, index: int) -> Difference:
    if expected is None:
        return Difference(f"a run of {found.function} on {found.trigger}", "there is none", found.end, index)
    if expected.over and not found.over:
        return Difference(f"the run of {found.function} does not end", expected.end, found.end, index)
    return Difference(f"the run of {found.function} ends otherwise", expected.end, found.end, index)


def _labels(runs: Iterable[Run]) -> dict[str, str]:
    counts: Counter[str] = Counter()
    labels = {}
    for run in runs:
        counts[run.function] += 1
        labels[run.id] = f"<run {counts[run.function]} of {run.function}>"
    return labels


def _ending(run: Run, labels: dict[str, str]) -> Ending:
    event = run.event
    trigger = event.name if event.name.startswith(INTERNAL) else f"{event.name} {_text(event.data, labels)}"
    if run.completed:
        end = f"completed: {_text(run.output, labels)}"
    elif run.failed:
        end = f"failed: {_relabelled(str(run.error), labels)}"
    else:
        end = "cancelled" if run.cancelled else "has not ended"
    return Ending(run.function, _clipped(trigger), end, over=run.completed or run.failed or run.cancelled)


def _text(value: Any, labels: dict[str, str]) -> str:
    return _relabelled(canonical(value).decode(), labels)


def _relabelled(text: str, labels: dict[str, str]) -> str:
    for run_id, label in labels.items():
        text = text.replace(run_id, label)
    return text


def _comparable(returned: Any, labels: dict[str, str]) -> Any:
    """A run compares by what it came to, and nothing else that is returned is touched."""
    if isinstance(returned, Run):
        return _ending(returned, labels)
    if isinstance(returned, list | tuple):
        return [_comparable(member, labels) for member in returned]
    return returned


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _times(count: int) -> str:
    return "not sent" if count == 0 else "sent once" if count == 1 else f"sent {count} times"


def _clipped(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 1]}…"
