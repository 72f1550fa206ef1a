"""Sends digests to the alert channels: at the time of TRACKER_DIGEST, each of them once for all processes."""

from __future__ import annotations

from datetime import UTC, datetime

from tracker.database.schema import read_table
from tracker.digest import claims
from tracker.digest.content import DigestContent, read_content
from tracker.digest.schedule import DigestDays, due_days
from tracker.digest.text import digest_text, digest_title
from tracker.recording.alerts.channels import send
from tracker.reports.engine import current_reader
from tracker.reports.engine.reader import Reader

TYPE = "token_usage_digest"


def send_due_digest(now: datetime | None = None) -> int:
    """Send the digest that TRACKER_DIGEST makes due; returns the number of channels that got it now.

    Raises `TrackerError`.
    """
    settings = current_reader.settings()
    schedule = settings.digest
    if schedule is None or not settings.alert_urls:
        return 0
    days = due_days(schedule, settings.timezone or "UTC", now or datetime.now(UTC))
    if days is None:
        return 0
    return send_digest(
        current_reader.reader(),
        days,
        settings.alert_urls,
        schedule.language,
        with_users=settings.digest_users,
    )


def send_digest(reader: Reader, days: DigestDays, urls: tuple[str, ...], language: str, *, with_users: bool) -> int:
    """Send the digest of these days to each channel that did not get it; returns how many got it now.

    A channel that fails gets it at a later attempt, after its claim has expired. Raises `DatabaseError`.
    """
    with reader.borrow() as connection:
        schema = read_table(connection, reader.database.url.schema).schema
        pending = [url for url in dict.fromkeys(urls) if not claims.is_sent(connection, schema, days, url)]
    if not pending:
        return 0
    # The content can take longer than a claim is valid, so they are read before it.
    alert = build_alert(read_content(reader, days, with_users=with_users), language)
    return sum(_send_once(reader, schema, days, url, alert) for url in pending)


def _send_once(reader: Reader, schema: str, days: DigestDays, url: str, alert: dict[str, str]) -> bool:
    with reader.borrow() as connection:
        if not claims.claim(connection, schema, days, url):
            return False
    if not send(url, alert):
        return False
    with reader.borrow() as connection:
        claims.mark_sent(connection, schema, days, url)
    return True


def build_alert(content: DigestContent, language: str) -> dict[str, str]:
    """The document that a channel gets: title and text, and the days for programs."""
    days = content.days
    return {
        "type": TYPE,
        "title": digest_title(content, language),
        "text": digest_text(content, language),
        "period": days.period,
        "first_day": days.first_day.isoformat(),
        "last_day": days.last_day.isoformat(),
        "timezone": days.timezone,
    }
