"""A FastAPI app whose calls are attributed to the user, session and team of their request, also in streamed responses.

The client reads OPENAI_API_KEY, the recorder DATABASE_URL. Try it: uvicorn fastapi_app:app
"""

import openai
from fastapi import Body, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.datastructures import Headers

import tracker

recorder = tracker.shared()
client = recorder.wrap(openai.OpenAI())
async_client = recorder.wrap(openai.AsyncOpenAI())


class UsageContext:
    """ASGI middleware: every call of a request, of its stream and of its background tasks gets these fields.

    A synchronous dependency with `yield` can't do this: FastAPI runs it in a thread, with a copy of the context that
    does not reach the endpoint.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        # Headers of your own gateway; elsewhere, take these from the verified session.
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        fields = {"user_id": headers.get("x-user"), "session_id": headers.get("x-session")}
        async with recorder.context(**fields, team=headers.get("x-team")):
            await self.app(scope, receive, send)


app = FastAPI()
app.add_middleware(UsageContext)


@app.post("/answer", response_class=PlainTextResponse)
def answer(question: str = Body(media_type="text/plain")):
    messages = [{"role": "user", "content": question}]
    completion = client.chat.completions.create(model="gpt-4.1", messages=messages)
    return completion.choices[0].message.content


@app.post("/stream")
async def stream(question: str = Body(media_type="text/plain")):
    chunks = recorder.bind(stream_answer(question), feature="chat")
    return StreamingResponse(chunks, media_type="text/plain")


async def stream_answer(question):
    chunks = await async_client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in chunks:
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""
