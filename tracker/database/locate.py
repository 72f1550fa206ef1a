"""Selects the database: the one in DATABASE_URL, or on a developer's machine the embedded one."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.database import embedded
from tracker.database.connect import Connection, connect
from tracker.database.migrate import migrate
from tracker.database.url import DatabaseUrl, clean
from tracker.errors import SettingError
from tracker.messages import Message
from tracker.platforms import application_name
from tracker.settings import Settings


@dataclass(frozen=True, slots=True)
class Database:
    """A database that commands and the dashboard use."""

    url: DatabaseUrl
    embedded: bool
    settings: Settings

    def connect(self, role: str = "token-tracker") -> Connection:
        """A new autocommit connection within the connect timeout. Raises `DatabaseError`."""
        name = application_name(self.settings.runtime, role)
        return connect(self.url, timeout_s=self.settings.connect_timeout_s, application_name=name, reset_session=True)


def locate(settings: Settings) -> Database:
    """The database of DATABASE_URL; without one, on a local runtime, the embedded one, started and migrated.

    Raises `SettingError` if neither is available, `DatabaseError` if the embedded one doesn't start.
    """
    if settings.database_url:
        url = clean(settings.database_url, settings.database_url_variable)
        return Database(url, embedded=False, settings=settings)
    if settings.runtime.deployed:
        raise SettingError(Message("database.database_url_missing_on_platform", platform=settings.runtime.platform))
    if not embedded.available():
        raise SettingError(Message("database.database_url_missing"))
    database = Database(embedded.start(settings.embedded_dir), embedded=True, settings=settings)
    migrate(database.connect)
    return database
