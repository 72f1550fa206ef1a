"""Stores the prices that are set on the dashboard's page, with a line in the change log for each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from tracker.audit.change_log import CHANGES, Editor, SettingChange, change_transaction, record_change
from tracker.audit.change_log import PRIVILEGES as CHANGES_PRIVILEGES
from tracker.audit.table_rights import WRITES, TableRights, read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.errors import SettingError, SetupError
from tracker.messages import Message
from tracker.prices.custom_prices import ALWAYS, RATES, STORED_SOURCE, CustomPrice, is_valid_rate, sort_by_precedence

PRICES = "token_tracker_prices"
_KEY = ("model", "provider", "service_tier", "valid_from")
_VALUES = (*RATES, "same_as", "same_provider")


@dataclass(frozen=True, slots=True)
class PriceAccess:
    """This role's privileges on the stored prices and on the change log."""

    rights: TableRights

    @property
    def exists(self) -> bool:
        return self.rights.exists(PRICES) and self.rights.exists(CHANGES)

    @property
    def can_read(self) -> bool:
        return self.rights.allows(PRICES, ["SELECT"])

    @property
    def can_write(self) -> bool:
        return self.rights.allows(PRICES, WRITES) and self.rights.allows(CHANGES, CHANGES_PRIVILEGES)

    @property
    def remedies(self) -> list[str]:
        """The command or the statements that allow this role to set prices; empty if it may."""
        if not self.exists:
            return ["token-tracker migrate"]
        missing = ((PRICES, WRITES), (CHANGES, CHANGES_PRIVILEGES))
        return [self.rights.grant(table, names) for table, names in missing if not self.rights.allows(table, names)]


def read_access(connection: Connection, schema: str | None) -> PriceAccess:
    """Raises `DatabaseError`."""
    return PriceAccess(read_rights(connection, read_table(connection, schema).schema, [PRICES, CHANGES]))


def read_prices(connection: Connection, access: PriceAccess) -> tuple[CustomPrice, ...]:
    """The stored prices, the most specific and latest first; none before the migration that creates the table.

    Raises `SetupError` with the GRANT if the role may not read them, because it would calculate other costs.
    """
    if not access.rights.exists(PRICES):
        return ()
    if not access.can_read:
        raise SetupError(
            "right_missing", Message("prices.not_readable"), access.rights.grant(PRICES, ["SELECT"]), "42501"
        )
    columns = ", ".join((*_KEY[:-1], "valid_from::text", *_VALUES))
    _, rows = execute(connection, f"SELECT {columns} FROM {quote(access.rights.schema)}.{PRICES}")  # noqa: S608
    return sort_by_precedence(_price(dict(zip((*_KEY, *_VALUES), row, strict=True))) for row in rows)


def _price(row: Mapping[str, Any]) -> CustomPrice:
    return CustomPrice(
        model=row["model"],
        provider=row["provider"] or None,
        since=datetime.combine(date.fromisoformat(row["valid_from"]), time(), UTC),
        rates={name: row[name] for name in RATES if row[name] is not None},
        same_as=row["same_as"],
        same_provider=row["same_provider"],
        tier=row["service_tier"] or None,
        source=STORED_SOURCE,
    )


def price_key(price: CustomPrice) -> tuple[str, str, str, date]:
    """The values that identify a stored price: model, provider, service tier, and first day."""
    return price.model, price.provider or "", price.tier or "", price.since.date()


def save_price(connection: Connection, access: PriceAccess, price: CustomPrice, editor: Editor) -> CustomPrice | None:
    """Store a price; returns the price that it replaces.

    Raises `SettingError` for an invalid rate, `SetupError` without the privileges, and `DatabaseError`.
    """
    require_writable(access)
    row = {**dict(zip(_KEY, price_key(price), strict=True)), **_values(price)}
    if not all(is_valid_rate(rate) for rate in price.rates.values()):
        raise SettingError(Message("prices.rate_invalid"))
    changes = ", ".join(f"{name} = excluded.{name}" for name in _VALUES)
    names = ", ".join(row)
    parameters = ", ".join(f"%({name})s" for name in row)
    with change_transaction(connection, access.rights.schema):
        old = _find(connection, access, price)
        execute(
            connection,
            f"INSERT INTO {quote(access.rights.schema)}.{PRICES} ({names}) VALUES ({parameters})"  # noqa: S608
            f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changes}, updated_at = now()",
            row,
        )
        _record(connection, access, old, price, editor)
    return old


def remove_price(connection: Connection, access: PriceAccess, price: CustomPrice, editor: Editor) -> bool:
    """Remove a stored price; False if it does not exist. Raises `SetupError` (no privileges) and `DatabaseError`."""
    require_writable(access)
    with change_transaction(connection, access.rights.schema):
        old = _find(connection, access, price)
        execute(connection, f"DELETE FROM {quote(access.rights.schema)}.{PRICES} WHERE {_IS_KEY}", price_key(price))  # noqa: S608
        _record(connection, access, old, None, editor)
    return old is not None


_IS_KEY = " AND ".join(f"{name} = %s" for name in _KEY)


def require_writable(access: PriceAccess) -> None:
    """Raise `SetupError` with the remedy unless this role may set prices."""
    if not access.exists:
        raise SetupError("table_missing", Message("prices.table_missing"), Message("prices.table_missing.remedy"))
    access.rights.require_writes()
    if not access.can_write:
        raise SetupError("right_missing", Message("prices.not_writable"), " ".join(access.remedies), "42501")


def _find(connection: Connection, access: PriceAccess, price: CustomPrice) -> CustomPrice | None:
    key = price_key(price)
    return next((stored for stored in read_prices(connection, access) if price_key(stored) == key), None)


def _record(
    connection: Connection, access: PriceAccess, old: CustomPrice | None, new: CustomPrice | None, editor: Editor
) -> None:
    price = new or old
    if price is None:
        return
    before, after = (None if one is None else describe(one) for one in (old, new))
    record_change(connection, access.rights.schema, SettingChange("price", price.model, editor, before, after))


def describe(price: CustomPrice) -> dict[str, str]:
    """The values of a price as text, for the change log; without those that are not set."""
    model, provider, tier, since = price_key(price)
    key = {"provider": provider, "service_tier": tier, "from": "" if price.since == ALWAYS else since.isoformat()}
    values = {name: _as_text(value) for name, value in _values(price).items() if value is not None}
    return {"model": model, **{name: value for name, value in key.items() if value}, **values}


def _values(price: CustomPrice) -> dict[str, Decimal | str | None]:
    rates: dict[str, Decimal | str | None] = {name: price.rates.get(name) for name in RATES}
    return {**rates, "same_as": price.same_as, "same_provider": price.same_provider}


def _as_text(value: Decimal | str) -> str:
    # 0.50 and 0.5 are the same rate.
    return value if isinstance(value, str) else format(value.normalize(), "f")
