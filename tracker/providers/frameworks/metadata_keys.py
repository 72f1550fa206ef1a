"""The keys that frameworks add to an application's metadata, which are no properties of the application."""

from __future__ import annotations

import re

_FRAMEWORK_KEYS = re.compile(
    r"ls_|lc_|langgraph_|LANGSMITH_|LANGCHAIN_|__|(checkpoint_(id|ns)|is_langchain_root|revision_id)$"
)


def is_application_key(key: str) -> bool:
    """Whether a key of metadata may be the application's own, and not one of LangChain, LangGraph or LangSmith."""
    return _FRAMEWORK_KEYS.match(key) is None
