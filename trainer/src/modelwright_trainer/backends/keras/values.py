"""In goes a parameter's value as the run has it, out comes the value as layers take it, or why it cannot be."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

from .choices import (
    ACTIVATIONS,
    ACTIVATIONS_REFUSED,
    INITIALIZERS,
    INITIALIZERS_REFUSED,
    REGULARIZERS,
    REGULARIZERS_REFUSED,
    SCHEDULES,
)
from .network import Choice
from .words import Entry, Kind, Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

CANONICAL = {"swish": "silu", "hard_swish": "hard_silu"}


def parse_parameters(entry: Entry, given: Mapping[str, Any], path: str, whose: str) -> dict[str, Any]:
    """Return all parameters of an entry: those given, and the defaults of the others.

    `path` is where they stand, `whose` is what has them: `Dense 'hidden'`.
    """
    for name in given:
        if name in entry.parameters:
            continue
        if name in entry.refused:
            message = f"{path}.{name}: {whose} does not take {name!r} here: {entry.refused[name]}; take it away"
            raise RunError(Reason.INVALID_PARAMETER, message)
        known = list(entry.parameters)
        message = (
            f"{path}.{name}: {whose} has no parameter {name!r}{did_you_mean(name, known)}; it has "
            f"{listed(sorted(known), 40) or 'none'}"
        )
        raise RunError(Reason.UNKNOWN_PARAMETER, message)
    found: dict[str, Any] = {}
    for name, parameter in entry.parameters.items():
        at = f"{path}.{name}"
        if given.get(name) is not None:
            found[name] = _parse_value(parameter, given[name], at, whose)
        elif name in given and not parameter.nullable:
            refuse_value(at, whose, None, _expected(parameter))
        elif parameter.required:
            message = f"{at} of {whose} is missing; it must be {_expected(parameter)}"
            raise RunError(Reason.INVALID_PARAMETER, message)
        else:
            found[name] = _default(parameter, given_null=name in given)
    return found


def refuse_value(at: str, whose: str, value: object, expected: str) -> NoReturn:
    """End the run for a value."""
    shown = json.dumps(value, ensure_ascii=False)[:80]
    raise RunError(Reason.INVALID_PARAMETER, f"{at} of {whose} is {shown}: it must be {expected}")


def _default(parameter: Parameter, *, given_null: bool) -> Any:
    default = None if given_null else parameter.default
    if parameter.kind is Kind.ACTIVATION:
        return default or "linear"
    if parameter.kind is Kind.INITIALIZER:
        return _choose(default, INITIALIZERS)
    return default


def _expected(parameter: Parameter) -> str:
    kind = parameter.kind
    if kind is Kind.WORD:
        return f"one of {listed(parameter.words)}"
    if kind in (Kind.INTEGER, Kind.NUMBER, Kind.RATE):
        words = "a whole number" if kind is Kind.INTEGER else "a number"
        words += _bounds(parameter)
        return words + (", or a schedule {type, parameters}" if kind is Kind.RATE else "")
    if kind is Kind.INTEGERS:
        several = f", or a list of {parameter.axes} of them" if parameter.axes > 1 else ""
        return f"a whole number{_bounds(parameter)}{several}"
    return {
        Kind.BOOLEAN: "true or false",
        Kind.NUMBERS: "a list of numbers" + _bounds(parameter),
        Kind.ACTIVATION: f"one of {listed(ACTIVATIONS, 40)}",
        Kind.INITIALIZER: "an initializer's name, such as he_normal, or {type, parameters}",
        Kind.REGULARIZER: "l1, l2, l1l2, or {type, parameters}",
        Kind.LAYER: "{type, parameters} of " + " or ".join(parameter.words),
        Kind.WEIGHTS: "a number of at least 0 for each label, by the label",
    }[kind]


def _bounds(parameter: Parameter) -> str:
    words = [
        f"{word} {value:,.10g}".replace(",", "")
        for word, value in (
            ("from", parameter.min),
            ("above", parameter.above),
            ("to", parameter.max),
            ("below", parameter.below),
        )
        if value is not None
    ]
    return f" {' '.join(words)}" if words else ""


def is_number(value: object) -> bool:
    """Whether it is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(parameter: Parameter, value: float) -> bool:
    return (
        (parameter.min is None or value >= parameter.min)
        and (parameter.max is None or value <= parameter.max)
        and (parameter.above is None or value > parameter.above)
        and (parameter.below is None or value < parameter.below)
    )


def _parse_value(parameter: Parameter, value: Any, at: str, whose: str) -> Any:  # noqa: PLR0911 - one for each kind
    """Return a value that is given, by its kind."""
    kind = parameter.kind

    def refuse() -> NoReturn:
        near = did_you_mean(value, parameter.words) if kind is Kind.WORD and isinstance(value, str) else ""
        refuse_value(at, whose, value, _expected(parameter) + near)

    if kind is Kind.INTEGER:
        return value if _is_integer(value) and _within(parameter, value) else refuse()
    if kind is Kind.NUMBER or (kind is Kind.RATE and not isinstance(value, dict)):
        return value if is_number(value) and _within(parameter, value) else refuse()
    if kind is Kind.BOOLEAN:
        return value if isinstance(value, bool) else refuse()
    if kind is Kind.WORD:
        return value if value in parameter.words else refuse()
    if kind is Kind.INTEGERS:
        values = value if isinstance(value, list) else [value] * parameter.axes
        fits = len(values) == parameter.axes and all(_is_integer(one) and _within(parameter, one) for one in values)
        return tuple(values) if fits else refuse()
    if kind is Kind.NUMBERS:
        fits = (
            isinstance(value, list) and bool(value) and all(is_number(one) and _within(parameter, one) for one in value)
        )
        return tuple(value) if fits else refuse()
    if kind is Kind.WEIGHTS:
        fits = isinstance(value, dict) and all(is_number(one) and _within(parameter, one) for one in value.values())
        return dict(value) if fits and value else refuse()
    if kind is Kind.LAYER:
        return value if isinstance(value, dict) else refuse()
    return _parse_choice(parameter, value, at, whose)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_choice(parameter: Parameter, value: Any, at: str, whose: str) -> Any:
    if parameter.kind is Kind.ACTIVATION:
        return _parse_activation(parameter, value, at, whose)
    entries, refused = {
        Kind.INITIALIZER: (INITIALIZERS, INITIALIZERS_REFUSED),
        Kind.REGULARIZER: (REGULARIZERS, REGULARIZERS_REFUSED),
        Kind.RATE: (SCHEDULES, {}),
    }[parameter.kind]
    if isinstance(value, str):
        found = _choose(value, entries)
        if found is None:
            known = [name for type_, entry in entries.items() for name in (*entry.names, type_)]
            why = f" ({refused[value]})" if value in refused else ""
            refuse_value(at, whose, value, f"{_expected(parameter)}{why}{did_you_mean(value, known)}")
        return found
    if not isinstance(value, dict):
        refuse_value(at, whose, value, _expected(parameter))
    return parse_choice(value, entries, refused, at, str(parameter.kind))


def parse_choice(
    value: Mapping[str, Any], entries: Mapping[str, Entry], refused: Mapping[str, str], at: str, noun: str
) -> Choice:
    """Return one of some entries, written as `{type, parameters}`."""
    for name in value:
        if name not in ("type", "parameters"):
            message = f"there is no field {at}.{name}; there are type and parameters{did_you_mean(name, ['type'])}"
            raise RunError(Reason.INVALID_PARAMETER, message)
    type_, parameters = value.get("type"), value.get("parameters")
    known = [*entries, *(name for entry in entries.values() for name in entry.names)]
    found = next((name for name, entry in entries.items() if type_ == name or type_ in entry.names), None)
    if found is None:
        why = f" ({refused[type_]})" if isinstance(type_, str) and type_ in refused else ""
        shown = json.dumps(type_, ensure_ascii=False)[:80]
        near = did_you_mean(type_, known) if isinstance(type_, str) else ""
        message = f"{at}.type is {shown}: it must be one of {listed(list(entries), 20)}{why}{near}"
        raise RunError(Reason.INVALID_PARAMETER, message)
    if parameters is not None and not isinstance(parameters, dict):
        refuse_value(f"{at}.parameters", f"the {noun} {found}", parameters, "an object")
    return Choice(found, parse_parameters(entries[found], parameters or {}, f"{at}.parameters", f"the {noun} {found}"))


def _parse_activation(parameter: Parameter, value: Any, at: str, whose: str) -> str:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        why = f" ({ACTIVATIONS_REFUSED[value]})" if isinstance(value, str) and value in ACTIVATIONS_REFUSED else ""
        near = did_you_mean(value, ACTIVATIONS) if isinstance(value, str) else ""
        refuse_value(at, whose, value, f"{_expected(parameter)}{why}{near}")
    return CANONICAL.get(value, value)


def _choose(name: str | None, entries: Mapping[str, Entry]) -> Choice | None:
    """Return an entry by any of its names, with all its defaults."""
    for type_, entry in entries.items():
        if name == type_ or name in entry.names:
            return Choice(type_, {one: parameter.default for one, parameter in entry.parameters.items()})
    return None
