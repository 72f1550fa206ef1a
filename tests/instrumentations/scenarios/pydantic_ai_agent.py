"""Pydantic AI with its own instrumentation."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import _calls

LIBRARY = "pydantic-ai-slim"
PACKAGES = ("openai", "anthropic", "google-genai")


def setup(c: Any) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings

    Agent.instrument_all(InstrumentationSettings(tracer_provider=c.provider()))


def openai_model(c: Any, responses: bool = False) -> Any:
    from openai import AsyncOpenAI
    from pydantic_ai.models import openai
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(base_url=f"{c.api}/v1", api_key="key", max_retries=0)
    kind = openai.OpenAIResponsesModel if responses else openai.OpenAIChatModel
    return kind("gpt-5-mini", provider=OpenAIProvider(openai_client=client))


def _anthropic(c: Any) -> Any:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(base_url=c.api, api_key="key", max_retries=0)
    return AnthropicModel(_calls.CLAUDE, provider=AnthropicProvider(anthropic_client=client))


def _google(c: Any) -> Any:
    from google import genai
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    client = genai.Client(api_key="key", http_options={"base_url": c.api})
    return GoogleModel(_calls.GEMINI, provider=GoogleProvider(client=client))


async def _run(model: Any) -> None:
    from pydantic_ai import Agent

    agent = Agent(model)
    await agent.run("hi")
    async with agent.run_stream("hi") as run:
        async for _ in run.stream_text():
            pass


async def openai(c: Any) -> None:
    await _run(openai_model(c))


async def openai_responses(c: Any) -> None:
    await _run(openai_model(c, responses=True))


async def anthropic(c: Any) -> None:
    await _run(_anthropic(c))


async def gemini(c: Any) -> None:
    await _run(_google(c))


async def agent_with_tool(c: Any) -> None:
    from pydantic_ai import Agent

    agent = Agent(_anthropic(c), name="weather_agent")

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    await agent.run("use the tool")


async def errors(c: Any) -> None:
    from pydantic_ai import Agent

    for model in (openai_model(c), _anthropic(c)):
        with suppress(Exception):
            await Agent(model).run("fail 429")
    with suppress(Exception):
        async with Agent(openai_model(c)).run_stream("cut stream") as run:
            async for _ in run.stream_text():
                pass


SCENARIOS = {
    "openai": openai,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "agent_with_tool": agent_with_tool,
    "errors": errors,
}
