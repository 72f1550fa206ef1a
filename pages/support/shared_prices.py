"""The custom prices and the price catalog that all readers share, at most some seconds old."""

from __future__ import annotations

from pages.support.ttl_cache import cached, forget, generation
from tracker.errors import DatabaseError, SettingError
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_sources import CustomPrices, read_custom_prices
from tracker.reports import Reader
from tracker.reports.engine import current_reader

# A price that another process saves applies on the pages within this time, as it does in the minute task.
_TTL_S = 20.0


def shared_prices(reader: Reader) -> CustomPrices:
    """The prices of the file and of the database. Raises `SettingError`, `DatabaseError`."""

    def load() -> CustomPrices:
        with reader.borrow() as connection:
            return read_custom_prices(connection, reader.database.url.schema, current_reader.settings().prices)

    return cached(_key(reader), _TTL_S, load)


def shared_catalog(reader: Reader) -> PriceCatalog | None:
    """The catalog of these prices; None without genai-prices, with an invalid file, or without the right to read."""
    try:
        return shared_prices(reader).catalog()
    except (SettingError, DatabaseError):
        return None


def forget_prices(reader: Reader) -> None:
    """Read the prices again at the next use, after a change in this process."""
    forget(_key(reader))


def _key(reader: Reader) -> tuple[str, int]:
    return "custom_prices", generation(reader)
