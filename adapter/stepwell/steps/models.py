"""Models to infer with: ``stepwell.ai.openai("gpt-4o-mini", api_key=...)``, for ``step.ai.infer`` (protocol 9.4).

Each says where a provider's request goes and how the key is given. The body stays the provider's own, as its reference
has it; what is OpenAI-compatible is ``openai`` with its ``base_url``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

ANTHROPIC_VERSION: Final = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Model:
    """A provider's model. ``format`` decides how the key is sent; ``body_model`` is put into a body that names none."""

    format: str
    url: str
    auth_key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body_model: str | None = None


def openai(
    model: str,
    *,
    api_key: str,
    base_url: str = "https://api.openai.com/v1",
    headers: Mapping[str, str] | None = None,
) -> Model:
    """Chat completions of OpenAI, or of anything that speaks them: ``base_url`` is what ``/chat/completions`` is at."""
    return Model("openai-chat", _at(base_url, "chat/completions"), api_key, headers or {}, model)


def anthropic(
    model: str,
    *,
    api_key: str,
    base_url: str = "https://api.anthropic.com/v1",
    headers: Mapping[str, str] | None = None,
) -> Model:
    """Messages of Anthropic."""
    versioned = {"anthropic-version": ANTHROPIC_VERSION, **(headers or {})}
    return Model("anthropic", _at(base_url, "messages"), api_key, versioned, model)


def gemini(
    model: str,
    *,
    api_key: str,
    base_url: str = "https://generativelanguage.googleapis.com/v1beta",
    headers: Mapping[str, str] | None = None,
) -> Model:
    """Content generation of Gemini; the model is part of the URL."""
    return Model("gemini", _at(base_url, f"models/{quote(model)}:generateContent"), api_key, headers or {})


def bedrock(
    model: str,
    *,
    api_key: str,
    region: str,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Model:
    """The Converse API of Amazon Bedrock, with a Bedrock API key; the model is part of the URL."""
    origin = base_url or f"https://bedrock-runtime.{region}.amazonaws.com"
    return Model("bedrock", _at(origin, f"model/{quote(model, safe='')}/converse"), f"Bearer {api_key}", headers or {})


def _at(base_url: str, path: str) -> str:
    return f"{base_url.rstrip('/')}/{path}"
