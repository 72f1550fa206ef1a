"""Korean particles that depend on the last sound of the word before them: 서버가, 호스트 이름이.

A translation writes both forms as the format of a parameter: `{server:이/가}`, `{path:을/를}`, `{scheme:으로/로}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# The consonant form comes first. After ㄹ, 로 is used and not 으로.
PARTICLES = frozenset({"이/가", "은/는", "을/를", "과/와", "으로/로", "이라는/라는", "이어야/여야"})
_AFTER_RIEUL = "으로/로"
_FIRST_SYLLABLE, _LAST_SYLLABLE, _FINALS, _RIEUL = 0xAC00, 0xD7A3, 28, 8
_CLOSING = " \t\n\"'`”’)]}>.,:;!?*_"
# The last sounds of the digits 영 일 이 삼 사 오 육 칠 팔 구.
_DIGITS = {"0": "n", "1": "l", "3": "n", "6": "n", "7": "l", "8": "l"}
# The last sounds of the letters that are read as names: 엘 엠 엔 알.
_LETTERS = {"L": "l", "M": "n", "N": "n", "R": "l"}
_VOWELS = frozenset("aeiou")


def with_particle(word: str, particle: str) -> str:
    """The word with the form of the particle that follows its last sound."""
    after_consonant, after_vowel = particle.split("/")
    sound = _last_sound(word.rstrip(_CLOSING))
    if sound == "l" and particle == _AFTER_RIEUL:
        return word + after_vowel
    return word + (after_consonant if sound else after_vowel)


def _last_sound(word: str) -> str:
    """The final consonant: l for ㄹ, n for another one, "" for none."""
    last = word[-1:]
    if last and _FIRST_SYLLABLE <= ord(last) <= _LAST_SYLLABLE:
        final = (ord(last) - _FIRST_SYLLABLE) % _FINALS
        return "l" if final == _RIEUL else "n" if final else ""
    if last.isdigit():
        return _DIGITS.get(last, "")
    return _LETTERS.get(last, "") if last.isupper() else _sound_of_english(word)


def _sound_of_english(word: str) -> str:
    """The final consonant of an English word as Koreans read it: table 테이블, name 네임, socket 소켓, host 호스트."""
    last = word[-1:]
    if last == "e" and word[-2:-1] in {"l", "m", "n"}:  # a silent e
        last = word[-2]
    if last in {"l", "m", "n"}:
        return "l" if last == "l" else "n"
    if word.endswith(("ng", "ck", "pp", "tt")):
        return "n"
    # A stop after one vowel: app 앱, bucket 버킷; but note 노트, host 호스트, root 루트.
    is_single_vowel = word[-2:-1] in _VOWELS and word[-3:-2] not in _VOWELS
    return "n" if last in {"b", "c", "k", "p", "t"} and is_single_vowel else ""


class WithParticles(Mapping[str, object]):
    """Parameters of a translation, whose values accept a particle as their format."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> _Word:
        return _Word(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _Word:
    def __init__(self, value: object) -> None:
        self._value = value

    def __format__(self, form: str) -> str:
        return with_particle(str(self._value), form) if form in PARTICLES else format(self._value, form)
