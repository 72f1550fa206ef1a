"""Runs of the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import _calls


def _model(c: Any, responses: bool) -> Any:
    import agents

    client = _calls.openai_client(c, asynchronous=True)
    kind = agents.OpenAIResponsesModel if responses else agents.OpenAIChatCompletionsModel
    return kind("gpt-5-mini", client)


def _agent(c: Any, responses: bool = True) -> Any:
    from agents import Agent, function_tool

    @function_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    return Agent(name="weather_agent", instructions="Be brief.", model=_model(c, responses), tools=[weather])


def responses(c: Any) -> None:
    from agents import Runner

    Runner.run_sync(_agent(c), "use the tool")


def chat_completions(c: Any) -> None:
    from agents import Runner

    Runner.run_sync(_agent(c, responses=False), "use the tool")


def streamed(c: Any) -> None:
    from agents import Runner

    async def run() -> None:
        result = Runner.run_streamed(_agent(c), "hi")
        async for _ in result.stream_events():
            pass

    asyncio.run(run())


def errors(c: Any) -> None:
    from agents import Runner

    for kind in (True, False):
        with suppress(Exception):
            Runner.run_sync(_agent(c, kind), "fail 429")


SCENARIOS = {"responses": responses, "chat_completions": chat_completions, "streamed": streamed, "errors": errors}
