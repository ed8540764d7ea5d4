"""What a driver that died may have left undone, derived from what it had committed."""

from __future__ import annotations

from stepwell_orchestrator.engine.runs.ending import closing_commands
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.waiting import let_go_again, take
from stepwell_orchestrator.model.decision import Command
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus


def recover(run: Run, now_ms: int) -> tuple[Command, ...]:
    """Every command that must be outstanding for this run. Repeating one that is outstanding changes nothing."""
    run_id = run.header.run_id
    commands: list[Command] = [command for entry in run.steps.values() for command in let_go_again(run_id, entry)]
    if run.header.outcome is not None:
        return (*closing_commands(run), *commands)
    for entry in run.entries.values():
        if entry.pending:
            commands += _wake(run, entry, now_ms)
    retry_at_ms = run.header.progress.retry_at_ms
    if retry_at_ms is not None:
        commands.append(items.retry(run_id, retry_at_ms))
    return tuple(commands)


def _wake(run: Run, entry: StepEntry, now_ms: int) -> tuple[Command, ...]:
    if entry.status is StepStatus.WAITING:
        return take(run, entry)
    due_at_ms = now_ms if entry.due_at_ms is None else entry.due_at_ms
    if entry.status is StepStatus.SLEEPING:
        return (items.timer(run.header.run_id, entry.step_id, due_at_ms),)
    return (items.execute(run.header, entry.step_id, entry.attempt, due_at_ms),)
