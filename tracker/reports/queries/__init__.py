"""The questions: one `.sql` file each, which opens with the question and runs as it is in psql."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tracker.database.table import COLUMN_NAMES, DEFAULT_SCHEMA, quote

_MARKER = "FROM token_usage AS calls"


@dataclass(frozen=True, slots=True)
class Query:
    """A question's SQL without psql's own commands; `:names` are bound parameters."""

    text: str

    @property
    def reads_table(self) -> bool:
        """Whether it asks tables of ours, or the server about itself."""
        return _MARKER in self.text or "FROM token_tracker_" in self.text

    def text_for(self, schema: str | None, created_at_zone: str | None) -> str:
        """The SQL for a table in another schema, or one whose `created_at` has no zone (then also binds it)."""
        own = quote(schema or DEFAULT_SCHEMA)
        table = f"{own}.token_usage"
        text = self.text.replace("FROM token_tracker_", f"FROM {own}.token_tracker_")
        if created_at_zone is None:
            return text.replace(_MARKER, f"FROM {table} AS calls")
        columns = ", ".join(name for name in COLUMN_NAMES if name != "created_at")
        return text.replace(
            _MARKER,
            f"FROM (SELECT {columns}, created_at AT TIME ZONE :created_at_zone AS created_at FROM {table}) AS calls",  # noqa: S608 - names of ours, the zone is bound
        )


@cache
def load(question: str) -> Query:
    """Read a question's file; psql's backslash commands, which only set defaults there, are left out."""
    text = files(__package__).joinpath(f"{question}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("\\")]
    return Query("\n".join(lines))
