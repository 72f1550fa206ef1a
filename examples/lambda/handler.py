"""A Lambda handler behind a function URL: each Claude call is recorded as a row before the response is sent.

The client reads ANTHROPIC_API_KEY, the recorder DATABASE_URL (the pooler's address). The package of the function needs
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
        response = claude.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=200,
            messages=[{"role": "user", "content": f"Three tags for:\n{note['text']}"}],
        )
    tags = response.content[0].text.split()
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps({"tags": tags})}
