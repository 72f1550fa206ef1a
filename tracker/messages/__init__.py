"""Messages: a code and parameters, rendered from the English catalog.

The catalog is one `TEXTS` table per area in this package. A code is `area.name`; the area's table is imported when its
first message is created. A message is a `str` with the English text, so logs, JSON and the command line use it
unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

AREAS = (
    "auth",
    "budgets",
    "database",
    "diagnostics",
    "digest",
    "general",
    "login",
    "prices",
    "recording",
    "reports",
    "settings",
)
_MAX_RESTORED_CHARS = 2000


class Message(str):
    """The English text of a message, with its `code` and `params`. A parameter may be a message."""

    __slots__ = ("_code", "_params")
    _code: str
    _params: dict[str, Any]

    def __new__(cls, code: str, /, **params: object) -> Message:
        values = {name: _as_json_type(value) for name, value in params.items()}
        message = super().__new__(cls, english_template(code).format_map(values))
        message._code, message._params = code, values
        return message

    @property
    def code(self) -> str:
        """The stable identifier, `area.name`."""
        return self._code

    @property
    def params(self) -> Mapping[str, Any]:
        """The values of the placeholders: text, numbers, and messages."""
        return MappingProxyType(self._params)

    def __str__(self) -> Message:
        """The message itself, so that the `str` of a message, and of an error with a message, keeps its code."""
        return self

    def as_dict(self) -> dict[str, Any]:
        """Code, parameters and English text as JSON types."""
        params = {name: v.as_dict() if isinstance(v, Message) else v for name, v in self._params.items()}
        return {"code": self._code, "params": params, "text": str.__str__(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._code, self._params)


def _restore(code: str, params: Mapping[str, Any]) -> Message:
    return Message(code, **params)


def _as_json_type(value: object) -> str | int | float:
    return value if isinstance(value, str | int | float) else str(value)


def english_template(code: str) -> str:
    """The English text of a code, with its placeholders in braces."""
    area, _, name = code.partition(".")
    text: str = _texts(area)[name]
    return text


def has_message(code: str) -> bool:
    """Whether the catalog contains the code."""
    area, _, name = code.partition(".")
    return area in AREAS and name in _texts(area)


def catalog() -> Iterator[tuple[str, str]]:
    """All codes with their English templates."""
    for area in AREAS:
        for name, text in _texts(area).items():
            yield f"{area}.{name}", text


def _texts(area: str) -> dict[str, str]:
    texts: dict[str, str] = import_module(f"tracker.messages.{area}_texts").TEXTS
    return texts


def join_messages(messages: Iterable[str], code: str = "general.two_sentences") -> str:
    """One text from several; a `Message` of `code`, whose parameters are `first` and `second`, if there are several."""
    joined = ""
    for message in filter(None, messages):
        joined = Message(code, first=joined, second=message) if joined else message
    return joined


def with_messages(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a JSON report, with the JSON form of its messages and of its lists of messages as `messages`."""
    messages = {name: form for name, value in entry.items() if (form := _json_form(value))}
    return {**entry, "messages": messages}


def _json_form(value: object) -> dict[str, Any] | list[dict[str, Any]]:
    if isinstance(value, Message):
        return value.as_dict()
    return [item.as_dict() for item in value if isinstance(item, Message)] if isinstance(value, list) else []


def restore_message(entry: Mapping[str, Any], name: str) -> str:
    """The text `name` of a report's entry: a `Message` if the entry's `messages` contain one of this catalog.

    The report may be of another version or another program, so its messages can be invalid.
    """
    try:
        return _from_dict(entry["messages"][name])
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return str(entry.get(name, ""))


def _from_dict(data: Mapping[str, Any]) -> Message:
    params = {name: _from_dict(v) if isinstance(v, Mapping) else v for name, v in data["params"].items()}
    if not has_message(data["code"]):
        raise LookupError(data["code"])
    message = Message(data["code"], **params)
    if len(message) > _MAX_RESTORED_CHARS:  # nested parameters of an untrusted report could grow without limit
        raise ValueError(data["code"])
    return message
