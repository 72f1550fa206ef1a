"""Explorer: show me exactly that."""

from __future__ import annotations

from _parts import head
from _words import _

from tracker.reports import source

head(_("Explorer"), source.reader())
