"""Messages of recording and the outbox; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "deadline": "The database didn't respond within the record's deadline.",
    "deadline.remedy": "Check the locks on token_usage and the network.",
    "row_swallowed": "The table accepted the record but stored no row: a trigger or rule of the table dropped it, or"
    " row-level security hides it.",
    "row_swallowed.remedy": "Correct the trigger, rule or policy on token_usage.",
    "recording_failed": "Recording failed with {error_type}; the record is in the log.",
    "database_url_missing": "DATABASE_URL is not set.",
    "database_url_missing.remedy": "Set DATABASE_URL to postgresql://user:password@host:5432/database.",
    "drain_to_embedded_database": "To deliver records to this machine's embedded database: token-tracker outbox drain"
    " --embedded.",
    "not_attempted": "Not attempted, because the last attempt failed. {sentence}",
    "recording_interrupted": "Recording was interrupted, and the record could not be queued ({error_type}).",
    "outbox_unwritable": "The outbox {path} can't be written: {reason}. Set TRACKER_OUTBOX to a file that can be.",
    "unwritable.invalid_name": "no file can have this name",
    "unwritable.directory": "it is a directory",
    "unwritable.read_only": "it is read-only",
    "unwritable.disk": "the disk refused",
    "outbox_busy": "The outbox {path} stayed locked by another process or thread.",
    "drain_superseded": "Another process now delivers from the outbox {path}, because this process didn't respond for"
    " {stale_s} s.",
    "outbox_foreign": "The file {path} is not an outbox and stays unchanged. Set TRACKER_OUTBOX to another file.",
    "outbox_unavailable": "This Python has no sqlite3, which the outbox needs. Install it.",
    "outbox_inherited": "The outbox {path} was in use when this process was forked, and its locks are the parent's."
    " Make the Tracker after the fork.",
    "outbox_full": "The outbox {path} is full: the disk is, or it reached TRACKER_OUTBOX_MAX_MB ({max_mb}). Fix what"
    " prevents the database from accepting records, or free disk space.",
    "outbox_damaged": "The outbox {path} is damaged. Move it away and check the disk.",
    "outbox_directory_not_created": "The outbox directory {directory} can't be created: {strerror}. Set"
    " TRACKER_OUTBOX to a file that can be written.",
    "outbox_unsafe": "The outbox's directory {directory} can be written by others; set TRACKER_OUTBOX to a file in a"
    " directory of your own.",
    "sample_outage": "Sample data: the database refused connections; the records waited in the outbox.",
}  # fmt: skip
