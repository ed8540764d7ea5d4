"""The adapter's version and the name it gives itself on the wire (protocol 1.7)."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"

SDK: Final = f"stepwell-py:v{VERSION}"
"""The value of ``X-Inngest-Sdk`` and ``User-Agent``, and of ``sdk`` in a registration."""
