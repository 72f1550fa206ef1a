"""The calls that scenarios of several instrumentations make, with each provider's own client."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

HELLO: Any = [{"role": "user", "content": "hi"}]
FAIL_429: Any = [{"role": "user", "content": "fail 429"}]
FAIL_500: Any = [{"role": "user", "content": "fail 500"}]
CUT: Any = [{"role": "user", "content": "cut stream"}]
CLAUDE = "claude-sonnet-4-5"
GEMINI = "gemini-2.5-flash"


def openai_client(c: Any, asynchronous: bool = False) -> Any:
    import openai

    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return kind(base_url=f"{c.api}/v1", api_key="key", max_retries=0)


def openai_chat(c: Any) -> None:
    client = openai_client(c)
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    client.chat.completions.create(model="gpt-5-mini", messages=HELLO, user="u_1")


def openai_stream(c: Any) -> None:
    options = {"include_usage": True}
    for _ in openai_client(c).chat.completions.create(
        model="gpt-5-mini", messages=HELLO, stream=True, stream_options=options
    ):
        pass


def openai_stream_without_usage(c: Any) -> None:
    for _ in openai_client(c).chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True):
        pass


async def openai_async(c: Any) -> None:
    client = openai_client(c, asynchronous=True)
    await client.chat.completions.create(model="gpt-5-mini", messages=HELLO)
    options = {"include_usage": True}
    async for _ in await client.chat.completions.create(
        model="gpt-5-mini", messages=HELLO, stream=True, stream_options=options
    ):
        pass


def openai_responses(c: Any) -> None:
    client = openai_client(c)
    client.responses.create(model="gpt-5-mini", input="hi")
    for _ in client.responses.create(model="gpt-5-mini", input="hi", stream=True):
        pass


def openai_embeddings(c: Any) -> None:
    openai_client(c).embeddings.create(model="text-embedding-3-small", input=["a", "b"])


def openai_errors(c: Any) -> None:
    import openai

    client = openai_client(c)
    for messages in (FAIL_429, FAIL_500):
        with suppress(openai.APIError):
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    with suppress(Exception):
        options = {"include_usage": True}
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=CUT, stream=True, stream_options=options):
            pass


def anthropic_client(c: Any, asynchronous: bool = False) -> Any:
    import anthropic

    kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    return kind(base_url=c.api, api_key="key", max_retries=0)


def anthropic_messages(c: Any) -> None:
    anthropic_client(c).messages.create(model=CLAUDE, max_tokens=100, messages=HELLO, metadata={"user_id": "u_1"})


def anthropic_stream(c: Any) -> None:
    client = anthropic_client(c)
    for _ in client.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO, stream=True):
        pass
    with client.messages.stream(model=CLAUDE, max_tokens=100, messages=HELLO) as stream:
        stream.get_final_message()


async def anthropic_async(c: Any) -> None:
    client = anthropic_client(c, asynchronous=True)
    await client.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO)
    async for _ in await client.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO, stream=True):
        pass


def anthropic_errors(c: Any) -> None:
    import anthropic

    client = anthropic_client(c)
    for messages in (FAIL_429, FAIL_500):
        with suppress(anthropic.APIError):
            client.messages.create(model=CLAUDE, max_tokens=100, messages=messages)
    with suppress(Exception):
        for _ in client.messages.create(model=CLAUDE, max_tokens=100, messages=CUT, stream=True):
            pass


def genai_client(c: Any) -> Any:
    from google import genai

    return genai.Client(api_key="key", http_options={"base_url": c.api})


def gemini_generate(c: Any) -> None:
    client = genai_client(c)  # it closes its connections when it is collected
    client.models.generate_content(model=GEMINI, contents="hi")


def gemini_stream(c: Any) -> None:
    client = genai_client(c)
    for _ in client.models.generate_content_stream(model=GEMINI, contents="hi"):
        pass


async def gemini_async(c: Any) -> None:
    client = genai_client(c)
    await client.aio.models.generate_content(model=GEMINI, contents="hi")
    async for _ in await client.aio.models.generate_content_stream(model=GEMINI, contents="hi"):
        pass


def gemini_embed(c: Any) -> None:
    client = genai_client(c)
    client.models.embed_content(model="gemini-embedding-001", contents="hi")


def gemini_errors(c: Any) -> None:
    client = genai_client(c)
    for text in ("fail 429", "fail 500"):
        with suppress(Exception):
            client.models.generate_content(model=GEMINI, contents=text)
    with suppress(Exception):
        for _ in client.models.generate_content_stream(model=GEMINI, contents="cut stream"):
            pass


def bedrock_client(c: Any) -> Any:
    import boto3

    return boto3.client("bedrock-runtime", endpoint_url=c.api, region_name="us-east-1")


NOVA = "amazon.nova-lite-v1:0"
BEDROCK_CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CONVERSE: Any = [{"role": "user", "content": [{"text": "hi"}]}]


def bedrock_converse(c: Any) -> None:
    client = bedrock_client(c)
    client.converse(modelId=BEDROCK_CLAUDE, messages=CONVERSE)
    client.converse(modelId=NOVA, messages=CONVERSE)


def bedrock_converse_stream(c: Any) -> None:
    for _ in bedrock_client(c).converse_stream(modelId=BEDROCK_CLAUDE, messages=CONVERSE)["stream"]:
        pass


def bedrock_invoke(c: Any) -> None:
    import json

    client = bedrock_client(c)
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": HELLO})
    client.invoke_model(modelId=BEDROCK_CLAUDE, body=body)["body"].read()
    for _ in client.invoke_model_with_response_stream(modelId=BEDROCK_CLAUDE, body=body)["body"]:
        pass


def bedrock_errors(c: Any) -> None:
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 0})
    client = boto3.client("bedrock-runtime", endpoint_url=c.api, region_name="us-east-1", config=config)
    with suppress(Exception):
        client.converse(modelId=BEDROCK_CLAUDE, messages=[{"role": "user", "content": [{"text": "fail 429"}]}])


# LangChain


def langchain_openai(c: Any, **more: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-5-mini", base_url=f"{c.api}/v1", api_key="key", max_retries=0, **more)


def langchain_anthropic(c: Any) -> Any:
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model=CLAUDE, base_url=c.api, api_key="key", max_retries=0)


def langchain_gemini(c: Any) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    return ChatGoogleGenerativeAI(model=GEMINI, base_url=c.api, api_key="key", max_retries=1)


def langchain_calls(model: Any, config: Any = None) -> None:
    """One call, and one stream."""
    model.invoke("hi", config)
    for _ in model.stream("hi", config):
        pass


def langgraph_agent(c: Any, model: Any, config: Any = None) -> None:
    """An agent that calls a tool: two calls."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    agent = create_agent(model, tools=[weather])
    agent.invoke({"messages": [{"role": "user", "content": "use the tool"}]}, config)


def langchain_embeddings(c: Any) -> None:
    from langchain_openai import OpenAIEmbeddings

    OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=f"{c.api}/v1", api_key="key", check_embedding_ctx_length=False
    ).embed_documents(["a", "b"])


# What each provider's client is tried with.
OPENAI = {
    "chat": openai_chat,
    "stream": openai_stream,
    "stream_without_usage": openai_stream_without_usage,
    "asynchronous": openai_async,
    "responses": openai_responses,
    "embeddings": openai_embeddings,
    "errors": openai_errors,
}
ANTHROPIC = {
    "messages": anthropic_messages,
    "stream": anthropic_stream,
    "asynchronous": anthropic_async,
    "errors": anthropic_errors,
}
GENAI = {
    "generate": gemini_generate,
    "stream": gemini_stream,
    "asynchronous": gemini_async,
    "embeddings": gemini_embed,
    "errors": gemini_errors,
}
BEDROCK = {
    "converse": bedrock_converse,
    "converse_stream": bedrock_converse_stream,
    "invoke": bedrock_invoke,
    "errors": bedrock_errors,
}
LANGCHAIN = {
    "openai": lambda c: langchain_calls(langchain_openai(c, stream_usage=True)),
    "openai_responses": lambda c: langchain_calls(langchain_openai(c, use_responses_api=True)),
    "anthropic": lambda c: langchain_calls(langchain_anthropic(c)),
    "gemini": lambda c: langchain_calls(langchain_gemini(c)),
    "agent": lambda c: langgraph_agent(c, langchain_openai(c)),
    "embeddings": langchain_embeddings,
    "errors": lambda c: langchain_errors(c),
}


def langchain_errors(c: Any) -> None:
    for model in (langchain_openai(c), langchain_anthropic(c)):
        with suppress(Exception):
            model.invoke("fail 429")


# Other providers' clients


def groq(c: Any) -> None:
    from groq import Groq

    client = Groq(base_url=c.api, api_key="key", max_retries=0)
    client.chat.completions.create(model="openai/gpt-oss-20b", messages=HELLO)
    for _ in client.chat.completions.create(model="openai/gpt-oss-20b", messages=HELLO, stream=True):
        pass


def mistral(c: Any) -> None:
    from mistralai.client import Mistral

    client = Mistral(api_key="key", server_url=c.api)
    client.chat.complete(model="mistral-large-latest", messages=HELLO)
    for _ in client.chat.stream(model="mistral-large-latest", messages=HELLO):
        pass


def cohere(c: Any) -> None:
    import cohere

    client = cohere.ClientV2(api_key="key", base_url=c.api)
    client.chat(model="command-a-03-2025", messages=HELLO)
    client.embed(model="embed-v4.0", texts=["a"], input_type="search_document", embedding_types=["float"])


def ollama(c: Any) -> None:
    import ollama

    client = ollama.Client(host=c.api)
    client.chat(model="llama3.2", messages=HELLO)
    for _ in client.chat(model="llama3.2", messages=HELLO, stream=True):
        pass
