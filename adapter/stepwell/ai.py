"""Models to infer with: ``stepwell.ai.openai("gpt-4o-mini", api_key=...)``, for ``step.ai.infer``."""

from __future__ import annotations

from stepwell.steps.models import ANTHROPIC_VERSION, Model, anthropic, bedrock, gemini, openai

__all__ = ["ANTHROPIC_VERSION", "Model", "anthropic", "bedrock", "gemini", "openai"]
