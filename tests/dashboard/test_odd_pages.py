"""Every page opens on a database with rows that no recorder writes."""

from __future__ import annotations

import pytest
from dashboard_support import PAGES, OpenPage
from support import run
from test_odd_rows import CHECKS, ODD_ROWS, insert

from tracker.cli import main


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("is_covered", [False, True])
def test_a_page_opens(database_url: str, open_page: OpenPage, page: str, is_covered: bool) -> None:
    run(database_url, *(f"ALTER TABLE token_usage DROP CONSTRAINT token_usage_{name}_check" for name in CHECKS))
    for odd in ODD_ROWS.values():
        insert(database_url, **odd)
    if is_covered:
        open_page(database_url)  # sets DATABASE_URL
        assert main(["rollup"]) == 0
    open_page(database_url, f"{page}.py" if page else None, range="all")
