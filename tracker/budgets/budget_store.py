"""Reads and writes budgets, checks this role's privileges, and reads the limits in the app's own table."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker.audit.change_log import CHANGES, COMMAND_LINE, Editor, SettingChange, change_transaction, record_change
from tracker.audit.change_log import PRIVILEGES as CHANGES_PRIVILEGES
from tracker.audit.table_rights import WRITES, read_rights
from tracker.budgets.budget import ALERT_PERCENT, Budget
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.database.sql_file import load
from tracker.errors import SettingError, SetupError
from tracker.messages import Message

BUDGETS = "token_tracker_budgets"
ALERTS = "token_tracker_budget_alerts"
THRESHOLDS = "usage_thresholds"
MAX_THRESHOLDS = 10_000
_COLUMNS = ("name", "scope", "subject", "period", "measure", "amount", "alert_percent", "timezone")


@dataclass(frozen=True, slots=True)
class BudgetAccess:
    """This role's privileges for budgets. `can_claim`: it may insert an alert's row, which allows to send the alert.

    `has_samples`: the table has the column `is_sample`; `has_properties`: it accepts the scope `property`.
    `token-tracker migrate` adds both.
    """

    exists: bool
    can_read: bool
    can_claim: bool
    has_thresholds: bool
    can_read_thresholds: bool
    role: str
    schema: str
    has_samples: bool
    has_properties: bool

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
        rows = [(False, False, False, False, False, "", False, False)]
    exists, can_read, can_claim, has_thresholds, can_read_thresholds, role, *supports = rows[0]
    return BudgetAccess(exists, can_read, can_claim, has_thresholds, can_read_thresholds, role, schema, *supports)


def require_readable(access: BudgetAccess) -> None:
    """Raise `SetupError` unless this role may read budgets."""
    if not access.exists:
        cause, remedy = Message("budgets.tables_missing"), Message("budgets.tables_missing.remedy")
        raise SetupError("budgets_missing", cause, remedy)
    if not access.can_read:
        raise SetupError("right_missing", Message("budgets.not_readable"), " ".join(access.remedies))


def require_writable(connection: Connection, access: BudgetAccess) -> None:
    """Raise `SetupError` with the remedy unless this role may change budgets and add lines to the change log.

    Raises `DatabaseError`.
    """
    needed = {BUDGETS: WRITES, ALERTS: ("SELECT", "DELETE"), CHANGES: CHANGES_PRIVILEGES}
    rights = read_rights(connection, access.schema, list(needed))
    if not all(map(rights.exists, needed)):
        raise SetupError("budgets_missing", Message("prices.table_missing"), Message("prices.table_missing.remedy"))
    rights.require_writes()
    grants = [rights.grant(table, names) for table, names in needed.items() if not rights.allows(table, names)]
    if grants:
        raise SetupError("right_missing", Message("prices.budgets_not_writable"), " ".join(grants), "42501")


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
        statement = access.remedies[-1]
        result.remarks.append(Message("budgets.limits_not_readable", table=THRESHOLDS, statement=statement))
    return result


def _add_budget(result: BudgetList, values: dict[str, Any]) -> None:
    try:
        result.budgets.append(Budget(**values))
    except SettingError as error:  # the row was written by hand
        result.remarks.append(Message("budgets.ignored", name=repr(str(values["name"])[:60]), error=error))


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
        limit = f"{MAX_THRESHOLDS:,}"
        result.remarks.append(Message("budgets.limits_not_checked", count=limit, table=THRESHOLDS))
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


def save(connection: Connection, access: BudgetAccess, budget: Budget, editor: Editor = COMMAND_LINE) -> bool:
    """Store a budget under its name; False if it replaces an existing one. Raises `DatabaseError`.

    The change log gets a line if this role may add one. Raises `SetupError` if the table does not accept a budget of
    properties yet.
    """
    if budget.properties and not access.has_properties:
        cause, remedy = Message("budgets.properties_unsupported"), Message("budgets.properties_unsupported.remedy")
        raise SetupError("budgets_missing", cause, remedy)
    values = {name: getattr(budget, name) for name in access.columns}
    parameters = ", ".join(f"%({name})s" for name in access.columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in access.columns[1:])
    with change_transaction(connection, access.schema):
        old = _read_values(connection, access, budget.name)
        execute(
            connection,
            f"INSERT INTO {quote(access.schema)}.{BUDGETS} ({', '.join(access.columns)}) VALUES ({parameters})"  # noqa: S608
            f" ON CONFLICT (name) DO UPDATE SET {changes}",
            values,
        )
        record_change(connection, access.schema, SettingChange("budget", budget.name, editor, old, _describe(values)))
    return old is None


def remove(connection: Connection, access: BudgetAccess, name: str, editor: Editor = COMMAND_LINE) -> bool:
    """Remove a budget and its alerts; False if it doesn't exist. Raises `DatabaseError`.

    The change log gets a line if this role may add one.
    """
    schema = quote(access.schema)
    with change_transaction(connection, access.schema):
        old = _read_values(connection, access, name)
        if old is not None:
            execute(connection, f"DELETE FROM {schema}.{BUDGETS} WHERE name = %s", (name,))  # noqa: S608  our own name
            execute(connection, f"DELETE FROM {schema}.{ALERTS} WHERE budget = %s", (name,))  # noqa: S608
            record_change(connection, access.schema, SettingChange("budget", name, editor, old, None))
    return old is not None


def _read_values(connection: Connection, access: BudgetAccess, name: str) -> dict[str, str] | None:
    """The values of a budget for the change log; None if it doesn't exist."""
    _, rows = execute(
        connection,
        f"SELECT {', '.join(_COLUMNS)} FROM {quote(access.schema)}.{BUDGETS} WHERE name = %s",  # noqa: S608
        (name,),
    )
    return _describe(dict(zip(_COLUMNS, rows[0], strict=True))) if rows else None


def _describe(values: dict[str, Any]) -> dict[str, str]:
    texts = {
        name: format(value, "f") if isinstance(value, Decimal) else str(value)
        for name, value in values.items()
        if name in _COLUMNS and value is not None
    }
    # 100 and 100.00 are the same limit.
    return texts | {"amount": format(Decimal(texts["amount"]).normalize(), "f")}


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
