"""The questions: one `.sql` file each, which opens with the question and runs as it is in psql."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tracker.database.table import COLUMN_NAMES, DEFAULT_SCHEMA

_MARKER = "FROM token_usage AS calls"


@dataclass(frozen=True, slots=True)
class Query:
    """A question's SQL without psql's own commands; `:names` are bound parameters."""

    text: str

    @property
    def reads_table(self) -> bool:
        """Whether it asks the table of calls, or the server about itself."""
        return _MARKER in self.text

    def text_for(self, schema: str | None, created_at_zone: str | None) -> str:
        """The SQL for a table in another schema, or one whose `created_at` has no zone (then also binds it)."""
        table = f'"{(schema or DEFAULT_SCHEMA).replace(chr(34), chr(34) * 2)}".token_usage'
        if created_at_zone is None:
            return self.text.replace(_MARKER, f"FROM {table} AS calls")
        columns = ", ".join(name for name in COLUMN_NAMES if name != "created_at")
        return self.text.replace(
            _MARKER,
            f"FROM (SELECT {columns}, created_at AT TIME ZONE :created_at_zone AS created_at FROM {table}) AS calls",  # noqa: S608 - names of ours, the zone is bound
        )


@cache
def load(question: str) -> Query:
    """Read a question's file; psql's backslash commands, which only set defaults there, are left out."""
    text = files(__package__).joinpath(f"{question}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("\\")]
    return Query("\n".join(lines))
