"""Errors of the API routes as problem details, application/problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from tracker.auth.http_responses import Send, send_body


@dataclass(frozen=True, slots=True)
class Problem:
    """An error: the HTTP status, its short name, and a sentence with the cause and what to do."""

    status: int
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> bytes:
        content = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


class ProblemError(Exception):
    """Raised where a request can't be answered; the route sends its `problem`."""

    def __init__(self, status: int, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.problem = Problem(status, title, detail, headers)


async def send_problem(send: Send, problem: Problem, *, head: bool = False) -> None:
    """Send the problem as the response."""
    headers: Iterable[tuple[str, str]] = problem.headers
    await send_body(send, problem.status, problem.as_json(), "application/problem+json", head=head, headers=headers)
