"""In go a table's parts and the candidates, out comes how each did on the validation part, and the choice."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import Metric, Task
from .evaluate import answer, is_finite, measure
from .failure import Reason, RunError, did_you_mean, listed
from .graph.trees import round_leaves
from .log import log
from .report import as_decimal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import Candidate, Run
    from .prepare import Preparer
    from .progress import Progress
    from .table import Numbers


@dataclass(frozen=True)
class Part:
    """Prepared rows: features, and numbers of classes or the numbers to predict."""

    features: Numbers
    truth: NDArray[Any]


@dataclass(frozen=True)
class Material:
    """What candidates are trained with."""

    train: Part
    validation: Part
    classes: NDArray[Any]
    """The labels that occur, sorted; empty for a regression."""
    preparer: Preparer


@dataclass
class Trial:
    """How one candidate did."""

    candidate: Candidate
    estimator: Any
    metrics: dict[Metric, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    reason: Reason | None = None
    score: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of a run that made a model."""

    trials: list[Trial]
    ranked: list[Trial]
    chosen: Trial
    metric: Metric
    metrics: dict[Metric, float]
    """The chosen one's, on the test part."""
    rows: dict[str, int]
    features: list[str]
    warnings: list[str] = field(default_factory=list)
    """What the run left out, could not keep or finds strange, in sentences."""


def train_candidates(run: Run, estimators: list[Any], material: Material, progress: Progress) -> list[Trial]:
    """Train and measure all candidates; one that fails does not stop the others."""
    trials: list[Trial] = []
    for index, (candidate, estimator) in enumerate(zip(run.candidates, estimators, strict=True)):
        best = rank(run, trials)
        score = best[0].score if best else None
        progress.start(candidate.name, done=index, best=None if score is None else as_decimal(score))
        trial = Trial(candidate, estimator)
        started = time.monotonic()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                _train(run, trial, f"candidates[{index}]", material)
            for words in sorted({str(one.message) for one in caught}):
                log("warning", candidate=candidate.name, warning=words[:500])
        except RunError as error:
            trial.error, trial.reason = error.message, error.reason
        except (ValueError, ArithmeticError, TypeError, NotImplementedError) as error:
            # What scikit-learn says of parameters that do not go together, or do not go with the data.
            trial.error, trial.reason = f"{type(error).__name__}: {error}", Reason.NO_CANDIDATE
        trial.seconds = time.monotonic() - started
        log(
            "candidate failed" if trial.error else "candidate trained",
            candidate=candidate.name,
            algorithm=candidate.algorithm,
            seconds=round(trial.seconds, 3),
            metrics={str(metric): value for metric, value in trial.metrics.items()},
            **({"error": trial.error} if trial.error else {}),
        )
        trials.append(trial)
    return trials


def _train(run: Run, trial: Trial, path: str, material: Material) -> None:
    estimator = trial.estimator
    _refuse_missing(estimator, trial, material)
    _number_classes(trial, path, material.classes)
    estimator.fit(material.train.features.astype(np.float64), material.train.truth)
    if trial.candidate.algorithm in ("DecisionTree", "RandomForest"):
        if run.task is Task.CLASSIFICATION:
            round_leaves(estimator)
        if hasattr(estimator, "n_jobs"):
            # Threads would add up the trees in the order in which they end.
            estimator.n_jobs = 1
    answers = answer(estimator, material.validation.features)
    if not is_finite(answers):
        message = "its answers are not finite: scale the columns, or lower the learning rate"
        raise RunError(Reason.NOT_FINITE, message)
    known = estimator.classes_ if run.task is Task.CLASSIFICATION else None
    trial.metrics = measure(answers, material.validation.truth, known, len(material.classes))
    trial.score = trial.metrics.get(run.selection.metric)
    if trial.score is None:
        message = f"it cannot be measured by {run.selection.metric}"
        if run.selection.metric is Metric.LOG_LOSS:
            message += ": it gives no probabilities; choose another selection.metric or another algorithm"
        raise RunError(Reason.NO_CANDIDATE, message)


def _refuse_missing(estimator: Any, trial: Trial, material: Material) -> None:
    """Refuse missing numbers where the algorithm cannot take them."""
    missing = [chain.name for chain in material.preparer.chains if chain.may_miss]
    if missing and not estimator.__sklearn_tags__().input_tags.allow_nan:
        message = (
            f"column {listed([repr(name) for name in missing], 5)} misses values, and {trial.candidate.algorithm} "
            "cannot take that: add a step impute to preprocess"
        )
        raise RunError(Reason.MISSING_VALUES, message)


def _number_classes(trial: Trial, path: str, classes: NDArray[Any]) -> None:
    """Bring a `class_weight` by labels to the numbers of the classes."""
    weights = trial.candidate.parameters.get("class_weight")
    if not isinstance(weights, dict):
        return
    known = {str(label): index for index, label in enumerate(classes.tolist())}
    for label in weights:
        if label not in known:
            message = (
                f"{path}.parameters.class_weight of candidate {trial.candidate.name!r} names the label {label!r}, "
                f"which does not occur{did_you_mean(label, known)}; there are {listed(list(known))}"
            )
            raise RunError(Reason.INVALID_PARAMETER, message)
    trial.estimator.set_params(class_weight={known[label]: weight for label, weight in weights.items()})


def rank(run: Run, trials: list[Trial]) -> list[Trial]:
    """Order candidates: the best first, of equal ones the earlier; those without a score last."""
    sign = -1 if run.selection.maximize else 1
    scored = [trial for trial in trials if trial.score is not None]
    return sorted(scored, key=lambda trial: sign * (trial.score or 0.0)) + [one for one in trials if one.score is None]


def choose(run: Run, trials: list[Trial]) -> tuple[Trial, list[Trial]]:
    """Return the best candidate, and all in their order."""
    ranked = rank(run, trials)
    if ranked[0].score is not None:
        return ranked[0], ranked
    reasons = {trial.reason for trial in trials}
    reason = reasons.pop() if len(reasons) == 1 else None
    words = "; ".join(f"{trial.candidate.name}: {trial.error}" for trial in trials)
    raise RunError(reason or Reason.NO_CANDIDATE, f"no candidate could be trained: {words}")
