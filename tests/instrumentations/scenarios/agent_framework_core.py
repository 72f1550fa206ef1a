"""Microsoft's Agent Framework with its own spans."""

from __future__ import annotations

from typing import Any

LIBRARY = "agent-framework-core"
PACKAGES = ("agent-framework-openai", "openai")


def setup(c: Any) -> None:
    c.provider()
    from agent_framework.observability import enable_instrumentation

    enable_instrumentation()


async def openai_chat(c: Any) -> None:
    from agent_framework.openai import OpenAIChatCompletionClient

    client = OpenAIChatCompletionClient(model="gpt-5-mini", api_key="key", base_url=f"{c.api}/v1")
    await client.as_agent(name="agent").run("hi")


async def openai_responses(c: Any) -> None:
    from agent_framework.openai import OpenAIChatClient

    client = OpenAIChatClient(model="gpt-5-mini", api_key="key", base_url=f"{c.api}/v1")
    await client.as_agent(name="agent").run("hi")


SCENARIOS = {"openai_chat": openai_chat, "openai_responses": openai_responses}
