"""The page Prices and budgets: forms, validation, who may change anything, and a price set in a browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from dashboard_support import READY, Execute, OpenPage, Server, open_page, texts
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from support import rows, run, value, with_role
from tabs import Tabs

from tracker import settings
from tracker.auth.access_policy import resolve_policy
from tracker.auth.password_hash import hash_password
from tracker.cli import main
from tracker.prices.custom_prices import ALWAYS

EVIL = "![x](http://evil.invalid/a.png) :red[<img src=x>]"
PASSWORD = {"TRACKER_DASHBOARD_PASSWORD_HASH": str(hash_password("correct horse battery"))}
OPEN = {"TRACKER_DASHBOARD_OPEN": "true"}
FORM = {
    "model": "my-finetune",
    "provider": "",
    "input": "0.5",
    "output": "1.5",
    "cache_read": "",
    "cache_write": "",
    "reasoning": "",
    "tier": "",
    "since": None,
    "same_as": "",
    "same_provider": "",
}


def labels(app: AppTest) -> set[str]:
    """The labels of all inputs and buttons."""
    kinds = ("button", "text_input", "number_input", "selectbox", "date_input")
    return {element.label for kind in kinds for element in app.get(kind)}


def set_price(app: AppTest, **fields: str) -> AppTest:
    """Fill the form by its labels and submit it."""
    for label, text in fields.items():
        next(entry for entry in app.text_input if entry.label == label).set_value(text)
    next(button for button in app.button if button.label == "Save the price").click()
    return app.run()


# --- who may change prices and budgets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "login", "expected"),
    [
        ({}, False, True),
        ({}, True, True),
        (PASSWORD, False, True),
        (OPEN, False, False),
        ({**OPEN, "TRACKER_DASHBOARD_WRITE": "true"}, False, True),
        ({**OPEN, "TRACKER_DASHBOARD_WRITE": "TRUE "}, False, True),
        ({**OPEN, "TRACKER_DASHBOARD_WRITE": "perhaps"}, False, False),
        ({"TRACKER_DASHBOARD_WRITE": "perhaps"}, True, False),
        ({**PASSWORD, "TRACKER_DASHBOARD_WRITE": " "}, False, False),
        ({**PASSWORD, "TRACKER_DASHBOARD_WRITE": "false"}, False, False),
        ({**OPEN, **PASSWORD}, False, True),
        ({"TRACKER_DASHBOARD_OPEN": "perhaps", "TRACKER_DASHBOARD_WRITE": "true"}, False, False),
    ],
)
def test_changes_need_a_sign_in_or_an_explicit_setting(env: dict[str, str], login: bool, expected: bool) -> None:
    policy = resolve_policy(settings.load(env, strict=False), login=login, bound_to="127.0.0.1")
    assert policy.allows_writes is expected


def test_an_unreadable_write_setting_refuses_only_changes() -> None:
    loaded = settings.load({"TRACKER_DASHBOARD_WRITE": "perhaps"}, strict=False)
    assert resolve_policy(loaded, login=True, bound_to="127.0.0.1").kind == "login"
    assert "changes no prices, budgets or views until it is corrected" in loaded.problems[0]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (OPEN, "because the dashboard has no sign-in. Configure a sign-in, or set `TRACKER_DASHBOARD_WRITE=true`"),
        ({"TRACKER_DASHBOARD_WRITE": "false"}, "`TRACKER_DASHBOARD_WRITE` is false"),
        ({"TRACKER_DASHBOARD_WRITE": "perhaps"}, "`TRACKER_DASHBOARD_WRITE` has a value that is not true or false"),
    ],
)
def test_readers_who_may_not_change_anything_see_no_forms(
    open_page: OpenPage,
    database_url: str,
    call: Execute,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    sentence: str,
) -> None:
    call(model="my-finetune")
    for name, text in env.items():
        monkeypatch.setenv(name, text)
    app = open_page(database_url, "prices.py")
    assert sentence in texts(app)
    assert labels(app) & {"Save the price", "Save the budget", "Input", "Limit"} == set()
    assert "my-finetune" in app.dataframe[0].value["model"].to_list()
    assert "TRACKER_PRICES" in texts(app)  # a file still works


def test_an_open_dashboard_with_the_write_setting_has_the_forms(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(model="my-finetune")
    for name in ("TRACKER_DASHBOARD_OPEN", "TRACKER_DASHBOARD_WRITE"):
        monkeypatch.setenv(name, "true")
    set_price(open_page(database_url, "prices.py"), Model="my-finetune", Input="0.5", Output="1.5")
    assert rows(database_url, "SELECT access, changed_by FROM token_tracker_setting_changes") == [("open", None)]


def test_a_form_that_was_open_when_changes_were_forbidden_changes_nothing(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pages.sections.pricing import write_access

    call(model="my-finetune")
    app = open_page(database_url, "prices.py")
    # The forms are drawn by the access at the start of the run; the write asks again.
    access = write_access.WriteAccess(prices=True, budgets=True, properties=True)
    monkeypatch.setattr(write_access, "read_write_access", lambda _reader: access)
    monkeypatch.setenv("TRACKER_DASHBOARD_WRITE", "false")
    set_price(app, Model="my-finetune", Input="0.5", Output="1.5")
    assert "does not allow changes of prices and budgets, so nothing was changed." in texts(app)
    assert value(database_url, "SELECT count(*) FROM token_tracker_prices") == 0


def test_a_role_that_may_only_read_sees_the_statements_instead_of_the_forms(
    open_page: OpenPage, database_url: str, call: Execute, new_role: Callable[..., str]
) -> None:
    call(model="my-finetune")
    role = new_role()
    run(database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    app = open_page(with_role(database_url, role), "prices.py")
    assert "This database user may not change prices." in texts(app)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON" in texts(app)
    assert labels(app) & {"Save the price", "Save the budget"} == set()


def test_without_the_migration_the_page_names_the_command(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    run(database_url, "DROP TABLE token_tracker_prices, token_tracker_setting_changes")
    call(model="my-finetune")
    app = open_page(database_url, "prices.py")
    assert "token-tracker migrate" in texts(app)
    assert labels(app) & {"Save the price", "Save the budget"} == set()
    assert app.dataframe[0].value["model"].to_list() == ["my-finetune"]


# --- prices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"input": "-1"}, "Input: enter a number from 0 to 1,000,000"),
        ({"output": "1,5"}, "Output: enter a number"),
        ({"output": "1e3"}, "Output: enter a number"),
        ({"output": "１"}, "Output: enter a number"),
        ({"reasoning": "nan"}, "Reasoning: enter a number"),
        ({"cache_read": "0.0000000000001"}, "Cached input: enter a number"),
        ({"cache_write": "1000001"}, "Cache writes: enter a number"),
        ({"model": " "}, "Enter the name of a model."),
        ({"model": "*"}, "Enter the name of a model."),
        ({"output": ""}, "Enter the price of input and of output."),
        ({"same_as": "gpt-4o"}, "not both"),
        ({"same_provider": "openai"}, "Enter the model whose price applies"),
    ],
)
def test_a_value_that_is_not_valid_has_a_sentence(changed: dict[str, str], problem: str) -> None:
    from pages.sections.pricing.price_form import read_form

    price, problems = read_form({**FORM, **changed})
    assert price is None
    assert problem in " ".join(problems)


def test_valid_values_are_exact() -> None:
    from pages.sections.pricing.price_form import read_form

    price, _ = read_form({**FORM, "input": "0.000000000001", "cache_read": "0", "tier": "flex", "provider": "own"})
    assert price is not None
    assert price.rates == {"input": Decimal("1E-12"), "output": Decimal("1.5"), "cache_read": 0}
    assert (price.since, price.tier, price.provider, price.is_free) == (ALWAYS, "flex", "own", True)
    renamed, _ = read_form({**FORM, "input": "", "output": "", "same_as": "gpt-4o", "since": date(2026, 3, 1)})
    assert renamed is not None
    assert (renamed.same_as, renamed.since) == ("gpt-4o", datetime(2026, 3, 1, tzinfo=UTC))


def test_a_free_price_is_not_saved_before_its_confirmation(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    call(model="my-finetune")
    app = set_price(open_page(database_url, "prices.py"), Model="my-finetune", Input="0", Output="0")
    assert value(database_url, "SELECT count(*) FROM token_tracker_prices") == 0
    assert "These tokens get a cost of 0: Input, Output." in texts(app)


def test_a_name_from_the_database_is_never_markdown(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    call(model=EVIL, user_id=EVIL)
    assert main(["budget", "set", EVIL, "--tokens", "5", "--per", "day", "--user", EVIL]) == 0
    app = set_price(open_page(database_url, "prices.py"), Model=EVIL, Input="0.5", Output="1.5")
    assert value(database_url, "SELECT model FROM token_tracker_prices") == EVIL
    assert EVIL in [element.value.partition(": ")[2] for element in app.text]
    for element in (*app.markdown, *app.caption, *app.success, *app.error):
        assert "](http://evil" not in element.value.replace("\u2060", "")
        assert "<img" not in element.value.replace("\\<", "")


def test_a_price_of_the_file_is_named_as_the_winner(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    path = tmp_path / "prices.toml"  # type: ignore[operator]
    path.write_text('[[price]]\nmodel = "my-*"\ninput = 7\noutput = 7\n')
    monkeypatch.setenv("TRACKER_PRICES", str(path))
    call(model="my-finetune")
    app = set_price(open_page(database_url, "prices.py"), Model="my-finetune", Input="0.5", Output="1.5")
    models, stored = (table.value for table in app.dataframe[:2])
    assert models[["input", "source"]].values.tolist() == [[7.0, "File of TRACKER_PRICES"]]
    assert stored["note"].to_list() == ["Not used: the file of TRACKER_PRICES has a price"]


def test_the_overview_leads_to_the_form_with_the_model(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(model="my-finetune", total_tokens=900)
    app = open_page(database_url)
    app.button(key="set_a_price").click().run()
    app.switch_page("prices.py").run()  # AppTest does not follow st.switch_page
    assert next(entry for entry in app.text_input if entry.label == "Model").value == "my-finetune"


def test_a_budget_is_validated_before_it_is_saved(open_page: OpenPage, database_url: str, call: Execute) -> None:
    from pages.sections.pricing.budget_form import read_form

    values = {
        "name": "team",
        "amount": "1,000",
        "measure": "tokens",
        "period": "day",
        "scope": "everybody",
        "subject": "",
        "alert_percent": 80,
        "timezone": "UTC",
    }
    budget, _ = read_form(values, None)
    assert budget is not None
    assert budget.amount == 1000
    for changed in (
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1.5"},
        {"name": " "},
        {"scope": "user"},
        {"subject": "u"},
        {"amount": "9" * 20},
        {"amount": "1,5"},
        {"amount": "12,34"},
        {"name": "taken"},
    ):
        budget, problems = read_form({**values, **changed}, None, {"taken"})
        assert (budget, len(problems)) == (None, 1), changed


# --- in a browser -------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_reader_sets_a_price_prices_past_calls_and_adds_a_budget(
    start_dashboard: Callable[..., Server], database_url: str, call: Execute, tabs: Tabs
) -> None:
    for _ in range(3):
        call(model="my-finetune", input_tokens=1_000_000, output_tokens=0)
    server = start_dashboard(database_url)
    page = tabs.open(locale="en-US")
    open_page(page, server.url)
    page.get_by_role("button", name="Set a price").click()
    expect(page.get_by_role("heading", name="Prices and budgets", exact=True)).to_be_visible()
    expect(page.get_by_label("Model", exact=True)).to_have_value("my-finetune")
    page.get_by_label("Input", exact=True).fill("0.5")
    page.get_by_label("Output", exact=True).fill("1.5")
    page.get_by_role("button", name="Save the price").click()
    expect(page.get_by_text("3 calls with 3M tokens get another cost: $0 before, $1.50 after.")).to_be_visible()
    page.get_by_role("button", name="Price these calls").click()
    expect(page.get_by_text("3 calls with 3M tokens got another cost: $0 before, $1.50 after.")).to_be_visible()
    assert value(database_url, "SELECT sum(cost) FROM token_usage") == Decimal("1.5")
    page.get_by_label("Name", exact=True).fill("team")
    page.get_by_label("Limit", exact=True).fill("200")
    page.get_by_role("button", name="Save the budget").click()
    expect(page.get_by_text("The budget team is saved.")).to_be_visible()
    page.get_by_label("Model", exact=True).fill("local-model")
    for label in ("Input", "Output"):
        page.get_by_label(label, exact=True).fill("0")
    page.get_by_role("button", name="Save the price").click()
    page.get_by_role("button", name="Save as free of charge").click()
    expect(page.get_by_text("The price of local-model is saved.")).to_be_visible()
    expect(page.get_by_text("The cost of no past call changes.")).to_be_visible()
    select_first_row(page, "Prices that were set on this page")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove the price").click()
    expect(page.get_by_text("is removed.")).to_be_visible()
    assert value(database_url, "SELECT count(*) FROM token_tracker_prices") == 1
    select_first_row(page, "Budgets")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove the budget").click()
    expect(page.get_by_text("The budget team is removed.")).to_be_visible()
    columns = "kind, access, old_value IS NULL, new_value IS NULL"
    assert rows(database_url, f"SELECT {columns} FROM token_tracker_setting_changes ORDER BY changed_at") == [
        ("price", "local", True, False),
        ("past calls", "local", True, False),
        ("budget", "local", True, False),
        ("price", "local", True, False),
        ("price", "local", False, True),
        ("budget", "local", False, True),
    ]
    page.wait_for_selector(READY)
    assert server.unforeseen() == ""


def select_first_row(page: Page, title: str) -> None:
    """Click the checkbox of the first row of the table below a title."""
    page.wait_for_selector(READY)
    card = page.get_by_test_id("stVerticalBlock").filter(has=page.get_by_text(title, exact=True))
    card.filter(has=page.get_by_test_id("stDataFrame")).last.get_by_test_id("stDataFrame").click(
        position={"x": 17, "y": 51}
    )
    page.wait_for_selector(READY)


# --- indexed properties -------------------------------------------------------------------------------------------


def test_indexed_properties_are_chosen_on_the_page_unless_the_setting_sets_them(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(metadata='{"team": "growth", ":red[x]": 1}')
    app = open_page(database_url, "prices.py")
    (keys,) = [entry for entry in app.multiselect if entry.label == "Keys (at most 5)"]
    keys.set_value(["team"])
    app = next(button for button in app.button if button.label == "Save the keys").click().run()
    assert not app.exception
    indexed = "SELECT property FROM token_tracker_properties WHERE is_indexed"
    assert rows(database_url, indexed) == [("team",)]
    assert ["Indexed properties"] in [list(frame.value["kind"]) for frame in app.dataframe if "kind" in frame.value]
    kinds = "SELECT kind, new_value ->> 'keys' FROM token_tracker_setting_changes"
    assert rows(database_url, kinds) == [("properties", "team")]
    monkeypatch.setenv("TRACKER_PROPERTIES", "plan")
    app.run()
    assert not [entry for entry in app.multiselect if entry.label == keys.label]
    assert any("TRACKER_PROPERTIES" in caption.value for caption in app.caption)
