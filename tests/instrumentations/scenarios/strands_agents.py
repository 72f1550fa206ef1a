"""Strands Agents' own spans."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import _calls

LIBRARY = "strands-agents"
PACKAGES = ("openai", "anthropic", "boto3")


def setup(c: Any) -> None:
    c.provider()


def _agent(c: Any, model: Any) -> Any:
    from strands import Agent, tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    attributes = {"user.id": "u_1", "session.id": "s_1"}
    return Agent(model=model, tools=[weather], callback_handler=None, trace_attributes=attributes)


def openai(c: Any) -> None:
    from strands.models.openai import OpenAIModel

    c.expect(user_id="u_1", session_id="s_1")
    model = OpenAIModel(
        client_args={"base_url": f"{c.api}/v1", "api_key": "key", "max_retries": 0}, model_id="gpt-5-mini"
    )
    _agent(c, model)("use the tool")


def anthropic(c: Any) -> None:
    from strands.models.anthropic import AnthropicModel

    c.expect(user_id="u_1", session_id="s_1")
    model = AnthropicModel(
        client_args={"base_url": c.api, "api_key": "key", "max_retries": 0},
        model_id=_calls.CLAUDE,
        max_tokens=100,
    )
    _agent(c, model)("use the tool")


def _bedrock(c: Any) -> Any:
    from strands.models.bedrock import BedrockModel

    return BedrockModel(endpoint_url=c.api, region_name="us-east-1", model_id=_calls.BEDROCK_CLAUDE)


def bedrock(c: Any) -> None:
    c.expect(user_id="u_1", session_id="s_1")
    _agent(c, _bedrock(c))("use the tool")


def errors(c: Any) -> None:
    from strands.models.openai import OpenAIModel

    c.expect(user_id="u_1", session_id="s_1")
    model = OpenAIModel(
        client_args={"base_url": f"{c.api}/v1", "api_key": "key", "max_retries": 0}, model_id="gpt-5-mini"
    )
    with suppress(Exception):
        _agent(c, model)("fail 500")


SCENARIOS = {"openai": openai, "anthropic": anthropic, "bedrock": bedrock, "errors": errors}
