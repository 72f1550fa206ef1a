"""The colors of names: a name with calls in the last 30 days has the same color on every page and in every range."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pages.support import query_params
from pages.support.ttl_cache import cached, generation
from tracker.property_names import PREFIX, key_of
from tracker.reports import Filters
from tracker.reports.engine import current_reader
from tracker.reports.explorer.explorer_query import explore, needs_row_scan
from tracker.reports.explorer.time_dimensions import TIME_DIMENSIONS

OTHER = "others"
OTHER_SLOT = 9
"""The last of the theme's ten colors."""
_DAYS = 30
_TTL_S = 300.0
_MOST_REMEMBERED = 2000


@dataclass(slots=True)
class Palette:
    """Which of the nine colors the names of a column have."""

    owners: dict[int, str] = field(default_factory=dict)
    """The recent names that have a slot for themselves."""
    remembered: dict[str, int] = field(default_factory=dict)
    """The last slot of every name, which it takes again where it is free."""

    def assign(self, names: Iterable[str], recent: Sequence[str], filtered: str | None = None) -> dict[str, int]:
        """The slots of the names that are drawn (the largest first); a name without one belongs to `OTHER`.

        `recent` are the names with calls in the last 30 days, the largest first. The name that the reader filters for
        always has a slot.
        """
        self._update_owners(recent)
        slot_of = {name: slot for slot, name in self.owners.items()}
        drawn = [name for name in dict.fromkeys(names) if name != OTHER or name == filtered]
        slots = {name: slot_of[name] for name in drawn if name in slot_of}
        for name in sorted(drawn, key=lambda name: name != filtered):
            if name in slots:
                continue
            free = [slot for slot in range(OTHER_SLOT) if slot not in slots.values()]
            if not free and name == filtered:
                free = [slots.pop(next(reversed(slots)))]
            if free:
                slots[name] = self._choose(name, free)
        if len(self.remembered) > _MOST_REMEMBERED:
            self.remembered.clear()
        self.remembered.update(slots)
        return dict(sorted(slots.items(), key=lambda item: item[1]))

    def _update_owners(self, recent: Sequence[str]) -> None:
        current = set(recent)
        self.owners = {slot: name for slot, name in self.owners.items() if name in current}
        owned = set(self.owners.values())
        for name in recent:
            free = [slot for slot in range(OTHER_SLOT) if slot not in self.owners]
            if not free:
                break
            if name not in owned and name != OTHER:
                self.owners[self._choose(name, free)] = name

    def _choose(self, name: str, free: Sequence[int]) -> int:
        """The slot that the name had before, else one without an owner, else any."""
        if (slot := self.remembered.get(name)) in free and slot is not None:
            return slot
        return next((slot for slot in free if slot not in self.owners), free[0])


_lock = threading.Lock()
_palettes: defaultdict[str, Palette] = defaultdict(Palette)


def assign(names: Iterable[str], column: str = "model") -> dict[str, int]:
    """The slots of a column's names that are drawn, in the order of the slots; see `Palette.assign`."""
    recent, filtered = _recent(column), query_params.get(column)
    with _lock:
        # The properties share a palette: an address can contain any key, and a palette for each would fill the memory.
        return _palettes[column if key_of(column) is None else PREFIX].assign(names, recent, filtered)


def _recent(column: str) -> Sequence[str]:
    """The column's names with calls in the last 30 days, if the rollups have them: reading the rows takes long."""
    if column == "kind" or column in TIME_DIMENSIONS or key_of(column) is not None or needs_row_scan(column, None):
        return ()
    reader = current_reader.reader()
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    filters = Filters(start=end - timedelta(days=_DAYS), end=end, include_tests=True)

    def load() -> tuple[str, ...]:
        totals = explore(reader, filters, column)
        sums = totals.groupby("row_name")["total_tokens"].sum().sort_values(ascending=False, kind="stable")
        return tuple(str(name) for name in sums.index)

    return cached(("colors", generation(reader), column), _TTL_S, load)
