"""Every error of this library, in one tree.

    TrackerError
    ├── UsageError (ValueError)       a value of a record is invalid: correct the caller
    ├── UsageTypeError (TypeError)    a value of a record has the wrong type: correct the caller
    ├── SettingError (ValueError)     a setting is invalid: correct the named variable
    ├── OutboxError                   the local outbox can't store a record: disk full, read-only, damaged
    └── DatabaseError                 the database refused or did not answer
        ├── TransientError            temporary: retried
        ├── SetupError                permanent until a person acts: table, privilege, password
        └── RecordError               this record is never accepted: correct the record
            └── TableError            the table refuses it until a person corrects the table: the record waits

`record` raises none of the database errors: it returns an outcome. Commands print the error's text as their one line.
"""

from __future__ import annotations

from typing import Self

from tracker.messages import Message, join_messages


class TrackerError(Exception):
    """The root of all errors of this library; the text of each error is a sentence for the user."""

    def copy(self) -> Self:
        """The same error as a new object without a traceback.

        An error that was stored is raised as a copy: each raise of one object makes its traceback longer.
        """
        copied = type(self).__new__(type(self), *self.args)
        copied.__dict__.update(self.__dict__)
        return copied


class UsageError(TrackerError, ValueError):
    """A record contains an invalid value. Correct the call that created it."""


class UsageTypeError(TrackerError, TypeError):
    """A record contains a value of the wrong type. Correct the call that created it."""


class SettingError(TrackerError, ValueError):
    """A setting is invalid. The text contains the variable, its value (masked if secret) and the allowed values."""


class OutboxError(TrackerError):
    """The local outbox can't store a record. The text contains the cause and the remedy; `code` is stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class DatabaseError(TrackerError):
    """The database refused, or didn't answer.

    `code` is stable, for programs ("password_wrong"); `sentence` describes the failure, `remedy` the solution, both
    are messages of the catalog;
    `sqlstate` is the server's code, or None. None of them contains the driver's text or a secret.
    `object_name` is the constraint, column or table in the server's message.
    `server_words` is the redacted text of an unknown login error; the error's text contains it, an alert doesn't.
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
        super().__init__(join_messages([self.cause, remedy]))

    @property
    def cause(self) -> str:
        """The sentence, followed by the server's message if that is unknown."""
        if not self.server_words:
            return self.sentence
        return Message("general.server_message", sentence=self.sentence, words=self.server_words)

    @property
    def text_for_alerts(self) -> str:
        """The error's text without the server's message, since an alert leaves the machine."""
        return join_messages([self.sentence, self.remedy])


class TransientError(DatabaseError):
    """A temporary failure: a lost connection, a restart, a full server. It is retried within the deadline."""


class SetupError(DatabaseError):
    """A permanent failure until a person acts: a missing table, privilege or database, a wrong password."""


class RecordError(DatabaseError):
    """The database never accepts this record: it violates a constraint, or contains a value that can't be stored."""

    @property
    def kind(self) -> tuple[str, str] | None:
        """The key of refusals with the same cause; None if the server sent no SQLSTATE."""
        return (self.sqlstate, self.object_name or "") if self.sqlstate else None


class TableError(RecordError):
    """The table refuses records of this kind until a person corrects the table. The records wait; others continue."""
