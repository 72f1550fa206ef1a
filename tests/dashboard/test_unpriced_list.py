"""The Overview lists the calls without a price and those with inconsistent usage, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from dashboard_support import Execute, OpenPage, Server
from dashboard_support import open_page as show
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest
from tabs import Tabs

PROBLEM = (
    '{"usage_problem": "parts_exceed_input", "usage_source": "otlp:openinference", "usage_raw": {"input_tokens": 1}}'
)
HOSTILE = "**my** [model](https://x.example) <b>&"


def listed(app: AppTest) -> list[tuple[Any, ...]]:
    """The rows of the list; empty if the page has none."""
    found: list[pd.DataFrame] = [frame.value for frame in app.dataframe if "reason" in frame.value]
    return list(found[0].itertuples(index=False, name=None)) if found else []


def test_the_list_states_calls_model_source_and_reason(open_page: OpenPage, database_url: str, call: Execute) -> None:
    for _ in range(3):
        call(model="gpt-5", provider="openai", cost_source="unpriced tier_not_priced flex")
    call(model="gpt-5", provider="openai", cost=Decimal(1), cost_source="provided", metadata=PROBLEM)
    call(model=HOSTILE, cost_source="unpriced usage_inconsistent", metadata=PROBLEM)
    call(model="new-one")
    call(model="gpt-4o", cost=Decimal(1))
    app = open_page(database_url)
    problem = "Cached tokens exceed the input tokens; the cached tokens are recorded as 0 tokens."
    tier = "The price list has no price for flex of this model on the day of the call."
    waiting = "Not looked up in a price list yet. `token-tracker reprice` sets the cost or the reason."
    assert listed(app)[0] == (3, "gpt-5", tier, "openai", "")
    assert sorted(listed(app)[1:]) == sorted(
        [
            (1, "gpt-5", f"{problem} The cost comes from the app.", "openai", "otlp:openinference"),
            (1, HOSTILE, problem, "", "otlp:openinference"),
            (1, "new-one", waiting, "", ""),
        ]
    )
    assert "Calls without a price: 5. Calls with inconsistent usage: 2." in [one.label for one in app.expander]
    assert all(HOSTILE not in str(markdown.value) for markdown in app.markdown)


def test_the_list_follows_the_filters_and_is_absent_where_all_calls_have_a_price(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    call(model="gpt-5", cost_source="unpriced usage_missing")
    call(model="gpt-4o", cost=Decimal(1))
    assert len(listed(open_page(database_url))) == 1
    assert listed(open_page(database_url, model="gpt-4o")) == []


def test_the_list_is_korean_for_a_korean_reader(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(model="gpt-5", cost_source="unpriced tier_not_priced flex")
    app = open_page(database_url, lang="ko")
    assert listed(app)[0][2] == "호출한 날짜의 가격표에 이 모델의 flex 가격이 없습니다."
    assert "가격이 없는 호출: 1건. 사용량이 모순되는 호출: 0건." in [one.label for one in app.expander]


@pytest.mark.browser
def test_a_reader_opens_the_list(
    start_dashboard: Callable[..., Server], tabs: Tabs, database_url: str, call: Execute
) -> None:
    call(model="my-finetune")
    server = start_dashboard(database_url)
    page = tabs.open(locale="en-US", timezone_id="Asia/Seoul")
    show(page, server.url)
    label = page.get_by_text("Calls without a price: 1. Calls with inconsistent usage: 0.")
    table = page.get_by_role("region", name="Calls without a price or with inconsistent usage, by reason")
    expect(label).to_be_visible()
    expect(table).to_be_hidden()
    label.click()
    expect(table).to_be_visible()
