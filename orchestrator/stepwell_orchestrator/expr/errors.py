"""What can be wrong with an expression: its text, or one evaluation of it."""

from __future__ import annotations

from stepwell.errors import DefinitionError, StepwellError


class ExpressionError(DefinitionError):
    """An expression's text is refused. ``line`` and ``column`` count from 1 and point at the offending part."""

    def __init__(self, problem: str, *, line: int, column: int) -> None:
        super().__init__(f"expression, line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


class EvaluationError(StepwellError):
    """One evaluation ended in a CEL error, or exceeded its cost budget. It has no other effect."""
