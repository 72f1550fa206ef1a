"""Semantic Kernel with its own spans."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "semantic-kernel"
PACKAGES = ("openai",)


def setup(c: Any) -> None:
    import os

    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"
    c.provider()


async def openai_chat(c: Any) -> None:
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
    from semantic_kernel.contents import ChatHistory

    service = OpenAIChatCompletion(ai_model_id="gpt-5-mini", async_client=_calls.openai_client(c, asynchronous=True))
    history = ChatHistory()
    history.add_user_message("hi")
    settings = OpenAIChatPromptExecutionSettings()
    await service.get_chat_message_content(history, settings)
    async for _ in service.get_streaming_chat_message_content(history, settings):
        pass


SCENARIOS = {"openai_chat": openai_chat}
