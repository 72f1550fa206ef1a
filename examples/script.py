"""A script that streams a GPT call, records it, and prints the outcome.

OPENAI_API_KEY=… DATABASE_URL=… python script.py "Why is the sky blue?"
"""

import sys

import openai

from tracker import Tracker

recorder = Tracker()
client = openai.OpenAI()

with recorder.track(operation="question", user_id="me") as call:
    call.response = client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": sys.argv[1]}],
        stream=True,
        stream_options={"include_usage": True},  # without it OpenAI's streams contain no usage
    )
    for chunk in call.response:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)

recorder.close()  # delivers the rows of background mode before the process ends
print(f"\n{call.outcome.status}: {call.outcome.id}")
