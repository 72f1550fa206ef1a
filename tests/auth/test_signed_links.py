"""Signed links: valid for one path and a short time; every change of the content is refused."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.auth.signed_links import LINK_LIFETIME_S, LinkError, SignedLinks

PATH = "/exports/calls.csv"
CONTENT = {"filters": {"model": "gemini-2.5-pro", "user": "우준"}, "search": {"text": None}}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def changed(query: str, **fields: str) -> str:
    values = {name: texts[0] for name, texts in parse_qs(query).items()}
    return urlencode({**values, **fields})


def test_a_link_returns_its_content_in_every_process_with_the_secret() -> None:
    query = SignedLinks("secret").create(PATH, CONTENT)
    assert SignedLinks("secret").verify(PATH, query) == CONTENT
    assert SignedLinks().verify(PATH, SignedLinks().create(PATH, CONTENT)) == CONTENT


def test_a_link_expires() -> None:
    clock = Clock()
    links = SignedLinks("secret", clock)
    query = links.create(PATH, CONTENT)
    clock.now_s += LINK_LIFETIME_S - 1
    assert links.verify(PATH, query) == CONTENT
    clock.now_s += 1
    with pytest.raises(LinkError, match="expired"):
        links.verify(PATH, query)


def test_a_link_is_valid_for_one_path_and_one_secret() -> None:
    query = SignedLinks("secret").create(PATH, CONTENT)
    for links, path in (
        (SignedLinks("secret"), "/exports/users.csv"),
        (SignedLinks("other"), PATH),
        (SignedLinks(), PATH),
    ):
        with pytest.raises(LinkError, match="changed"):
            links.verify(path, query)


def test_no_field_can_be_changed() -> None:
    links = SignedLinks("secret")
    query = links.create(PATH, CONTENT)
    other = base64.urlsafe_b64encode(json.dumps({**CONTENT, "search": {}}).encode()).decode().rstrip("=")
    longer = str(int(parse_qs(query)["expires"][0]) + 1)
    for fields in (
        {"data": other},
        {"expires": longer},
        {"expires": "9" * 5000},
        {"signature": "0" * 64},
        {"signature": ""},
    ):
        with pytest.raises(LinkError, match="changed"):
            links.verify(PATH, changed(query, **fields))
    for text in (changed(query, model="x"), query + "&data=" + other, "", query.partition("&")[0], query + "\xff"):
        with pytest.raises(LinkError, match="incomplete"):
            links.verify(PATH, text)


@given(st.text(max_size=200))
def test_no_other_text_is_a_link(query: str) -> None:
    with pytest.raises(LinkError):
        SignedLinks("secret").verify(PATH, query)
