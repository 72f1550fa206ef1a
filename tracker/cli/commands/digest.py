"""token-tracker digest: print the summary of the last day or week, or send it to the alert channels."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from tracker import settings
from tracker.cli import command_setup
from tracker.cli.terminal import print_error, terminal_text
from tracker.messages import Message
from tracker.messages.translation import LANGUAGES

_PERIODS = ("day", "week")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("digest", help="summarize the last complete day or week, and send the summary")
    parser.add_argument(
        "--period",
        choices=_PERIODS,
        default="day",
        help="the last local day (default), or Monday to Sunday",
    )
    parser.add_argument("--timezone", metavar="ZONE", help="time zone of the days (default TRACKER_TIMEZONE, else UTC)")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="the language (default en)")
    parser.add_argument("--send", action="store_true", help="send it to TRACKER_ALERT_URLS, unless it was sent already")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    # These modules need the dashboard extra.
    from tracker.digest.content import read_content
    from tracker.digest.schedule import last_complete_days
    from tracker.digest.send import send_digest
    from tracker.digest.text import digest_text, digest_title
    from tracker.reports.engine.reader import Reader

    current = settings.load()
    if arguments.send and not current.alert_urls:
        print_error(Message("digest.no_channel"))
        return 1
    zone = command_setup.check_time_zone(arguments.timezone or current.timezone or "UTC")
    days = last_complete_days(arguments.period, zone, datetime.now(UTC))
    reader = Reader(command_setup.locate_database())
    try:
        if arguments.send:
            urls, language = current.alert_urls, arguments.language
            sent = send_digest(reader, days, urls, language, with_users=current.digest_users)
            print(f"Channels that got the digest: {sent} of {len(set(urls))}; the others got it before, or failed.")
            return 0
        content = read_content(reader, days, with_users=current.digest_users)
    finally:
        reader.close()
    print(terminal_text(digest_title(content, arguments.language)) + "\n")
    for line in digest_text(content, arguments.language).splitlines():
        print(terminal_text(line))
    return 0
