"""The document of everything that stands still."""

from __future__ import annotations

from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.flow import Halt, Halts, HaltScope


def halts_document(halts: Halts) -> bytes:
    """All halts with their scopes, in the scopes' order."""
    return encode([[*scope, members_of(halt)] for scope, halt in sorted(halts.by_scope.items())])


def read_halts(document: bytes) -> Halts:
    """The halts in a document."""
    return Halts({HaltScope(kind, name): Halt(**members) for kind, name, members in decode(document)})
