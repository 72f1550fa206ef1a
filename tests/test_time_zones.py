"""Old names of time zones work on systems that have only the current names."""

from __future__ import annotations

import sys
import zoneinfo
from pathlib import Path

import pytest

from tracker import settings
from tracker.errors import SettingError
from tracker.time_zones import CURRENT_NAMES


@pytest.fixture
def modern(tmp_path, monkeypatch):
    """A system with the current names alone, as Debian 13 without tzdata-legacy."""
    for name in {"Asia/Kolkata", "Europe/Kyiv", "America/Nuuk", *CURRENT_NAMES.values()}:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source(name))
    # And without the package; zoneinfo imports a package of it for each region.
    for name in [name for name in sys.modules if name.startswith("tzdata.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def source(name: str) -> bytes:
    """A zone's file, of the system or of the package tzdata."""
    for directory in zoneinfo.TZPATH:
        if (path := Path(directory) / name).is_file():
            return path.read_bytes()
    import tzdata

    return (Path(tzdata.__file__).parent / "zoneinfo" / name).read_bytes()


@pytest.mark.parametrize(
    ("former", "current"),
    [("Asia/Calcutta", "Asia/Kolkata"), ("Europe/Kiev", "Europe/Kyiv"), ("America/Godthab", "America/Nuuk"),
     ("US/Pacific", "America/Los_Angeles")],
)  # fmt: skip
def test_a_former_name_resolves_to_the_current_one(modern, former, current):
    with pytest.raises(ValueError, match=former):
        settings.load_time_zone(former)
    assert settings.resolve_time_zone_name(former) == current
    assert settings.load({"TRACKER_TIMEZONE": former}).timezone == current


def test_a_known_name_is_unchanged():
    assert settings.resolve_time_zone_name("Asia/Seoul") == "Asia/Seoul"


@pytest.mark.parametrize("name", ["Mars/Base", "", "Asia/Calcuta"])
def test_an_unknown_name_is_an_error(modern, name):
    with pytest.raises(ValueError, match=r".*"):
        settings.resolve_time_zone_name(name)
    if name:
        with pytest.raises(SettingError, match="IANA"):
            settings.load({"TRACKER_TIMEZONE": name})


def test_each_current_name_is_one():
    for name in CURRENT_NAMES.values():
        assert settings.load_time_zone(name)
