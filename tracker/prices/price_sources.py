"""The custom prices of a dashboard or a command: those of the TOML file take precedence over the stored ones.

The file belongs to the deployment: it is reviewed and the same for everybody who runs it, so a change on a page must
not replace it silently. The page states when a price of the file applies instead of a stored one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tracker.database.connect import Connection
from tracker.prices import custom_prices, price_store
from tracker.prices.custom_prices import CustomPrice
from tracker.prices.price_catalog import PriceCatalog, catalog_for


@dataclass(frozen=True, slots=True)
class CustomPrices:
    """The prices of the file and the stored ones, each in the order in which they are tried."""

    file: tuple[CustomPrice, ...] = ()
    stored: tuple[CustomPrice, ...] = ()

    @property
    def ordered(self) -> tuple[CustomPrice, ...]:
        """All prices in the order in which they are tried: a price of the file that applies to a call is used."""
        return self.file + self.stored

    def catalog(self) -> PriceCatalog:
        """The catalog of these prices; the same one as long as they do not change. Raises `SettingError`."""
        return catalog_for(self.ordered)

    def overriding(self, price: CustomPrice, now: datetime | None = None) -> CustomPrice | None:
        """The price of the file that applies instead of a stored one now, or from its first day on."""
        at = max(price.since, now or datetime.now(UTC))
        return next((other for other in self.file if _overrides(other, price, at)), None)


def _overrides(other: CustomPrice, price: CustomPrice, at: datetime) -> bool:
    is_same_tier = other.tier == price.tier or (other.same_as is not None and other.tier is None)
    if price.model.endswith("*") and not other.model.endswith("*"):
        return False
    return is_same_tier and other.applies(price.provider or "", price.model.removesuffix("*"), at)


def read_custom_prices(connection: Connection, schema: str | None, path: str | None) -> CustomPrices:
    """The prices of the TOML file `path` and those of the database. Raises `SettingError`, `DatabaseError`."""
    file = custom_prices.load(path)
    return CustomPrices(file, price_store.read_prices(connection, price_store.read_access(connection, schema)))


def load_catalog(connection: Connection, schema: str | None, path: str | None) -> PriceCatalog:
    """The catalog that prices all calls: file, then stored prices, then genai-prices.

    Raises `SettingError` for an invalid file and without genai-prices, `DatabaseError`.
    """
    return read_custom_prices(connection, schema, path).catalog()
