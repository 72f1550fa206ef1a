"""Shared by the modules of broken setups: a registry by name, and the variables that a setup returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Setup = Callable[[Any], Mapping[str, str]]


class SetupRegistry(dict[str, tuple[str, Setup]]):
    """Broken setups by name, each with the code of its cause."""

    def causes(self, code: str) -> Callable[[Setup], Setup]:
        """Registers a setup with the code of its cause."""

        def register(make: Setup) -> Setup:
            self[make.__name__] = (code, make)
            return make

        return register


def url(text: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": text, **more}
