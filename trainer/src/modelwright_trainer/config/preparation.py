"""Steps of preparation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

from .fields import Fields, refuse

STEPS: Final = ("impute", "scale", "oneHot", "ordinal")


class Strategy(StrEnum):
    """What missing values are filled with."""

    MEAN = "Mean"
    MEDIAN = "Median"
    MOST_FREQUENT = "MostFrequent"
    CONSTANT = "Constant"


class Method(StrEnum):
    """How numbers are scaled."""

    STANDARD = "Standard"
    MIN_MAX = "MinMax"
    ROBUST = "Robust"


@dataclass(frozen=True)
class Preparation:
    """One step of preparation; no columns: all that it can take."""

    kind: Literal["impute", "scale", "oneHot", "ordinal"]
    columns: tuple[str, ...]
    strategy: Strategy | None = None
    fill_value: str | None = None
    method: Method | None = None


def parse_preparation(fields: Fields) -> Preparation:
    """Read one step."""
    for name in fields.fields:
        if name not in STEPS:
            message = f"there is no step {fields.at(name)}; there are {listed(STEPS)}{did_you_mean(name, STEPS)}"
            raise RunError(Reason.INVALID_RUN, message)
    if len(fields.fields) != 1:
        refuse(fields.path, list(fields.fields), f"must name exactly one of {listed(STEPS)}")
    step: Preparation
    if "impute" in fields.fields:
        inner = Fields(fields.take("impute", dict, "an object"), fields.at("impute"))
        strategy = inner.word("strategy", Strategy)
        fill_value = inner.find("fillValue", str, "text")
        step = Preparation("impute", inner.texts("columns"), strategy=strategy, fill_value=fill_value)
        if (strategy is Strategy.CONSTANT) != (fill_value is not None):
            refuse(inner.at("fillValue"), fill_value, "goes with the strategy Constant, and with no other")
    elif "scale" in fields.fields:
        inner = Fields(fields.take("scale", dict, "an object"), fields.at("scale"))
        step = Preparation("scale", inner.texts("columns"), method=inner.word("method", Method))
    elif "oneHot" in fields.fields:
        inner = Fields(fields.take("oneHot", dict, "an object"), fields.at("oneHot"))
        step = Preparation("oneHot", inner.texts("columns"))
    else:
        inner = Fields(fields.take("ordinal", dict, "an object"), fields.at("ordinal"))
        step = Preparation("ordinal", inner.texts("columns"))
    inner.end()
    return step
