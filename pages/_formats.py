"""Numbers, money, times and changes as people read them; the one place that knows how."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

_STEPS: tuple[tuple[float, str], ...] = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """A count, short on screen: 28,185 · 123 k · 97.2 M."""
    if abs(value) < 100_000:
        return f"{value:,.0f}"
    step, unit = next(found for found in _STEPS if abs(value) >= found[0])
    scaled = value / step
    return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"


def exact(value: float) -> str:
    """A count to its last digit: 97,214,003."""
    return f"{value:,.0f}"


def usd(value: Decimal | float | None) -> str:
    """Money, with as many decimals as matter: $4,610 · $50.78 · $0.0042. None is unpriced, never 0."""
    if value is None or value != value:  # NaN
        return "unpriced"
    amount = abs(float(value))
    if amount == 0:
        return "$0"
    decimals = 0 if amount >= 1000 else 2 if amount >= 0.1 else 4 if amount >= 0.001 else 6
    return f"{'−' if value < 0 else ''}${amount:,.{decimals}f}"


def share(value: float | None) -> str:
    """A share of all, 0 to 1, as per cent; a dash when there is nothing to share."""
    if value is None:
        return "–"
    return f"{value * 100:.1f} %" if 0 < value < 0.1 else f"{value * 100:.0f} %"


def change(now: float, before: float) -> str | int | None:
    """The change against before in per cent, for a metric's delta; None when there was nothing before."""
    if not before:
        return None
    percent = (now - before) / before * 100
    if abs(percent) < 0.5:
        return 0
    if percent >= 1000:
        return f"{now / before:,.0f} × as much"
    return f"{percent:+.0f} %"


def points(now: float | None, before: float | None) -> str | int | None:
    """The change of a share in percentage points."""
    if now is None or before is None:
        return None
    difference = (now - before) * 100
    return 0 if abs(difference) < 0.05 else f"{difference:+.1f} pt"


def milliseconds(value: float | None) -> str:
    """A duration given in ms: 3.4 ms · 380 ms · 1.8 s."""
    if value is None or value != value:  # NaN
        return "–"
    if value >= 10_000:
        return f"{value / 1000:.0f} s"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def seconds(value: float | None) -> str:
    """A duration given in seconds: 40 ms · 41 s · 3 min · 2 h · 5 days."""
    if value is None or value != value:  # NaN
        return "–"
    if value < 1:
        return milliseconds(value * 1000)
    steps = (
        (730 * 86_400, 365.25 * 86_400, "years"),
        (2 * 86_400, 86_400, "days"),
        (2 * 3600, 3600, "h"),
        (120, 60, "min"),
    )
    for limit, step, unit in steps:
        if value >= limit:
            return f"{value / step:.0f} {unit}"
    return f"{value:.0f} s"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago: 3 s ago · 2 h ago · 5 days ago; what lies ahead (clock skew) is now."""
    passed = ((now or datetime.now(UTC)) - moment).total_seconds()
    return "now" if passed < 1 else f"{seconds(passed)} ago"
