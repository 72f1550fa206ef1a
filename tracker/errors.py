"""Every error of this library, in one tree.

    TrackerError
    ├── UsageError (ValueError)       a value of a record can't be right: correct the caller
    ├── UsageTypeError (TypeError)    a value of a record has the wrong type: correct the caller
    ├── SettingError (ValueError)     a setting can't be read: correct the variable it names
    ├── OutboxError                   the local outbox can't hold a record: disk full, read-only, damaged
    └── DatabaseError                 the database said no, or nothing
        ├── TransientError            passes by itself: tried again
        ├── SetupError                passes when a person acts: table, right, password
        └── RecordError               this record will never be accepted: correct the record
            └── TableError            the table refuses it until a person corrects the table: the record waits

`record` raises none of the database errors: it returns an outcome. Commands print the error's text as their one line.
"""

from __future__ import annotations

from typing import Self


class TrackerError(Exception):
    """Anything this library says went wrong; its text is written for the person who reads it."""

    def copy(self) -> Self:
        """The same error as a new object without a traceback.

        An error that was stored is raised as a copy: each raise of one object makes its traceback longer.
        """
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__)
        return made


class UsageError(TrackerError, ValueError):
    """A record holds a value that can't be right. Correct the call that made it."""


class UsageTypeError(TrackerError, TypeError):
    """A record holds a value of the wrong type. Correct the call that made it."""


class SettingError(TrackerError, ValueError):
    """A setting can't be read. The text names the variable, what it holds (masked if secret) and what it may hold."""


class OutboxError(TrackerError):
    """The local outbox can't hold a record: what happened, why, and what to do. `code` is a stable word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class DatabaseError(TrackerError):
    """The database refused or didn't answer: what happened, why, and what to do.

    `code` is a stable word for programs ("password_wrong"), `sentence` says what happened, `remedy` what to do,
    `sqlstate` is the server's code where it gave one. None of them holds the driver's text or a secret.
    `object_name` is the constraint, column or table that the server names.
    `server_words` is what an unknown refusal of a login says, masked; the error's text shows it, an alert doesn't.
    """

    def __init__(
        self,
        code: str,
        sentence: str,
        remedy: str,
        sqlstate: str | None = None,
        *,
        server_words: str | None = None,
        object_name: str | None = None,
    ) -> None:
        self.code = code
        self.sentence = sentence
        self.remedy = remedy
        self.sqlstate = sqlstate
        self.server_words = server_words
        self.object_name = object_name
        super().__init__(f"{self.cause} {remedy}".strip())

    @property
    def cause(self) -> str:
        """The sentence, with the server's own words where it gave any that are unknown."""
        return f'{self.sentence} The server\'s message: "{self.server_words}".' if self.server_words else self.sentence

    @property
    def text_for_alerts(self) -> str:
        """The error's text without words of a server: an alert leaves the machine."""
        return f"{self.sentence} {self.remedy}".strip()


class TransientError(DatabaseError):
    """Passes by itself: a cut connection, a restart, a full server. It is tried again within the deadline."""


class SetupError(DatabaseError):
    """Lasts until a person acts: a missing table, right or database, a wrong password. Trying again doesn't help."""


class RecordError(DatabaseError):
    """The database will never take this record: a constraint or a value it can't hold."""

    @property
    def kind(self) -> tuple[str, str] | None:
        """What refusals with the same cause have in common; None where the server gave no SQLSTATE."""
        return (self.sqlstate, self.object_name or "") if self.sqlstate else None


class TableError(RecordError):
    """The table refuses records of this kind until a person corrects the table. The records wait; others continue."""
