"""Google's Agent Development Kit with its own spans."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "google-adk"
PACKAGES = ("google-genai",)


def setup(c: Any) -> None:
    c.provider()


async def agent_with_tool(c: Any) -> None:
    import os

    os.environ["GOOGLE_GEMINI_BASE_URL"] = c.api
    from google.adk.agents import LlmAgent
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    agent = LlmAgent(name="weather_agent", model=_calls.GEMINI, instruction="Be brief.", tools=[weather])
    runner = InMemoryRunner(agent=agent, app_name="app")
    await runner.session_service.create_session(app_name="app", user_id="u_1", session_id="s_1")
    message = types.Content(role="user", parts=[types.Part(text="use the tool")])
    async for _ in runner.run_async(user_id="u_1", session_id="s_1", new_message=message):
        pass


SCENARIOS = {"agent_with_tool": agent_with_tool}
