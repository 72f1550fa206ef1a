"""The LangChain callback under its documented name; the code is in `tracker.providers.frameworks.langchain`."""

from tracker.providers.frameworks.langchain import TokenTracker

__all__ = ["TokenTracker"]
