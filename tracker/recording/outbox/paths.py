"""Where outboxes lie: one file a database, in a directory that is this user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import OutboxError, SettingError
from tracker.platforms import Runtime, user_directory
from tracker.threads import fork_guard

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl
    from tracker.settings import Settings

UNASSIGNED = "unassigned.db"
DAMAGED, SALVAGED = ".damaged-", ".salvaged-"


def outbox_directory(runtime: Runtime) -> Path:
    """The platform's temporary directory on serverless, where nothing else can be written; else the user's state."""
    if not runtime.serverless:
        try:
            return user_directory("state")
        except SettingError:  # a user without a home
            pass
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp") / f"token-tracker{user}"  # noqa: S108


def outbox_file(settings: Settings, url: DatabaseUrl | None) -> Path:
    """The outbox of a database; without a readable address records wait in `unassigned.db`.

    The file's name holds a digest of the server and database, so that no record ends up in another one.
    """
    if settings.outbox:
        return Path(os.path.expanduser(settings.outbox))  # noqa: PTH111  Path's own raises for an unknown user
    name = UNASSIGNED if url is None else f"outbox-{_digest(url)}.db"
    return outbox_directory(settings.runtime) / name


def with_absolute_path(settings: Settings) -> Settings:
    """The settings with an outbox that stays where it is when the process changes its directory later."""
    if not settings.outbox:
        return settings
    path = outbox_file(settings, None)
    with suppress(OSError):  # the directory that we are in was removed
        path = path.absolute()
    return settings._replace(outbox=str(path))


def fallback_file(path: Path) -> Path:
    """The file beside an outbox that takes records while the outbox itself stays locked."""
    return Path(f"{str(path).removesuffix(path.suffix)}-2{path.suffix}")


def existing_outbox_files(path: Path) -> list[Path]:
    """Those of an outbox and its second file that exist."""
    return [found for found in (path, fallback_file(path)) if exists(found)]


def unassigned_file(settings: Settings, url: DatabaseUrl | None) -> Path | None:
    """The records that were queued while no address was readable, for the Tracker of a real database to adopt."""
    if settings.outbox or url is None or _is_embedded(url):
        return None
    found = outbox_directory(settings.runtime) / UNASSIGNED
    return found if existing_outbox_files(found) else None


def has_pending(settings: Settings, url: DatabaseUrl | None) -> bool:
    """Whether an earlier process may have left records for us; a fresh machine is known by its missing directory."""
    if not settings.outbox and not exists(outbox_directory(settings.runtime)):
        return False
    return bool(existing_outbox_files(outbox_file(settings, url))) or unassigned_file(settings, url) is not None


def exists(path: Path) -> bool:
    """Whether there is such a file, as far as we may know; raises nothing."""
    return os.path.exists(path)  # noqa: PTH110  Path's own raises where a directory is closed


def outbox_files(directory: Path) -> Iterator[Path]:
    """Every outbox in a directory."""
    yield from sorted(path for path in directory.glob("*.db") if path.is_file())


def damaged_files(path: Path) -> list[Path]:
    """The damaged files that were moved away from an outbox, and from the others in its directory."""
    found = path.parent.glob(f"*{DAMAGED}*")
    return sorted(one for one in found if one.is_file() and not one.name.endswith(("-wal", "-shm")))


def make_directory(path: Path) -> None:
    """Make the directory of an outbox, readable by this user alone. Raises `OutboxError`."""
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a directory that all may write to, somebody else may have made ours first.
        if hasattr(os, "getuid") and directory.name.startswith("token-tracker-"):
            status = directory.lstat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise OutboxError(
                    "outbox_unsafe",
                    f"The outbox's directory {directory} can be written by others; set TRACKER_OUTBOX to a file"
                    " in a directory of your own.",
                )
    except OSError as error:
        raise OutboxError(
            "outbox_unwritable",
            f"The outbox's directory {directory} can't be made: {error.strerror}. Set TRACKER_OUTBOX to a file that"
            " can be written.",
        ) from None


def _digest(url: DatabaseUrl) -> str:
    with fork_guard.importing:
        import hashlib

    from tracker.database.url import SearchPath

    # A pooler that serves several projects tells them apart by what follows the dot in the user's name.
    # The name stays that of earlier versions, for which these were one.
    named = None if isinstance(url.schema, SearchPath) or url.schema == "public" else url.schema
    tenant = (url.user or "").partition(".")[2]
    place = "\n".join((url.host, url.port, url.dbname, tenant, named or ""))
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _is_embedded(url: DatabaseUrl) -> bool:
    """Whether this is the server that came with the dashboard: its socket lies in its data directory."""
    if not url.host.startswith("/"):
        return False
    socket_dir = Path(url.host)
    return exists(socket_dir / "PG_VERSION") or socket_dir.name.startswith("token-tracker")
