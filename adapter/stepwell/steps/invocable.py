"""What ``step.invoke`` needs to know of a function."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

T_co = TypeVar("T_co", covariant=True)


@runtime_checkable
class Invocable(Protocol[T_co]):
    """A function whose runs give a T: as a step may invoke it."""

    @property
    def slug(self) -> str:
        """Its id on the wire, ``<app id>-<function id>``."""
        ...

    def restore(self, value: Any, what: str) -> T_co:
        """What a run of it gave, in the type it is annotated with.

        ``what`` begins the message of an EncodingError, raised when the JSON ``value`` does not fit the type.
        """
        ...
