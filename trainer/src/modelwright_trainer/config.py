"""In goes the text of `run.json`, out comes a `Run`: every field known, typed and within its bounds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, Literal, NoReturn, TypeVar

from .failure import Reason, RunError, did_you_mean, listed

SEED_LIMIT: Final = 2**32
STEPS: Final = ("impute", "scale", "oneHot", "ordinal")

Word = TypeVar("Word", bound=StrEnum)


class Task(StrEnum):
    """What is learned."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"


class DataFormat(StrEnum):
    """How data is written."""

    CSV = "CSV"
    NPZ = "NPZ"
    PARQUET = "Parquet"


class ColumnType(StrEnum):
    """What the values of a column are."""

    NUMBER = "Number"
    INTEGER = "Integer"
    TEXT = "Text"


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


class Metric(StrEnum):
    """How good a model is."""

    ACCURACY = "Accuracy"
    PRECISION_MACRO = "PrecisionMacro"
    RECALL_MACRO = "RecallMacro"
    F1_MACRO = "F1Macro"
    PRECISION_WEIGHTED = "PrecisionWeighted"
    RECALL_WEIGHTED = "RecallWeighted"
    F1_WEIGHTED = "F1Weighted"
    LOG_LOSS = "LogLoss"
    MEAN_SQUARED_ERROR = "MeanSquaredError"
    MEAN_ABSOLUTE_ERROR = "MeanAbsoluteError"
    R2 = "R2"

    @property
    def task(self) -> Task:
        """The task that it measures."""
        regression = (Metric.MEAN_SQUARED_ERROR, Metric.MEAN_ABSOLUTE_ERROR, Metric.R2)
        return Task.REGRESSION if self in regression else Task.CLASSIFICATION


@dataclass(frozen=True)
class RunData:
    """What is learned from."""

    directory: str
    format: DataFormat
    label: str


@dataclass(frozen=True)
class ColumnCheck:
    """What must hold of one column."""

    name: str
    type: ColumnType | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    allowed: tuple[str, ...] = ()
    max_missing_fraction: Decimal | None = None


@dataclass(frozen=True)
class Checks:
    """What must hold of the data; `None` is not checked."""

    min_rows: int | None = None
    max_rows: int | None = None
    max_missing_fraction: Decimal | None = None
    max_duplicate_fraction: Decimal | None = None
    min_class_fraction: Decimal | None = None
    columns: tuple[ColumnCheck, ...] = ()


@dataclass(frozen=True)
class Preparation:
    """One step of preparation; no columns: all that it can take."""

    kind: Literal["impute", "scale", "oneHot", "ordinal"]
    columns: tuple[str, ...]
    strategy: Strategy | None = None
    fill_value: str | None = None
    method: Method | None = None


@dataclass(frozen=True)
class Split:
    """How rows are parted."""

    validation: Decimal
    test: Decimal
    seed: int
    stratify: bool


@dataclass(frozen=True)
class Candidate:
    """One model to train."""

    name: str
    algorithm: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """How a candidate is chosen, on the validation part."""

    metric: Metric
    maximize: bool


@dataclass(frozen=True)
class Run:
    """A training run."""

    model: str
    task: Task
    data: RunData
    checks: Checks
    preprocess: tuple[Preparation, ...]
    split: Split
    candidates: tuple[Candidate, ...]
    selection: Selection
    output: str


class _Object:
    """The fields of one JSON object; what was not taken by the end is unknown."""

    def __init__(self, value: object, path: str) -> None:
        self.path = path
        if not isinstance(value, dict):
            refuse(path or "the run", value, "must be an object")
        self.fields: dict[str, Any] = value
        self.taken: set[str] = set()

    def at(self, name: str) -> str:
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
        found: str = self.take(name, str, "text")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.find(name, list, "a list of texts") or []
        for index, one in enumerate(found):
            if not isinstance(one, str):
                refuse(f"{self.at(name)}[{index}]", one, "must be text")
        return tuple(found)

    def word(self, name: str, words: type[Word]) -> Word:
        return self._as_word(name, self.text(name), words)

    def find_word(self, name: str, words: type[Word]) -> Word | None:
        found = self.find(name, str, "text")
        return None if found is None else self._as_word(name, found, words)

    def _as_word(self, name: str, value: str, words: type[Word]) -> Word:
        known = [str(word) for word in words]
        if value not in known:
            refuse(self.at(name), value, f"must be one of {listed(known)}{did_you_mean(value, known)}")
        return words(value)

    def decimal(self, name: str) -> Decimal | None:
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
        found = self.decimal(name)
        if found is not None and not 0 <= found <= 1:
            refuse(self.at(name), str(found), "must be a share from 0 to 1")
        return found

    def count(self, name: str) -> int | None:
        found: int | None = self.find(name, int, "a whole number")
        if found is not None and found < 0:
            refuse(self.at(name), found, "must not be negative")
        return found

    def objects(self, name: str) -> list[_Object]:
        found = self.find(name, list, "a list") or []
        return [_Object(one, f"{self.at(name)}[{index}]") for index, one in enumerate(found)]

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


def parse_run(text: str) -> Run:
    """Read a run, strictly: a field that is unknown here was meant to do something."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(Reason.INVALID_RUN, f"the run is not JSON: {error}") from error
    fields = _Object(value, "")
    task = fields.word("task", Task)
    run = Run(
        model=fields.text("model"),
        task=task,
        data=_parse_data(_Object(fields.take("data", dict, "an object"), "data")),
        checks=_parse_checks(_Object(fields.find("checks", dict, "an object") or {}, "checks"), task),
        preprocess=tuple(_parse_preparation(one) for one in fields.objects("preprocess")),
        split=_parse_split(_Object(fields.take("split", dict, "an object"), "split")),
        candidates=_parse_candidates(fields.objects("candidates")),
        selection=_parse_selection(_Object(fields.take("selection", dict, "an object"), "selection"), task),
        output=fields.text("output"),
    )
    fields.end()
    if run.split.stratify and task is Task.REGRESSION:
        refuse("split.stratify", value=True, expected="is for a Classification; make it false")
    return run


def _parse_data(fields: _Object) -> RunData:
    data = RunData(fields.text("directory"), fields.word("format", DataFormat), fields.text("label"))
    fields.end()
    return data


def _parse_checks(fields: _Object, task: Task) -> Checks:
    checks = Checks(
        min_rows=fields.count("minRows"),
        max_rows=fields.count("maxRows"),
        max_missing_fraction=fields.share("maxMissingFraction"),
        max_duplicate_fraction=fields.share("maxDuplicateFraction"),
        min_class_fraction=fields.share("minClassFraction"),
        columns=tuple(_parse_column_check(one) for one in fields.objects("columns")),
    )
    fields.end()
    if checks.min_class_fraction is not None and task is Task.REGRESSION:
        refuse("checks.minClassFraction", str(checks.min_class_fraction), "is for a Classification; take it away")
    return checks


def _parse_column_check(fields: _Object) -> ColumnCheck:
    check = ColumnCheck(
        name=fields.text("name"),
        type=fields.find_word("type", ColumnType),
        min=fields.decimal("min"),
        max=fields.decimal("max"),
        allowed=fields.texts("allowed"),
        max_missing_fraction=fields.share("maxMissingFraction"),
    )
    fields.end()
    return check


def _parse_preparation(fields: _Object) -> Preparation:
    for name in fields.fields:
        if name not in STEPS:
            message = f"there is no step {fields.at(name)}; there are {listed(STEPS)}{did_you_mean(name, STEPS)}"
            raise RunError(Reason.INVALID_RUN, message)
    if len(fields.fields) != 1:
        refuse(fields.path, list(fields.fields), f"must name exactly one of {listed(STEPS)}")
    step: Preparation
    if "impute" in fields.fields:
        inner = _Object(fields.take("impute", dict, "an object"), fields.at("impute"))
        strategy = inner.word("strategy", Strategy)
        fill_value = inner.find("fillValue", str, "text")
        step = Preparation("impute", inner.texts("columns"), strategy=strategy, fill_value=fill_value)
        if (strategy is Strategy.CONSTANT) != (fill_value is not None):
            refuse(inner.at("fillValue"), fill_value, "goes with the strategy Constant, and with no other")
    elif "scale" in fields.fields:
        inner = _Object(fields.take("scale", dict, "an object"), fields.at("scale"))
        step = Preparation("scale", inner.texts("columns"), method=inner.word("method", Method))
    elif "oneHot" in fields.fields:
        inner = _Object(fields.take("oneHot", dict, "an object"), fields.at("oneHot"))
        step = Preparation("oneHot", inner.texts("columns"))
    else:
        inner = _Object(fields.take("ordinal", dict, "an object"), fields.at("ordinal"))
        step = Preparation("ordinal", inner.texts("columns"))
    inner.end()
    return step


def _parse_split(fields: _Object) -> Split:
    validation, test, seed = fields.share("validation"), fields.share("test"), fields.count("seed")
    stratify: bool = fields.take("stratify", bool, "true or false")
    fields.end()
    for name, share in (("validation", validation), ("test", test)):
        if not share:
            refuse(f"split.{name}", share and str(share), "must be a share above 0, such as '0.2'")
    if seed is None or seed >= SEED_LIMIT:
        refuse("split.seed", seed, f"must be a whole number below {SEED_LIMIT}")
    if validation is None or test is None or validation + test >= 1:
        refuse("split", f"{validation} + {test}", "must leave rows to train: validation and test together below 1")
    return Split(validation, test, seed, stratify)


def _parse_candidates(objects: list[_Object]) -> tuple[Candidate, ...]:
    candidates: list[Candidate] = []
    for fields in objects:
        parameters = fields.find("parameters", dict, "an object") or {}
        candidate = Candidate(fields.text("name"), fields.text("algorithm"), parameters)
        fields.end()
        if candidate.name in (other.name for other in candidates):
            refuse(fields.at("name"), candidate.name, "must be unique among the candidates")
        candidates.append(candidate)
    if not candidates:
        refuse("candidates", [], "must name at least one candidate")
    return tuple(candidates)


def _parse_selection(fields: _Object, task: Task) -> Selection:
    metric = fields.word("metric", Metric)
    goal = fields.text("goal")
    fields.end()
    if metric.task is not task:
        refuse("selection.metric", str(metric), f"measures a {metric.task}, and the task is {task}")
    if goal not in ("Maximize", "Minimize"):
        refuse("selection.goal", goal, "must be Maximize or Minimize")
    return Selection(metric, goal == "Maximize")
