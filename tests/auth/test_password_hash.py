"""The hash of the shared password, and the command that creates it."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, child_environment

from tracker.auth.password_hash import MIN_LENGTH, hash_password, parse_hash
from tracker.errors import SettingError

PASSWORD = "네 낱말 correct horse battery"


def test_only_the_right_password_matches_its_hash():
    parsed = parse_hash(str(hash_password(PASSWORD)))
    assert parsed.matches(PASSWORD)
    assert not parsed.matches(PASSWORD + " ")
    assert not parsed.matches("")


def test_two_hashes_of_one_password_differ():
    assert str(hash_password(PASSWORD)) != str(hash_password(PASSWORD))


def test_unicode_normalization_forms_match():
    assert hash_password(PASSWORD).matches(unicodedata.normalize("NFD", PASSWORD))


def test_the_hash_contains_no_character_that_a_shell_or_env_file_expands():
    assert not set(str(hash_password(PASSWORD))) & set("$\"'\\ #=`{}")


def test_no_repr_shows_the_salt_or_the_key():
    parsed = hash_password(PASSWORD)
    _, _, _, _, salt, key = str(parsed).split(":")
    assert salt not in repr(parsed)
    assert key not in repr(parsed)


@pytest.mark.parametrize("password", ["", "short", "x" * (MIN_LENGTH - 1), "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused(password):
    with pytest.raises(SettingError):
        hash_password(password)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2hunter2",
        "scrypt",
        "scrypt:15:8:1::",
        "scrypt:15:8:1:c2FsdA:a2V5",
        "bcrypt:15:8:1:" + "A" * 22 + ":" + "A" * 43,
        "scrypt:60:8:1:" + "A" * 22 + ":" + "A" * 43,
        "scrypt:x:8:1:" + "A" * 22 + ":" + "A" * 43,
        "scrypt:15:8:1:" + "A" * 22 + ":" + "!" * 43,
    ],
)
def test_an_invalid_hash_raises_value_error(text):
    with pytest.raises(ValueError):
        parse_hash(text)


@settings(max_examples=100)
@given(st.text(max_size=120))
def test_arbitrary_text_raises_value_error(text):
    with pytest.raises(ValueError):
        parse_hash(text)


# --- the command --------------------------------------------------------------------------------------------------


def command(given: bytes) -> subprocess.CompletedProcess[bytes]:
    arguments = [sys.executable, "-m", "tracker", "password"]
    return subprocess.run(
        arguments, input=given, capture_output=True, cwd=ROOT, env=child_environment(), timeout=60, check=False
    )


def test_the_command_prints_only_the_hash():
    done = command(PASSWORD.encode() + b"\n")
    assert done.returncode == 0
    assert parse_hash(done.stdout.decode()).matches(PASSWORD)
    assert done.stdout.count(b"\n") == 1
    assert b"TRACKER_DASHBOARD_PASSWORD_HASH" in done.stderr
    assert PASSWORD.encode() not in done.stdout + done.stderr


@pytest.mark.parametrize("given_bytes", [b"", b"short\n", b"\xff\xfe" * 20 + b"\n"])
def test_the_command_reports_an_error_in_one_line(given_bytes):
    done = command(given_bytes)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_on_a_terminal_the_password_is_prompted_twice_and_not_echoed():
    import os
    import pty

    child, master = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "tracker", "password"], child_environment())
    output = b""
    for question in (b"Password:", b"Repeat the password:"):
        while question not in output:
            output += os.read(master, 1000)
        os.write(master, b"correct horse battery\n")
    try:
        while chunk := os.read(master, 1000):
            output += chunk
    except OSError:  # the other end is gone
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(master)
    assert b"scrypt:15:8:1:" in output
    assert b"correct horse" not in output
