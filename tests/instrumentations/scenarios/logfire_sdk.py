"""Logfire's instrumentations of the OpenAI, Anthropic and Gemini clients."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "logfire"
PACKAGES = ("openai", "anthropic")


def setup(c: Any) -> None:
    import logfire

    # Logfire exports to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT by itself.
    logfire.configure(send_to_logfire=False, console=False, service_name="app", metrics=False, inspect_arguments=False)
    logfire.instrument_openai()
    logfire.instrument_anthropic()


async def pydantic_ai_twice(c: Any) -> None:
    """Pydantic AI and the client below it are both instrumented: two spans of each call."""
    import logfire
    import pydantic_ai_agent
    from pydantic_ai import Agent

    logfire.instrument_pydantic_ai()
    await Agent(pydantic_ai_agent.openai_model(c)).run("hi")


SCENARIOS = {
    **{f"openai_{name}": run for name, run in _calls.OPENAI.items()},
    **{f"anthropic_{name}": run for name, run in _calls.ANTHROPIC.items()},
    "pydantic_ai_twice": pydantic_ai_twice,
}
