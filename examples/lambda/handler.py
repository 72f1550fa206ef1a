"""A Lambda handler behind a function URL: each call of Claude is a row, written before the answer goes out.

The client reads ANTHROPIC_API_KEY, the recorder DATABASE_URL (the pooler's address). The function's package holds
anthropic and this library.
"""

import json

import anthropic

import tracker

recorder = tracker.shared()
claude = recorder.wrap(anthropic.Anthropic(), operation="tag_generation")


def handler(event, context):
    note = json.loads(event["body"])
    with recorder.track(user_id=note.get("user_id")):
        answer = claude.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=200,
            messages=[{"role": "user", "content": f"Three tags for:\n{note['text']}"}],
        )
    tags = answer.content[0].text.split()
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps({"tags": tags})}
