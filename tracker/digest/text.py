"""Writes a digest as plain text in English or Korean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from tracker.budgets.progress import BudgetState, format_amount, format_percent
from tracker.digest.content import DigestContent, TopEntry
from tracker.messages import Message
from tracker.messages.translation import translate
from tracker.reports.anomalies import Anomaly

_MAX_NAME_CHARS = 80


def digest_title(content: DigestContent, language: str = "en") -> str:
    """The first line: the days and their time zone."""
    days = content.days
    title = Message(
        f"digest.title.{days.period}",
        first_day=days.first_day.isoformat(),
        last_day=days.last_day.isoformat(),
        timezone=days.timezone,
    )
    return translate(title, language)


def digest_text(content: DigestContent, language: str = "en") -> str:
    """The lines after the title. A section without content is left out."""
    sections = (_totals(content), _anomalies(content.anomalies), _top(content), _budgets(content), _attention(content))
    written = ("\n".join(translate(line, language) for line in section) for section in sections)
    return "\n\n".join(text for text in written if text)


def _totals(content: DigestContent) -> Iterator[str]:
    now, before = content.totals, content.previous
    if not now.calls:
        yield Message("digest.no_calls")
    yield _total("calls", now.calls, before.calls)
    if now.failed_calls or before.failed_calls:
        yield _total("failed_calls", now.failed_calls, before.failed_calls)
    yield _total("tokens", now.total_tokens, before.total_tokens)
    if now.cost_usd is not None:
        change = _change(float(now.cost_usd), float(before.cost_usd or 0))
        yield Message("digest.cost", value=format_amount(now.cost_usd, "usd"), change=change)
    elif now.calls:
        yield Message("digest.cost_unknown")
    yield _total("users", content.user_count, content.previous_user_count)


def _total(name: str, now: int, before: int) -> Message:
    return Message(f"digest.{name}", value=f"{now:,}", change=_change(now, before))


def _change(now: float, before: float) -> Message:
    if not before:
        return Message("digest.change.none")
    percent = round((now - before) / before * 100)
    if not percent:
        return Message("digest.change.same")
    return Message(f"digest.change.{'up' if percent > 0 else 'down'}", percent=f"{abs(percent):,}%")


def _anomalies(anomalies: Sequence[Anomaly]) -> Iterator[str]:
    if anomalies:
        yield Message("digest.unusual")
    for anomaly in anomalies:
        is_cost = anomaly.measure == "cost"
        value, usual = (
            format_amount(Decimal(str(round(number, 6))), "usd") if is_cost else f"{number:,.0f}"
            for number in (anomaly.today, anomaly.usual)
        )
        yield _entry(
            Message(
                f"digest.unusual.{anomaly.measure}",
                model=_name(anomaly.model or ""),
                value=value,
                usual=usual,
                times=f"{anomaly.ratio:.1f}",
            )
        )


def _top(content: DigestContent) -> Iterator[str]:
    lists: list[tuple[Message, Sequence[TopEntry]]] = [
        (Message("digest.top.models"), content.models),
        (Message("digest.top.users"), content.users or ()),
        *((Message("digest.top.property", key=_name(key)), entries) for key, entries in content.properties),
    ]
    for number, (heading, entries) in enumerate(entry for entry in lists if entry[1]):
        if number:
            yield ""
        yield heading
        yield from map(_top_entry, entries)


def _top_entry(entry: TopEntry) -> Message:
    cost = Message("digest.not_priced") if entry.cost_usd is None else format_amount(entry.cost_usd, "usd")
    numbers = {"tokens": f"{entry.tokens:,}", "calls": f"{entry.calls:,}"}
    return _entry(Message("digest.top.entry", name=_name(entry.name), cost=cost, **numbers))


def _budgets(content: DigestContent) -> Iterator[str]:
    if content.budgets:
        yield Message("digest.budgets")
    yield from map(_budget, content.budgets)


def _budget(state: BudgetState) -> Message:
    budget = state.budget
    return _entry(
        Message(
            "digest.budget",
            name=_name(budget.name),
            share=format_percent(state.share),
            limit=format_amount(budget.amount, budget.measure),
            period=Message(f"digest.period.{budget.period}"),
        )
    )


def _attention(content: DigestContent) -> Iterator[str]:
    numbers = {
        "unpriced": ("calls", content.totals.unpriced_calls),
        "inconsistent": ("calls", content.inconsistent_calls),
        "missing": ("records", content.missing_records),
        "late": ("records", content.late_records),
    }
    lines = [Message(f"digest.{name}", **{unit: f"{n:,}"}) for name, (unit, n) in numbers.items() if n]
    lines += [Message(f"digest.unavailable.{part}") for part in content.unavailable]
    if lines:
        yield Message("digest.attention")
    yield from map(_entry, lines)


def _entry(message: Message) -> Message:
    return Message("general.list_entry", text=message)


def _name(text: str) -> str:
    """A name from the database on one line, without characters that change the display of the text after it."""
    visible = "".join(char if char.isprintable() else " " for char in text)
    return visible if len(visible) <= _MAX_NAME_CHARS else visible[:_MAX_NAME_CHARS] + "…"
