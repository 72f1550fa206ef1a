"""MLflow's autologging of the OpenAI, Anthropic, Gemini, LangChain and LiteLLM clients, exported over OTLP."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "mlflow"
PACKAGES = ("openai", "anthropic", "google-genai", "langchain", "litellm")


def setup(c: Any) -> None:
    import os
    import tempfile

    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tempfile.mkdtemp()}/mlflow.db"
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow

    mlflow.openai.autolog()
    mlflow.anthropic.autolog()
    mlflow.gemini.autolog()


def langchain(c: Any) -> None:
    import mlflow

    mlflow.langchain.autolog()
    mlflow.openai.autolog(disable=True)
    mlflow.anthropic.autolog(disable=True)
    _calls.langchain_calls(_calls.langchain_openai(c, stream_usage=True))
    _calls.langchain_calls(_calls.langchain_anthropic(c))


def litellm(c: Any) -> None:
    import litellm
    import mlflow

    mlflow.litellm.autolog()
    mlflow.openai.autolog(disable=True)
    litellm.completion(model="openai/gpt-5-mini", messages=_calls.HELLO, api_base=f"{c.api}/v1", api_key="key")
    litellm.completion(model=f"anthropic/{_calls.CLAUDE}", messages=_calls.HELLO, api_base=c.api, api_key="key")
    import time

    time.sleep(2)


def user_and_session(c: Any) -> None:
    import mlflow

    @mlflow.trace
    def request() -> None:
        mlflow.update_current_trace(metadata={"mlflow.trace.user": "u_1", "mlflow.trace.session": "s_1"})
        _calls.openai_chat(c)

    request()


SCENARIOS = {
    **{f"openai_{name}": _calls.OPENAI[name] for name in ("chat", "stream", "responses", "embeddings", "errors")},
    **{f"anthropic_{name}": _calls.ANTHROPIC[name] for name in ("messages", "stream", "errors")},
    **{f"gemini_{name}": _calls.GENAI[name] for name in ("generate", "stream")},
    "langchain": langchain,
    "litellm": litellm,
    "user_and_session": user_and_session,
}
