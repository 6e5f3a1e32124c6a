"""In go columns and the steps of preparation, out comes a `Preparer`, fitted on the training part.

It computes in FP32 with the very operations of the graph, so that both agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from .config import Method, Preparation, Strategy
from .failure import Reason, RunError, did_you_mean, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .table import Column, Indices, Numbers, Texts

MOST_CATEGORIES: Final = 10_000


@dataclass(frozen=True)
class FillNumbers:
    """Puts a number where one is missing."""

    value: np.float32

    def apply(self, values: Numbers) -> Numbers:
        """Return the prepared values."""
        return np.where(np.isnan(values), self.value, values)


@dataclass(frozen=True)
class FillTexts:
    """Puts a text where one is missing."""

    value: str

    def apply(self, values: Texts) -> Texts:
        """Return the prepared values."""
        return np.where(values == "", self.value, values)


@dataclass(frozen=True)
class Scale:
    """Takes an offset off and multiplies."""

    offset: np.float32
    factor: np.float32
    method: str

    def apply(self, values: Numbers) -> Numbers:
        """Return the prepared values."""
        return (values - self.offset) * self.factor


@dataclass(frozen=True)
class OneHot:
    """Gives a column of 0 and 1 for each known value."""

    values: tuple[Any, ...]

    def apply(self, values: NDArray[Any]) -> Numbers:
        """Return the prepared values."""
        known = np.array(self.values, dtype=values.dtype)
        return (values[:, np.newaxis] == known[np.newaxis, :]).astype(np.float32)


@dataclass(frozen=True)
class Ordinal:
    """Gives the number of a known value, or -1."""

    values: tuple[Any, ...]

    def apply(self, values: NDArray[Any]) -> Numbers:
        """Return the prepared values."""
        known = {value: np.float32(index) for index, value in enumerate(self.values)}
        return np.array([known.get(value, np.float32(-1)) for value in values.tolist()], dtype=np.float32)


Step = FillNumbers | FillTexts | Scale | OneHot | Ordinal


@dataclass(frozen=True)
class Chain:
    """What one column goes through."""

    name: str
    is_text: bool
    steps: tuple[Step, ...]
    may_miss: bool
    """Whether a missing number passes through to the algorithm."""

    def apply(self, values: NDArray[Any]) -> Numbers:
        """Return the prepared column, of shape (rows, width)."""
        for step in self.steps:
            values = step.apply(values)
        return values.reshape(len(values), -1)

    @property
    def width(self) -> int:
        """How many features come out."""
        return next((len(step.values) for step in self.steps if isinstance(step, OneHot)), 1)

    @property
    def meaning(self) -> tuple[str, ...]:
        """What comes out: the column and how it was scaled, or where values are numbered each of them in this order."""
        for step in self.steps:
            if isinstance(step, OneHot | Ordinal):
                return tuple(f"{self.name}={value}" for value in step.values)
        scaled = [f"scale {step.method}" for step in self.steps if isinstance(step, Scale)]
        return (f"{self.name} ({', '.join(scaled)})" if scaled else self.name,)


@dataclass(frozen=True)
class Preparer:
    """What all columns go through, in the order of the data."""

    chains: tuple[Chain, ...]

    def apply(self, columns: tuple[Column, ...], rows: Indices) -> Numbers:
        """Return the features of some rows as the algorithm takes them."""
        parts = [chain.apply(column.values[rows]) for chain, column in zip(self.chains, columns, strict=True)]
        features = np.concatenate(parts, axis=1)
        if np.isinf(features).any():
            names = [chain.name for chain, part in zip(self.chains, parts, strict=True) if np.isinf(part).any()]
            message = (
                f"prepared values of column {listed(names, 3)} are beyond FP32: remove outliers, or scale otherwise"
            )
            raise RunError(Reason.NOT_FINITE, message)
        return features


class _Work:
    """A column while it is fitted: its values in the training part, after the steps so far."""

    def __init__(self, column: Column, train: Indices) -> None:
        self.column = column
        self.values: NDArray[Any] = column.values[train]
        self.steps: list[Step] = []
        self.filled = False

    @property
    def kind(self) -> str:
        if any(isinstance(step, OneHot) for step in self.steps):
            return "one-hot"
        return "text" if self.values.dtype == object else "numbers"

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.values = step.apply(self.values)


def fit_preparation(columns: tuple[Column, ...], preprocess: tuple[Preparation, ...], train: Indices) -> Preparer:
    """Fit the steps in their order on the training part."""
    works = {column.name: _Work(column, train) for column in columns}
    for index, step in enumerate(preprocess):
        path = f"preprocess[{index}].{step.kind}"
        for name in step.columns:
            if name not in works:
                _refuse(f"{path}.columns names {name!r}, and there is no such column{did_you_mean(name, works)}")
        for name, work in works.items():
            if name in step.columns or (not step.columns and _takes(work, step)):
                _fit_step(work, step, path)
    _refuse_texts(works)
    return Preparer(
        tuple(
            Chain(
                name,
                work.column.is_text,
                tuple(work.steps),
                may_miss=not work.column.is_text and not work.filled and bool(np.isnan(work.column.values).any()),
            )
            for name, work in works.items()
        )
    )


def _takes(work: _Work, step: Preparation) -> bool:
    """Whether a step without columns applies to this one."""
    if work.kind == "one-hot":
        return False
    if step.kind == "impute":
        if work.kind == "numbers":
            return step.strategy is not Strategy.CONSTANT or _as_number(step.fill_value) is not None
        return step.strategy in (Strategy.MOST_FREQUENT, Strategy.CONSTANT)
    return work.kind == ("numbers" if step.kind == "scale" else "text")


def _fit_step(work: _Work, step: Preparation, path: str) -> None:
    name, kind = work.column.name, work.kind
    if kind == "one-hot":
        _refuse(f"{path} comes after oneHot of column {name!r}, which left no such column: put it before")
    if step.kind == "impute":
        work.add(_fit_fill(work, step, path))
        work.filled = True
    elif step.kind == "scale":
        if kind == "text":
            _refuse(f"{path} names column {name!r}, which is text: give it oneHot or ordinal, or scale other columns")
        work.add(_fit_scale(work, step.method))
    else:
        _fit_encoding(work, step, path)


def _fit_fill(work: _Work, step: Preparation, path: str) -> Step:
    name, values = work.column.name, work.values
    if work.kind == "text":
        if step.strategy in (Strategy.MEAN, Strategy.MEDIAN):
            _refuse(f"{path} takes the {step.strategy} of column {name!r}, which is text: use MostFrequent or Constant")
        if step.strategy is Strategy.CONSTANT:
            return FillTexts(step.fill_value or "")
        present = values[values != ""]
        _refuse_empty(name, len(present))
        found, counts = np.unique(present, return_counts=True)
        return FillTexts(str(found[counts.argmax()]))
    if step.strategy is Strategy.CONSTANT:
        number = _as_number(step.fill_value)
        if number is None:
            _refuse(f"{path}.fillValue is {step.fill_value!r}, and column {name!r} holds numbers: give a number")
        return FillNumbers(number)
    present = values[~np.isnan(values)].astype(np.float64)
    _refuse_empty(name, len(present))
    if step.strategy is Strategy.MEAN:
        return FillNumbers(np.float32(present.mean()))
    if step.strategy is Strategy.MEDIAN:
        return FillNumbers(np.float32(np.median(present)))
    found, counts = np.unique(present, return_counts=True)
    return FillNumbers(np.float32(found[counts.argmax()]))


def _fit_scale(work: _Work, method: Method | None) -> Scale:
    present = work.values[~np.isnan(work.values)].astype(np.float64)
    _refuse_empty(work.column.name, len(present))
    if method is Method.STANDARD:
        offset, spread = present.mean(), present.std()
    elif method is Method.MIN_MAX:
        offset, spread = present.min(), present.max() - present.min()
    else:
        low, offset, high = np.quantile(present, (0.25, 0.5, 0.75))
        spread = high - low
    # What does not vary stays as it is, as with scikit-learn; what rounding leaves of it is no variance.
    constant = spread <= 10 * np.finfo(np.float64).eps * max(abs(offset), np.finfo(np.float64).tiny)
    return Scale(np.float32(offset), np.float32(1 if constant else 1 / spread), str(method or Method.ROBUST))


def _fit_encoding(work: _Work, step: Preparation, path: str) -> None:
    name, values = work.column.name, work.values
    missing = work.column.missing.any() and not work.filled
    if missing:
        message = (
            f"column {name!r} misses {work.column.missing.sum()} values, and {path} cannot encode what is not there: "
            "put an impute step before it (MostFrequent, or Constant with a fillValue)"
        )
        raise RunError(Reason.MISSING_VALUES, message)
    known = tuple(np.unique(values).tolist())
    if len(known) > MOST_CATEGORIES:
        _refuse(f"{path}: column {name!r} has {len(known)} different values, more than {MOST_CATEGORIES}: leave it out")
    work.add(OneHot(known) if step.kind == "oneHot" else Ordinal(known))


def _as_number(text: str | None) -> np.float32 | None:
    try:
        number = np.float32(text or "")
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _refuse(message: str) -> NoReturn:
    raise RunError(Reason.INVALID_PREPARATION, message)


def _refuse_empty(name: str, present: int) -> None:
    if not present:
        message = f"column {name!r} has no value at all in the training part: take the column out of the data"
        raise RunError(Reason.MISSING_VALUES, message)


def _refuse_texts(works: dict[str, _Work]) -> None:
    """Refuse text that no step turns to numbers."""
    texts = [name for name, work in works.items() if work.kind == "text"]
    if texts:
        notes = [f"{name!r}{works[name].column.note}" for name in texts]
        message = (
            f"column {listed(notes, 5)} is text, and algorithms take numbers: add a step oneHot or "
            "ordinal to preprocess, or take the column out"
        )
        raise RunError(Reason.TEXT_COLUMN, message)
