"""Small text files are read completely; any other file is refused at once with one sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tracker.cli import main
from tracker.errors import SettingError
from tracker.prices import custom_prices
from tracker.small_files import MAX_BYTES, read_text


@pytest.fixture(params=["FIFO", "device", "directory", "missing", "large", "not UTF-8", "NUL in the name", "endless"])
def unreadable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    match request.param:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            return Path("/dev/null")
        case "endless":
            return Path("/dev/zero")
        case "directory":
            path.mkdir()
        case "large":
            path.write_bytes(b"A=1\n" * (MAX_BYTES // 4 + 1))
        case "not UTF-8":
            path.write_bytes(b"A=\xff\xfe")
        case "NUL in the name":
            return Path("a\0b")
    return path


def test_anything_but_a_small_text_file_is_a_sentence_at_once(unreadable: Path) -> None:
    started = time.monotonic()
    with pytest.raises(SettingError, match=r"^--env-file: .*\.$"):
        read_text(unreadable, "--env-file")
    assert time.monotonic() - started < 2


def test_a_mark_in_front_of_the_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("A=1", encoding="utf-8-sig")
    assert read_text(tmp_path / "file", "it") == "A=1"


@pytest.mark.parametrize("option", ["--env-file"])
def test_doctor_refuses_a_device_in_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", option, "/dev/zero"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "document",
    [
        "a = " + "[" * 20_000 + "]" * 20_000,
        "a = " + "{a = " * 20_000 + "1" + "}" * 20_000,
        f"[[price]]\nmodel = 'm'\ninput = {'9' * 5000}\noutput = 1\n",
        f"[[price]]\nmodel = 'm'\ninput = {'9' * 5000}.5\noutput = 1\n",
        "[[price]]\nmodel = 'm'\ninput = 1e999999999\noutput = 1\n",
        "[[price]]\nmodel = 'm'\ninput = nan\noutput = inf\n",
        "x" * 500_000,
    ],
    ids=["deep array", "deep table", "long integer", "long decimal", "exponent", "not finite", "no TOML"],
)
def test_a_price_file_beyond_all_limits_is_a_sentence(document: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(document)
    with pytest.raises(SettingError) as caught:
        custom_prices.load(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
