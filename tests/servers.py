"""A PostgreSQL server of a test's own, which it may stop, start and fill up."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

from support import connect, run, with_role

from tracker.database.embedded import _Server
from tracker.database.migrate import migrate


class Server:
    """The embedded wheel's server in a directory of its own, with token_usage and a role `app` that may use it."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tracker-server-"))
        self._server = _Server(self._directory)

    def __enter__(self) -> Self:
        self._server.join()
        run(
            self.admin_url,
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET max_connections = 20",
            "CREATE ROLE app LOGIN",
        )
        migrate(lambda: connect(self.admin_url))
        run(self.admin_url, "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO app")
        self.stop()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.leave()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def admin_url(self) -> str:
        """A superuser's URL, for whom connections are kept back."""
        return f"postgresql://postgres@/postgres?host={quote(self._server.url.host)}"

    @property
    def url(self) -> str:
        """The URL of the role that records."""
        return with_role(self.admin_url, "app")

    def stop(self) -> None:
        """End every session at once and go, as in a crash or a failover."""
        self._server._pg_ctl("stop", "-m", "immediate")

    def start(self) -> None:
        """Come back and take connections."""
        self._server._launch()

    def clear(self) -> None:
        run(self.admin_url, "TRUNCATE token_usage, token_tracker_ledger, token_tracker_alerts")
