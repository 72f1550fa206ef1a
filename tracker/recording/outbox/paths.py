"""The paths of outboxes: one file for each database, in a directory of this user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import OutboxError, SettingError
from tracker.forks import fork_guard
from tracker.messages import Message
from tracker.platforms import Runtime, user_directory

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl
    from tracker.settings import Settings

UNASSIGNED = "unassigned.db"
DAMAGED, SALVAGED = ".damaged-", ".salvaged-"


def outbox_directory(runtime: Runtime) -> Path:
    """The temporary directory on serverless, where no other directory is writable; else the user's state directory."""
    if not runtime.serverless:
        try:
            return user_directory("state")
        except SettingError:  # a user without a home
            pass
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp") / f"token-tracker{user}"  # noqa: S108


def outbox_file(settings: Settings, url: DatabaseUrl | None) -> Path:
    """The outbox of a database; without a valid URL the outbox is `unassigned.db`.

    The file name contains a digest of the server and database, so that records are never delivered to another database.
    """
    if settings.outbox:
        return Path(os.path.expanduser(settings.outbox))  # noqa: PTH111  Path.expanduser raises for an unknown user
    name = UNASSIGNED if url is None else f"outbox-{_digest(url)}.db"
    return outbox_directory(settings.runtime) / name


def with_absolute_path(settings: Settings) -> Settings:
    """The settings with an absolute outbox path, which doesn't change with the working directory."""
    if not settings.outbox:
        return settings
    path = outbox_file(settings, None)
    with suppress(OSError):  # the working directory was removed
        path = path.absolute()
    return settings._replace(outbox=str(path))


def fallback_file(path: Path) -> Path:
    """The second file of an outbox, which receives records while the outbox is locked."""
    return Path(f"{str(path).removesuffix(path.suffix)}-2{path.suffix}")


def existing_outbox_files(path: Path) -> list[Path]:
    """The outbox and its fallback file, if they exist."""
    return [file for file in (path, fallback_file(path)) if exists(file)]


def unassigned_file(settings: Settings, url: DatabaseUrl | None) -> Path | None:
    """The outbox of records that were queued without a database URL, which a Tracker with a URL delivers."""
    if settings.outbox or url is None or _is_embedded(url):
        return None
    path = outbox_directory(settings.runtime) / UNASSIGNED
    return path if existing_outbox_files(path) else None


def embedded_source(settings: Settings) -> Path | None:
    """The outbox of records that were queued without a database URL, which only `drain --embedded` delivers there."""
    path = outbox_directory(settings.runtime) / UNASSIGNED
    return path if not settings.outbox and existing_outbox_files(path) else None


def has_pending(settings: Settings, url: DatabaseUrl | None) -> bool:
    """Whether an earlier process may have left records; not if the outbox directory doesn't exist."""
    if not settings.outbox and not exists(outbox_directory(settings.runtime)):
        return False
    return bool(existing_outbox_files(outbox_file(settings, url))) or unassigned_file(settings, url) is not None


def exists(path: Path) -> bool:
    """Whether the file exists; False if its directory isn't accessible. Never raises."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises for an inaccessible directory


def outbox_files(directory: Path) -> Iterator[Path]:
    """Every outbox in a directory."""
    yield from sorted(path for path in directory.glob("*.db") if path.is_file())


def damaged_files(path: Path) -> list[Path]:
    """The damaged files of all outboxes in the directory of this outbox."""
    files = path.parent.glob(f"*{DAMAGED}*")
    return sorted(file for file in files if file.is_file() and not file.name.endswith(("-wal", "-shm")))


def make_directory(path: Path) -> None:
    """Create the directory of an outbox, accessible only to this user. Raises `OutboxError`."""
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a directory that is writable for everyone, another user may have created it.
        if hasattr(os, "getuid") and directory.name.startswith("token-tracker-"):
            status = directory.lstat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise OutboxError(
                    "outbox_unsafe",
                    Message("recording.outbox_unsafe", directory=directory),
                )
    except OSError as error:
        raise OutboxError(
            "outbox_unwritable",
            Message("recording.outbox_directory_not_created", directory=directory, strerror=error.strerror),
        ) from None


def _digest(url: DatabaseUrl) -> str:
    with fork_guard.importing:
        import hashlib

    from tracker.database.url import SearchPath

    # A pooler for several projects identifies the project by the part of the user name after the dot.
    # Without a tenant and schema, the digest equals that of earlier versions.
    schema = None if isinstance(url.schema, SearchPath) or url.schema == "public" else url.schema
    tenant = (url.user or "").partition(".")[2]
    identity = "\n".join((url.host, url.port, url.dbname, tenant, schema or ""))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _is_embedded(url: DatabaseUrl) -> bool:
    """Whether this is the dashboard's embedded server, whose socket is in its data directory."""
    if not url.host.startswith("/"):
        return False
    socket_dir = Path(url.host)
    return exists(socket_dir / "PG_VERSION") or socket_dir.name.startswith("token-tracker")
