"""How large and how deep a query may be, reckoned before anything of it is carried out."""

from __future__ import annotations

from typing import Final

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode

TOKENS_MAX: Final = 5_000
DEPTH_MAX: Final = 20
FIELDS_MAX: Final = 1_000


def excess(document: DocumentNode) -> str | None:
    """What is too much about a document, or None. Fragments count wherever they are spread.

    It is asked before the document is validated, which takes longer; what is not valid counts for nothing.
    """
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    known: dict[str, tuple[int, int]] = {}
    for definition in document.definitions:
        selection_set = getattr(definition, "selection_set", None)
        if selection_set is None or isinstance(definition, FragmentDefinitionNode):
            continue
        depth, fields = _measure(selection_set, fragments, known)
        if depth > DEPTH_MAX:
            return f"the query is {depth} levels deep; the limit is {DEPTH_MAX}"
        if fields > FIELDS_MAX:
            return f"the query has {fields} fields; the limit is {FIELDS_MAX}"
    return None


def _measure(
    selection_set: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, tuple[int, int]],
) -> tuple[int, int]:
    """Depth and number of fields."""
    deepest, total = 0, 0
    for selection in selection_set.selections:
        own = 1 if isinstance(selection, FieldNode) else 0
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in fragments and name not in known:
                known[name] = 0, 0  # for a fragment within itself
                known[name] = _measure(fragments[name].selection_set, fragments, known)
            depth, fields = known.get(name, (0, 0))
        else:
            inner: SelectionSetNode | None = getattr(selection, "selection_set", None)
            depth, fields = (0, 0) if inner is None else _measure(inner, fragments, known)
        deepest, total = max(deepest, own + depth), total + own + fields
    return deepest, total
