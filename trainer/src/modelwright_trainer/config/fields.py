"""Readers of one JSON object: in goes what was parsed, out come typed values, or which field is wrong and why."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

Word = TypeVar("Word", bound=StrEnum)


class Fields:
    """The fields of one JSON object; what was not taken by the end is unknown."""

    def __init__(self, value: object, path: str) -> None:
        """Take an object that was found at a path."""
        self.path = path
        if not isinstance(value, dict):
            refuse(path or "the run", value, "must be an object")
        self.fields: dict[str, Any] = value
        self.taken: set[str] = set()

    def at(self, name: str) -> str:
        """Return where a field is."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str, expected: type | tuple[type, ...], words: str) -> Any:
        """Return a field that must be there."""
        if self.fields.get(name) is None:
            raise RunError(Reason.INVALID_RUN, f"{self.at(name)} is missing; it must be {words}")
        return self.find(name, expected, words)

    def find(self, name: str, expected: type | tuple[type, ...], words: str) -> Any:
        """Return a field, or `None` where it is absent."""
        self.taken.add(name)
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            refuse(self.at(name), value, f"must be {words}")
        return value

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        found: str = self.take(name, str, "text")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty where it is absent."""
        found = self.find(name, list, "a list of texts") or []
        for index, one in enumerate(found):
            if not isinstance(one, str):
                refuse(f"{self.at(name)}[{index}]", one, "must be text")
        return tuple(found)

    def word(self, name: str, words: type[Word]) -> Word:
        """Return one of some words."""
        return self._as_word(name, self.text(name), words)

    def find_word(self, name: str, words: type[Word]) -> Word | None:
        """Return one of some words, or `None` where it is absent."""
        found = self.find(name, str, "text")
        return None if found is None else self._as_word(name, found, words)

    def _as_word(self, name: str, value: str, words: type[Word]) -> Word:
        known = [str(word) for word in words]
        if value not in known:
            refuse(self.at(name), value, f"must be one of {listed(known)}{did_you_mean(value, known)}")
        return words(value)

    def decimal(self, name: str) -> Decimal | None:
        """Return a number that is written as text."""
        found = self.find(name, str, "a decimal number as text")
        if found is None:
            return None
        try:
            number = Decimal(found)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            refuse(self.at(name), found, "must be a decimal number as text, such as '0.05'")
        return number

    def share(self, name: str) -> Decimal | None:
        """Return a number from 0 to 1."""
        found = self.decimal(name)
        if found is not None and not 0 <= found <= 1:
            refuse(self.at(name), str(found), "must be a share from 0 to 1")
        return found

    def count(self, name: str) -> int | None:
        """Return a whole number that is not negative."""
        found: int | None = self.find(name, int, "a whole number")
        if found is not None and found < 0:
            refuse(self.at(name), found, "must not be negative")
        return found

    def positive(self, name: str) -> int | None:
        """Return a whole number of at least 1."""
        found = self.count(name)
        if found == 0:
            refuse(self.at(name), found, "must be at least 1")
        return found

    def inner(self, name: str) -> Fields | None:
        """Return an object within, or `None` where it is absent."""
        found = self.find(name, dict, "an object")
        return None if found is None else Fields(found, self.at(name))

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects, empty where it is absent."""
        found = self.find(name, list, "a list") or []
        return [Fields(one, f"{self.at(name)}[{index}]") for index, one in enumerate(found)]

    def end(self) -> None:
        """Refuse what no one took."""
        for name in self.fields:
            if name not in self.taken:
                message = f"there is no field {self.at(name)}{did_you_mean(name, self.taken)}"
                raise RunError(Reason.INVALID_RUN, message)


def refuse(path: str, value: object, expected: str) -> NoReturn:
    """End the run for a field's value."""
    shown = json.dumps(value, ensure_ascii=False)
    raise RunError(Reason.INVALID_RUN, f"{path} is {shown[:100]}: it {expected}")
