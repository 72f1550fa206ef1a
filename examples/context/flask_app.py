"""A Flask app whose calls are attributed to the user, session and team of their request, also in streamed responses.

The client reads OPENAI_API_KEY, the recorder DATABASE_URL. Try it: gunicorn --threads 4 flask_app:app
"""

import openai
from flask import Flask, Response, request
from wsgi_context import UsageContext, recorder

app = Flask(__name__)
app.wsgi_app = UsageContext(app.wsgi_app)
client = recorder.wrap(openai.OpenAI())


@app.post("/answer")
def answer():
    messages = [{"role": "user", "content": request.get_data(as_text=True)}]
    completion = client.chat.completions.create(model="gpt-4.1", messages=messages)
    return completion.choices[0].message.content


@app.post("/stream")
def stream():
    return Response(chunks(request.get_data(as_text=True)), mimetype="text/plain")


def chunks(question):
    # Part of a request: bind() ends with each step of the generator, where a `with` block would not.
    yield from recorder.bind(stream_answer(question), feature="chat")


def stream_answer(question):
    for chunk in client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""
