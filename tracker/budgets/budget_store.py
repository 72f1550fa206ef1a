"""Where budgets are kept, what this role may do there, and the limits in the app's own table."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from tracker.budgets.budget import ALERT_PERCENT, Budget
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.errors import SettingError, SetupError

BUDGETS = "token_tracker_budgets"
ALERTS = "token_tracker_budget_alerts"
THRESHOLDS = "usage_thresholds"
MOST_THRESHOLDS = 10_000
_ACCESS = Path(__file__).with_name("sql").joinpath("access.sql").read_text(encoding="utf-8")
_COLUMNS = ("name", "scope", "subject", "period", "measure", "amount", "alert_percent", "timezone")


@dataclass(frozen=True, slots=True)
class BudgetAccess:
    """What this role may do with budgets. `claims`: it may say who sends an alert, and so send one."""

    exists: bool
    reads: bool
    claims: bool
    has_thresholds: bool
    reads_thresholds: bool
    role: str
    schema: str

    @property
    def remedies(self) -> list[str]:
        """What would give this role what it lacks, one statement each."""
        if not self.exists:
            return ["token-tracker migrate"]
        found = []
        if not (self.reads and self.claims):
            found.append(f"GRANT SELECT ON {self._name(BUDGETS)} TO {quote(self.role)};")
            found.append(f"GRANT SELECT, INSERT ON {self._name(ALERTS)} TO {quote(self.role)};")
        if self.has_thresholds and not self.reads_thresholds:
            found.append(f"GRANT SELECT ON {self._name(THRESHOLDS)} TO {quote(self.role)};")
        return found

    def _name(self, table: str) -> str:
        return f"{quote(self.schema)}.{table}"


@dataclass(frozen=True, slots=True)
class BudgetList:
    """All budgets, and one sentence for each thing that keeps one from being looked at."""

    budgets: list[Budget] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_access(connection: Connection, schema: str | None) -> BudgetAccess:
    """Raises `DatabaseError`."""
    schema = read_table(connection, schema).schema
    _, rows = execute(connection, _ACCESS, {"schema": schema})
    if not rows:  # no such schema
        rows = [(False, False, False, False, False, "")]
    exists, reads, claims, has_thresholds, reads_thresholds, role = rows[0]
    return BudgetAccess(exists, reads, claims, has_thresholds, reads_thresholds, role, schema)


def require_readable(access: BudgetAccess) -> None:
    """Raise `SetupError` unless this role may read budgets."""
    if not access.exists:
        raise SetupError("budgets_missing", "The tables of budgets aren't there.", "Make them: token-tracker migrate.")
    if not access.reads:
        raise SetupError("right_missing", "This database user may not read the budgets.", " ".join(access.remedies))


def read(connection: Connection, access: BudgetAccess) -> BudgetList:
    """The budgets that were set, and those of the app's own table. Raises `DatabaseError`."""
    found = BudgetList()
    if access.reads:
        _, rows = execute(
            connection,
            f"SELECT {', '.join(_COLUMNS)} FROM {quote(access.schema)}.{BUDGETS} ORDER BY name",  # noqa: S608  our own names
        )
        for row in rows:
            _take(found, dict(zip(_COLUMNS, row, strict=True)))
    if access.has_thresholds and access.reads_thresholds:
        _read_thresholds(connection, access.schema, found)
    elif access.has_thresholds:
        found.remarks.append(f"This database user may not read {THRESHOLDS}: {access.remedies[-1]}")
    return found


def _take(found: BudgetList, values: dict[str, Any]) -> None:
    try:
        found.budgets.append(Budget(**values))
    except SettingError as error:  # whoever wrote it by hand
        found.remarks.append(f"Budget {str(values['name'])[:60]!r} isn't looked at: {error}")


def _read_thresholds(connection: Connection, schema: str, found: BudgetList) -> None:
    """`usage_thresholds` of the app, only read; by way of JSON, since its columns' types and number are the app's."""
    names = ("user_id", "daily_limit", "monthly_limit", "alert_enabled", "alert_threshold")
    picked = ", ".join(f"found ->> '{name}'" for name in names)
    _, rows = execute(
        connection,
        f"SELECT {picked} FROM (SELECT to_jsonb(thresholds) AS found FROM {quote(schema)}.{THRESHOLDS} AS thresholds)"  # noqa: S608
        f" AS thresholds WHERE found ->> 'user_id' <> '' ORDER BY 1 LIMIT {MOST_THRESHOLDS + 1}",
    )
    if len(rows) > MOST_THRESHOLDS:
        found.remarks.append(f"Only the first {MOST_THRESHOLDS:,} users of {THRESHOLDS} are looked at.")
    for user, daily, monthly, enabled, threshold in rows[:MOST_THRESHOLDS]:
        alert_percent = None if enabled in {"false", "0", "f", "no"} else _percent(threshold)
        for period, limit in (("day", daily), ("month", monthly)):
            if (amount := _number(limit)) is not None and amount > 0:
                values = {"scope": "user", "subject": user, "period": period, "measure": "tokens", "amount": amount}
                name = f"{THRESHOLDS} {period} {user}"
                _take(found, {"name": name, **values, "alert_percent": alert_percent, "own": False})


def _number(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _percent(text: str | None) -> int:
    """A share (0.8) or per cent (80); what is neither is 80."""
    number = _number(text)
    if number is None or not 0 < number <= 100:
        return ALERT_PERCENT
    return max(1, round(number * 100 if number <= 1 else number))


def save(connection: Connection, access: BudgetAccess, budget: Budget) -> bool:
    """Store a budget under its name; False when one of that name was there and is replaced. Raises `DatabaseError`."""
    values = {name: getattr(budget, name) for name in _COLUMNS}
    places = ", ".join(f"%({name})s" for name in _COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    table = f"{quote(access.schema)}.{BUDGETS}"
    _, rows = execute(connection, f"SELECT 1 FROM {table} WHERE name = %(name)s", values)  # noqa: S608  our own names
    execute(
        connection,
        f"INSERT INTO {table} ({', '.join(_COLUMNS)}) VALUES ({places}) ON CONFLICT (name) DO UPDATE SET {changes}",  # noqa: S608
        values,
    )
    return not rows


def remove(connection: Connection, access: BudgetAccess, name: str) -> bool:
    """Remove a budget and what is known of its alerts; False when there is none. Raises `DatabaseError`."""
    schema = quote(access.schema)
    count, _ = execute(connection, f"DELETE FROM {schema}.{BUDGETS} WHERE name = %s", (name,))  # noqa: S608  our own name
    if count:
        execute(connection, f"DELETE FROM {schema}.{ALERTS} WHERE budget = %s", (name,))  # noqa: S608
    return bool(count)
