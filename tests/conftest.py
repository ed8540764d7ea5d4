"""What holds for every test: the same examples each time, and no setting of the person or machine that runs them."""

from __future__ import annotations

import os

import hypothesis

# A change fails for what it changed, not for an example that came up today; new examples are looked for with
# `pytest --hypothesis-profile=search`.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("steady")

# Here and not in a fixture: an app reads its settings when it is defined, which may be while tests are collected.
for name in [name for name in os.environ if name.startswith(("STEPWELL_", "INNGEST_"))]:
    del os.environ[name]
