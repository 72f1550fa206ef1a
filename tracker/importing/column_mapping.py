"""Maps a file's columns to the columns of token_usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracker.errors import SettingError
from tracker.usage import FIELDS

DEPLOYMENT_COLUMNS = ("environment", "platform", "region", "deployment")
IMPORTABLE: tuple[str, ...] = (*FIELDS, *DEPLOYMENT_COLUMNS)
REQUIRED = ("created_at", "model", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """The header for each column, constant values for all rows, and the time zone of times without one.

    `decimal` is the decimal mark that the user chose; None detects it.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    decimal: str | None = None

    def column_positions(self, header: Sequence[str]) -> dict[str, int]:
        """The position of each column in the file. A header with a column's name needs no mapping.

        Raises `SettingError`.
        """
        for column in (*self.mapping, *self.constants):
            if column not in IMPORTABLE:
                raise SettingError(f"There is no column {column!r}; there are: {', '.join(IMPORTABLE)}.")
        same_names = {name: name for name in IMPORTABLE if name in header and name not in self.constants}
        headers = {**same_names, **self.mapping}
        for column, name in headers.items():
            if header.count(name) != 1:
                how = "no header" if name not in header else "more than one header"
                raise SettingError(f"The file has {how} {name!r} (for {column}); it has: {', '.join(header)[:300]}.")
        for column in REQUIRED:
            if column not in headers and column not in self.constants:
                raise SettingError(
                    f"The column {column} has no value: use --map {column}=HEADER or --set {column}=VALUE."
                    f" The file has: {', '.join(header)[:300]}."
                )
        return {column: header.index(name) for column, name in headers.items()}
