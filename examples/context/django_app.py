"""A Django project in one file, whose calls are attributed to the user, session and team of their request.

Django's own middleware ends before a streamed body is read, so the context is set around the WSGI application.
The client reads OPENAI_API_KEY, the recorder DATABASE_URL. Try it: gunicorn --threads 4 django_app:application
"""

import os

import openai
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from wsgi_context import UsageContext, recorder

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
)
client = recorder.wrap(openai.OpenAI())


def answer(request):
    messages = [{"role": "user", "content": request.body.decode()}]
    completion = client.chat.completions.create(model="gpt-4.1", messages=messages)
    return HttpResponse(completion.choices[0].message.content)


def stream(request):
    chunks = recorder.bind(stream_answer(request.body.decode()), feature="chat")
    return StreamingHttpResponse(chunks, content_type="text/plain")


def stream_answer(question):
    for chunk in client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""


urlpatterns = [path("answer", answer), path("stream", stream)]
application = UsageContext(get_wsgi_application())
