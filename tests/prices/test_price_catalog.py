"""The exact cost of a call at its date; no price if it is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from support import python

from tracker import SettingError
from tracker.prices import custom_prices
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LISTED = f"genai-prices {genai_prices.__version__}"


def counts(input_tokens=0, output_tokens=0, read=0, write=0, reasoning=0):
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read_input_tokens": read,
        "cache_write_input_tokens": write,
        "reasoning_output_tokens": reasoning,
    }


@pytest.fixture
def book():
    return PriceCatalog()


def cost(book, provider, model, moment=DAY, details=None, **given):
    price = book.price(provider, model, moment, counts(**given), details)
    assert isinstance(price, Price), price
    return price.cost


def test_input_output_and_cached_tokens_each_have_their_price(book):
    # claude-sonnet-4-5: 3 in, 15 out, 0.30 read, 3.75 written, USD per million
    expected = (Decimal(3) * 500 + Decimal("0.3") * 400 + Decimal("3.75") * 100 + 15 * 50) / 1_000_000
    given = {"input_tokens": 1000, "output_tokens": 50, "read": 400, "write": 100, "reasoning": 20}
    price = book.price("anthropic", "claude-sonnet-4-5", DAY, counts(**given))
    assert (price.cost, price.source) == (expected, LISTED)


def test_an_hour_in_the_cache_costs_more(book):
    plain = cost(book, "anthropic", "claude-sonnet-4-5", input_tokens=1000, write=1000)
    hour = cost(
        book,
        "anthropic",
        "claude-sonnet-4-5",
        input_tokens=1000,
        write=1000,
        details={"cache_write_1h_tokens": 1000},
    )
    assert (plain, hour) == (Decimal("0.00375"), Decimal("0.006"))


def test_a_long_prompt_is_in_a_dearer_tier(book):
    short = cost(book, "google", "gemini-2.5-pro", input_tokens=200_000)
    long = cost(book, "google", "gemini-2.5-pro", input_tokens=200_001)
    assert short == Decimal("0.25")
    assert long == Decimal("2.5") * 200_001 / 1_000_000


def test_sound_has_its_own_price(book):
    plain = cost(book, "google", "gemini-2.5-flash", input_tokens=1_000_000)
    sound = cost(book, "google", "gemini-2.5-flash", input_tokens=1_000_000, details={"input_audio_tokens": 1_000_000})
    assert (plain, sound) == (Decimal("0.3"), Decimal("1.0"))


def test_a_batch_costs_less(book):
    given = {"moment": datetime(2026, 11, 1, tzinfo=UTC), "input_tokens": 1_000_000}
    plain = cost(book, "anthropic", "claude-fable-5", **given)
    assert cost(book, "anthropic", "claude-fable-5", details={"service_tier": "batch"}, **given) == plain / 2


def test_the_price_is_the_one_of_the_calls_own_day(book):
    before = cost(book, "openai", "o3", datetime(2025, 6, 1, tzinfo=UTC), input_tokens=1_000_000)
    after = cost(book, "openai", "o3", datetime(2025, 7, 1, tzinfo=UTC), input_tokens=1_000_000)
    assert (before, after) == (Decimal(10), Decimal(2))


def test_the_provider_may_be_unknown(book):
    assert cost(book, "", "gpt-4.1-mini-2025-04-14", input_tokens=1_000_000) == Decimal("0.4")


@pytest.mark.parametrize(
    ("provider", "model"), [("", "my-finetune"), ("openai", "gpt-99"), ("own", "gpt-4o"), ("", "unknown"), ("", "")]
)
def test_an_unknown_model_has_no_price_instead_of_zero(book, provider, model):
    assert book.price(provider, model, DAY, counts(input_tokens=10)) == Unpriced("model_unknown")


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"input_audio_tokens": 10**6}, Unpriced("details_contradict")),
        ({"input_audio_tokens": "x"}, Unpriced("detail_invalid", "input_audio_tokens")),
        ({"maps_searches": 3}, Unpriced("detail_unknown", "maps_searches")),
        ({"service_tier": 3}, Unpriced("detail_invalid", "service_tier")),
    ],
)
def test_details_that_cannot_be_priced_leave_the_call_without_a_price(book, details, reason):
    assert book.price("google", "gemini-2.5-flash", DAY, counts(input_tokens=100), details) == reason


# --- own prices ---------------------------------------------------------------------------------------------------


def toml(tmp_path, text):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return custom_prices.load(str(path))


def test_own_prices_come_first_and_are_exact(tmp_path):
    book = PriceCatalog(
        toml(
            tmp_path,
            """
            [[price]]
            model = "my-finetune"
            input = 0.1
            output = 0.3
            cache_read = 0.01
            reasoning = 1

            [[price]]
            model = "gpt-4o"
            provider = "azure"
            input = 2
            output = 8
            """,
        )
    )
    given = {"input_tokens": 3, "output_tokens": 7, "read": 2, "reasoning": 5}
    price = book.price("own", "my-finetune", DAY, counts(**given))
    assert price.cost == Decimal("0.00000572")  # 1 × 0.1 + 2 × 0.01 + 2 × 0.3 + 5 × 1, by a million
    assert price.source == "own prices"
    assert cost(book, "azure", "gpt-4o", input_tokens=1_000_000) == 2
    assert cost(book, "openai", "gpt-4o", input_tokens=1_000_000) == Decimal("2.5")


def test_a_renamed_model_costs_what_the_other_does(tmp_path):
    book = PriceCatalog(
        toml(tmp_path, '[[price]]\nmodel = "prod-*"\nsame_as = "gpt-4.1-mini"\nsame_provider = "openai"')
    )
    price = book.price("own", "prod-gpt", DAY, counts(input_tokens=1_000_000))
    assert (price.cost, price.source) == (Decimal("0.4"), LISTED)


def test_the_closest_name_and_the_latest_day_count(tmp_path):
    book = PriceCatalog(
        toml(
            tmp_path,
            """
            price = [
              {model = "m-*", input = 1, output = 0},
              {model = "m-1", input = 2, output = 0},
              {model = "m-1", input = 3, output = 0, from = 2026-02-01},
              {model = "m-1", input = 4, output = 0, from = 2026-04-01},
            ]
            """,
        )
    )
    million = {"input_tokens": 1_000_000}
    assert cost(book, "", "m-2", **million) == 1
    assert cost(book, "", "m-1", datetime(2026, 1, 1, tzinfo=UTC), **million) == 2
    assert cost(book, "", "m-1", DAY, **million) == 3


@pytest.mark.parametrize(
    "text",
    [
        "price = 3",
        "[prices]",
        "[[price]]",
        "[[price]]\nmodel = 3",
        '[[price]]\nmodel = "m"',
        '[[price]]\nmodel = "m"\ninput = 1',
        '[[price]]\nmodel = "m"\ninput = -1\noutput = 1',
        '[[price]]\nmodel = "m"\ninput = nan\noutput = 1',
        '[[price]]\nmodel = "m"\ninput = true\noutput = 1',
        '[[price]]\nmodel = "m"\ninput = "1"\noutput = 1',
        '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nsame_as = "x"',
        '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfrom = "today"',
        '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\nfee = 3',
        "price = [3]",
        "not toml",
    ],
)
def test_a_file_that_cannot_be_right_is_named_in_a_sentence(tmp_path, text):
    with pytest.raises(SettingError, match="TRACKER_PRICES"):
        toml(tmp_path, text)


def test_a_missing_file_is_named_in_a_sentence(tmp_path):
    with pytest.raises(SettingError, match=r"The file of TRACKER_PRICES: .* can't be read"):
        custom_prices.load(str(tmp_path / "none.toml"))


def test_recording_never_imports_the_list_of_prices(database_url):
    done = python(
        "-c",
        "import sys, tracker; r = tracker.shared(); print(r.record_response({'model': 'gpt-4o', 'usage':"
        " {'prompt_tokens': 1, 'completion_tokens': 1, 'total_tokens': 2}}).status,"
        " [name for name in ('genai_prices', 'pydantic') if name in sys.modules])",
        env={"DATABASE_URL": database_url, "TRACKER_PLATFORM": "vercel"},
    )
    assert done.stdout.strip() == "recorded []", done.stdout + done.stderr
