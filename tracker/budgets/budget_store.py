"""Reads and writes budgets, checks this role's privileges, and reads the limits in the app's own table."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker.budgets.budget import ALERT_PERCENT, Budget
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.database.sql_file import load
from tracker.errors import SettingError, SetupError

BUDGETS = "token_tracker_budgets"
ALERTS = "token_tracker_budget_alerts"
THRESHOLDS = "usage_thresholds"
MAX_THRESHOLDS = 10_000
_COLUMNS = ("name", "scope", "subject", "period", "measure", "amount", "alert_percent", "timezone")


@dataclass(frozen=True, slots=True)
class BudgetAccess:
    """This role's privileges for budgets. `can_claim`: it may insert an alert's row, which allows to send the alert.

    `has_samples`: the table has the column `is_sample`, which `token-tracker migrate` adds.
    """

    exists: bool
    can_read: bool
    can_claim: bool
    has_thresholds: bool
    can_read_thresholds: bool
    role: str
    schema: str
    has_samples: bool

    @property
    def remedies(self) -> list[str]:
        """The statements that grant the missing privileges."""
        if not self.exists:
            return ["token-tracker migrate"]
        statements = []
        if not (self.can_read and self.can_claim):
            statements.append(f"GRANT SELECT ON {self._name(BUDGETS)} TO {quote(self.role)};")
            statements.append(f"GRANT SELECT, INSERT ON {self._name(ALERTS)} TO {quote(self.role)};")
        if self.has_thresholds and not self.can_read_thresholds:
            statements.append(f"GRANT SELECT ON {self._name(THRESHOLDS)} TO {quote(self.role)};")
        return statements

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a budget."""
        return (*_COLUMNS, "is_sample") if self.has_samples else _COLUMNS

    def _name(self, table: str) -> str:
        return f"{quote(self.schema)}.{table}"


@dataclass(frozen=True, slots=True)
class BudgetList:
    """All budgets, and a remark for each budget or limit that is ignored."""

    budgets: list[Budget] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_access(connection: Connection, schema: str | None) -> BudgetAccess:
    """Raises `DatabaseError`."""
    table = read_table(connection, schema)
    schema = table.schema
    names = {"budgets": BUDGETS, "alerts": ALERTS, "thresholds": THRESHOLDS, "schema": schema}
    _, rows = execute(connection, load("tracker.budgets.sql", "access").for_driver(table), names)
    if not rows:  # no such schema
        rows = [(False, False, False, False, False, "", False)]
    exists, can_read, can_claim, has_thresholds, can_read_thresholds, role, has_samples = rows[0]
    return BudgetAccess(exists, can_read, can_claim, has_thresholds, can_read_thresholds, role, schema, has_samples)


def require_readable(access: BudgetAccess) -> None:
    """Raise `SetupError` unless this role may read budgets."""
    if not access.exists:
        raise SetupError("budgets_missing", "The tables of budgets don't exist.", "Create them: token-tracker migrate.")
    if not access.can_read:
        raise SetupError("right_missing", "This database user may not read the budgets.", " ".join(access.remedies))


def read_budgets(connection: Connection, access: BudgetAccess) -> BudgetList:
    """The stored budgets and those of the app's own table. Raises `DatabaseError`."""
    result = BudgetList()
    if access.can_read:
        _, rows = execute(
            connection,
            f"SELECT {', '.join(access.columns)} FROM {quote(access.schema)}.{BUDGETS} ORDER BY name",  # noqa: S608  our own names
        )
        for row in rows:
            _add_budget(result, dict(zip(access.columns, row, strict=True)))
    if access.has_thresholds and access.can_read_thresholds:
        _read_thresholds(connection, access.schema, result)
    elif access.has_thresholds:
        result.remarks.append(f"This database user may not read {THRESHOLDS}: {access.remedies[-1]}")
    return result


def _add_budget(result: BudgetList, values: dict[str, Any]) -> None:
    try:
        result.budgets.append(Budget(**values))
    except SettingError as error:  # the row was written by hand
        result.remarks.append(f"Budget {str(values['name'])[:60]!r} is ignored: {error}")


def _read_thresholds(connection: Connection, schema: str, result: BudgetList) -> None:
    """Add the limits of the app's table, read as JSON, since the app defines the types of its columns."""
    names = ("user_id", "daily_limit", "monthly_limit", "alert_enabled", "alert_threshold")
    columns = ", ".join(f"limits ->> '{name}'" for name in names)
    _, rows = execute(
        connection,
        f"SELECT {columns} FROM (SELECT to_jsonb(thresholds) AS limits FROM {quote(schema)}.{THRESHOLDS} AS thresholds)"  # noqa: S608
        f" AS thresholds WHERE limits ->> 'user_id' <> '' ORDER BY 1 LIMIT {MAX_THRESHOLDS + 1}",
    )
    if len(rows) > MAX_THRESHOLDS:
        result.remarks.append(f"Only the first {MAX_THRESHOLDS:,} users of {THRESHOLDS} are checked.")
    for user, daily, monthly, enabled, threshold in rows[:MAX_THRESHOLDS]:
        alert_percent = None if enabled in {"false", "0", "f", "no"} else _parse_percent(threshold)
        for period, limit in (("day", daily), ("month", monthly)):
            if (amount := _parse_number(limit)) is not None and amount > 0:
                values = {"scope": "user", "subject": user, "period": period, "measure": "tokens", "amount": amount}
                name = f"{THRESHOLDS} {period} {user}"
                _add_budget(result, {"name": name, **values, "alert_percent": alert_percent, "own": False})


def _parse_number(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _parse_percent(text: str | None) -> int:
    """The percentage of a share (0.8) or a percentage (80); 80 for other values."""
    number = _parse_number(text)
    if number is None or not 0 < number <= 100:
        return ALERT_PERCENT
    return max(1, round(number * 100 if number <= 1 else number))


def save(connection: Connection, access: BudgetAccess, budget: Budget) -> bool:
    """Store a budget under its name; False if it replaces an existing one. Raises `DatabaseError`."""
    values = {name: getattr(budget, name) for name in access.columns}
    parameters = ", ".join(f"%({name})s" for name in access.columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in access.columns[1:])
    table = f"{quote(access.schema)}.{BUDGETS}"
    _, rows = execute(connection, f"SELECT 1 FROM {table} WHERE name = %(name)s", values)  # noqa: S608  our own names
    execute(
        connection,
        f"INSERT INTO {table} ({', '.join(access.columns)}) VALUES ({parameters})"  # noqa: S608
        f" ON CONFLICT (name) DO UPDATE SET {changes}",
        values,
    )
    return not rows


def remove(connection: Connection, access: BudgetAccess, name: str) -> bool:
    """Remove a budget and its alerts; False if it doesn't exist. Raises `DatabaseError`."""
    schema = quote(access.schema)
    count, _ = execute(connection, f"DELETE FROM {schema}.{BUDGETS} WHERE name = %s", (name,))  # noqa: S608  our own name
    if count:
        execute(connection, f"DELETE FROM {schema}.{ALERTS} WHERE budget = %s", (name,))  # noqa: S608
    return bool(count)


def add_sample(connection: Connection, access: BudgetAccess, budget: Budget) -> None:
    """Store a budget as a sample, unless there is a budget with its name. Raises `DatabaseError`."""
    values = {name: getattr(budget, name) for name in _COLUMNS}
    parameters = ", ".join(f"%({name})s" for name in _COLUMNS)
    execute(
        connection,
        f"INSERT INTO {quote(access.schema)}.{BUDGETS} ({', '.join(_COLUMNS)}, is_sample)"  # noqa: S608  our own names
        f" VALUES ({parameters}, true) ON CONFLICT (name) DO NOTHING",
        values,
    )


def remove_samples(connection: Connection, access: BudgetAccess) -> None:
    """Remove the sample budgets. Raises `DatabaseError`."""
    table = f"{quote(access.schema)}.{BUDGETS}"
    _, rows = execute(connection, f"SELECT EXISTS (SELECT 1 FROM {table} WHERE is_sample)")  # noqa: S608  our own name
    if rows[0][0]:
        execute(connection, f"DELETE FROM {table} WHERE is_sample")  # noqa: S608
