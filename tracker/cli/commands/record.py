"""token-tracker record: record one call and print the outcome."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable
from typing import Any

from tracker.cli import command_setup
from tracker.cli.terminal import print_error
from tracker.outcome import Outcome
from tracker.recording.tracker import Tracker
from tracker.usage import TokenUsage

_CLOSING_S = 0.2


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("record", help="record one call and print the outcome as JSON")
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--input-tokens", type=command_setup.parse_int, required=True, metavar="N", help="cached tokens included"
    )
    parser.add_argument(
        "--output-tokens", type=command_setup.parse_int, required=True, metavar="N", help="reasoning tokens included"
    )
    parser.add_argument("--user-id", default="anonymous")
    parser.add_argument("--operation", default="chat", help="such as summary_generation (default: chat)")
    parser.add_argument("--test", action="store_true", help="record a test call, which no statistic includes")
    parser.set_defaults(run=run)


def _interruptible(work: Callable[[], Outcome]) -> Outcome:
    """Run `work` in a thread: the driver doesn't react to Ctrl-C while it waits for a server."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(work()), daemon=True)
    thread.start()
    thread.join()
    return outcomes[0]


def run(arguments: argparse.Namespace) -> int:
    usage = TokenUsage(
        model=arguments.model,
        input_tokens=arguments.input_tokens,
        output_tokens=arguments.output_tokens,
        user_id=arguments.user_id,
        operation=arguments.operation,
        is_test=arguments.test,
    )
    database = command_setup.locate_database()
    with Tracker(mode="direct", database_url=database.url.with_password()) as recorder:
        try:
            outcome = _interruptible(lambda: recorder.record(usage))
        except KeyboardInterrupt:
            # Closing may take as long as a record; after Ctrl-C the command must end soon.
            recorder.settings = recorder.settings._replace(deadline_s=_CLOSING_S)
            raise
    print(json.dumps(outcome.as_dict()))
    if outcome.error:
        print_error(outcome.error)
    return 0 if outcome.stored else 1
