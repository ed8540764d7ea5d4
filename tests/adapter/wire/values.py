"""Hypothesis strategies for JSON as it comes over the wire."""

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)


def json_values(*names):
    """Any JSON value; objects often have the given member names."""
    keys = st.one_of(st.sampled_from(names), texts) if names else texts
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=6)),
        max_leaves=12,
    )


objects = st.dictionaries(texts, json_values(), max_size=4)
