"""Access to the debug report: an invalid setting about it closes it."""

from __future__ import annotations

import pytest

from tracker.auth.route_access import is_authorized
from tracker.errors import SettingError
from tracker.settings import load


def local_request(**headers):
    pairs = [(b"host", b"127.0.0.1:8501"), *((k.encode(), v.encode("utf-8")) for k, v in headers.items())]
    return {"headers": pairs, "client": ("127.0.0.1", 5)}


@pytest.mark.parametrize(
    "env",
    [{"TRACKER_DEBUG_TOKEN": "  "}, {"TRACKER_DEBUG_TOKEN": "a-long-tok3n\nand more"}, {"TRACKER_PLATFORM": "vercell"}],
)
def test_an_invalid_setting_closes_the_report(env):
    settings = load(env, strict=False)
    assert not is_authorized(local_request(), settings)
    assert not is_authorized(local_request(authorization="Bearer "), settings)
    with pytest.raises(SettingError) as caught:
        load(env)
    assert "tok3n" not in str(caught.value)


def test_without_a_token_this_machine_may_read_it():
    assert is_authorized(local_request(), load({}))


def test_with_an_invalid_platform_the_token_still_gives_access():
    settings = load({"TRACKER_PLATFORM": "vercell", "TRACKER_DEBUG_TOKEN": "a-long-tok3n"}, strict=False)
    assert is_authorized(local_request(authorization="Bearer a-long-tok3n"), settings)
    assert not is_authorized(local_request(), settings)
