"""A FastAPI app on Vercel: each Gemini call is recorded as a row before the response is sent.

The client reads GEMINI_API_KEY, the recorder DATABASE_URL (the pooler's address). Try it: fastapi dev api/index.py
"""

from fastapi import FastAPI
from google import genai
from pydantic import BaseModel
from starlette.routing import Route

import tracker
from tracker.diagnostics.debug_api import app as debug_report

app = FastAPI()
# The debug report, for problems with recording: GET /api/debug/token-tracking with TRACKER_DEBUG_TOKEN as bearer token.
app.router.routes.append(Route("/api/debug/token-tracking", debug_report))
recorder = tracker.shared()
gemini = recorder.wrap(genai.Client())


class Note(BaseModel):
    text: str
    user_id: str = "anonymous"


@app.post("/api/summary")
def summary(note: Note) -> dict[str, str | None]:
    with recorder.track(operation="summary_generation", user_id=note.user_id):
        response = gemini.models.generate_content(model="gemini-2.5-flash", contents=f"Summarise:\n{note.text}")
    return {"summary": response.text}
