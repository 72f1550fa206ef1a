"""The LiteLLM callback under its documented name; the code is in `tracker.providers.frameworks.litellm`."""

from tracker.providers.frameworks.litellm import TokenTracker

__all__ = ["TokenTracker"]
