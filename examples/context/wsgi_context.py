"""WSGI middleware for Flask and Django: every call of a request gets the request's user, session and team.

The application and the iteration of its body run in one copy of the context, which ends with the request. A context
that the application leaves open, such as one in a generator that nobody reads to its end, does not reach the next
request of the thread.
"""

from contextvars import copy_context

import tracker

recorder = tracker.shared()


class UsageContext:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        # Headers of your own gateway; elsewhere, take these from the verified session.
        fields = recorder.context(
            user_id=environ.get("HTTP_X_USER"),
            session_id=environ.get("HTTP_X_SESSION"),
            team=environ.get("HTTP_X_TEAM"),
        )
        context = copy_context()
        context.run(fields.__enter__)  # never left: the copy ends with the request
        return Body(context, context.run(self.application, environ, start_response))


class Body:
    """The application's body, which is read and closed in its context."""

    def __init__(self, context, body):
        self.context, self.body = context, body
        self.chunks = context.run(iter, body)

    def __iter__(self):
        return self

    def __next__(self):
        return self.context.run(next, self.chunks)

    def close(self):
        if hasattr(self.body, "close"):
            self.context.run(self.body.close)
