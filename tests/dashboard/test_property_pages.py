"""Pages with properties of any name and value: displayed and filtered exactly, with 300 keys, and without metadata."""

from __future__ import annotations

import json

from dashboard_support import PAGES, Execute, OpenPage, texts
from support import value

HOSTILE = [
    "**b** <i>x</i> [l](http://a)",
    "'; DROP TABLE token_usage; --",
    "%s :x",
    "a\nb",
    "שלום",
    "",
    "(not set)",
    "🙂",
]


def test_every_page_takes_any_property(database_url: str, call: Execute, open_page: OpenPage) -> None:
    for item in [*HOSTILE, "x" * 10_000, 1, 1.0, True, ["a", "b"], {"nested": 1}]:
        call(metadata=json.dumps({"team": item, "k\"e'y.%": item, "model": item}))
    call(metadata=json.dumps({f"key {number}": number for number in range(300)}))
    for page in PAGES:
        app = open_page(database_url, f"{page}.py" if page else None, **{"metadata.team": HOSTILE[1], "range": "all"})
        assert page not in {"", "explorer"} or "Properties are read from the calls" in texts(app)
    for item in [*HOSTILE, "x" * 10_000]:
        text = "\\(not set)" if item == "(not set)" else item
        name = "metadata.k\"e'y.%"
        app = open_page(database_url, "calls.py", **{name: text, "range": "all"})
        assert "1 call. No older call matches." in texts(app), item
        assert app.dataframe[0].value.shape[0] == 1
        app = open_page(database_url, "explorer.py", rows=name, columns="metadata.model", row=text, range="all")
        assert "1 call" in [caption.value for caption in app.caption]
        assert app.dataframe[-1].value.shape[0] == 1
    app = open_page(database_url, "explorer.py", rows="metadata.team", range="all")
    (rows_box,) = [box for box in app.selectbox if box.label == "Rows"]
    assert len(rows_box.options) > 300
    assert {"team", "metadata.model"} <= set(rows_box.options)
    assert app.dataframe[0].value["row"].iloc[0] == "(not set)"
    app = open_page(database_url, "explorer.py", rows="metadata.unseen", columns="metadata.team", range="all")
    assert "(not set)" in app.dataframe[0].value["row"].to_list()


def test_a_call_has_its_properties_as_columns_and_filters(
    database_url: str, call: Execute, open_page: OpenPage
) -> None:
    call(metadata=json.dumps({"team": "**growth**", "tags": ["a", "b"], "nested": {"x": 1}}))
    call(metadata=json.dumps({"team": "x"}))
    app = open_page(database_url, "calls.py", range="all")
    (shown,) = [box for box in app.multiselect if box.label == "Properties as columns"]
    shown.set_value(["team", "tags"]).run()
    table = app.dataframe[0].value
    assert table[["property 0", "property 1"]].to_numpy().tolist() == [["x", ""], ["**growth**", '["a", "b"]']]
    growth = "SELECT id FROM token_usage WHERE metadata ->> 'team' = '**growth**'"
    app.query_params["call"] = str(value(database_url, growth))
    app.run()
    labels = [button.label for button in app.button if (button.key or "").startswith("call_property_")]
    assert labels == ["tags\\: a", "tags\\: b", "team\\: \\*\\*growth\\*\\*"]
    app.button(key="call_property_2").click().run()
    assert not app.exception
    assert app.query_params["metadata.team"] == "**growth**"
    assert "call" not in app.query_params
    assert app.dataframe[0].value.shape[0] == 1
