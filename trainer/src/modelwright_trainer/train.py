"""In go the parts of the data and the candidates, out comes how each did on the validation part, and the choice."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .config import Metric
from .evaluate import answer, is_finite, measure
from .failure import Reason, RunError
from .log import log
from .report import as_decimal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backends import Estimator
    from .config import Candidate, Run
    from .material import Material, Watch
    from .progress import Progress


@dataclass
class Trial:
    """How one candidate did."""

    candidate: Candidate
    estimator: Estimator
    metrics: dict[Metric, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    reason: Reason | None = None
    score: float | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    """What the training told after each epoch, where it has such: `epoch`, `loss`, and metrics by Keras' names."""

    def watch(self, told: Watch) -> Watch:
        """Keep what a training tells, once an epoch, and pass it on."""

        def keep(*, epoch: int, epochs: int, loss: float, metrics: Mapping[str, float] | None = None) -> None:
            told(epoch=epoch, epochs=epochs, loss=loss, metrics=metrics)
            point = {"epoch": epoch, "loss": float(loss)} | {name: float(one) for name, one in (metrics or {}).items()}
            if self.curve and self.curve[-1]["epoch"] == epoch:
                self.curve.pop()
            self.curve.append(point)

        return keep


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
    kept: int
    """How many rows of the test part are kept beside the model."""
    features: list[str]
    classes: list[str] = field(default_factory=list)
    """The labels that the model knows, in the order of its columns; empty for a regression."""
    warnings: list[str] = field(default_factory=list)
    """What the run left out, could not keep or finds strange, in sentences."""


def train_candidates(run: Run, estimators: list[Estimator], material: Material, progress: Progress) -> list[Trial]:
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
                _train(run, trial, material, trial.watch(progress.watch))
            for words in sorted({str(one.message) for one in caught}):
                log("warning", candidate=candidate.name, warning=words[:500])
        except RunError as error:
            if error.reason is Reason.DEVICE_UNUSED:
                # It is of the whole run: what others reach without the device hides that it stands idle.
                raise
            trial.error, trial.reason = error.message, error.reason
        except (ValueError, ArithmeticError, TypeError, NotImplementedError) as error:
            # What libraries say of parameters that do not go together, or do not go with the data.
            trial.error, trial.reason = f"{type(error).__name__}: {error}", Reason.NO_CANDIDATE
        except MemoryError as error:
            # Others may need less.
            told = f" ({error})" if str(error) else ""
            trial.error = f"the memory does not suffice{told}: give spec.training.resources more, or make it smaller"
            trial.reason = Reason.OUT_OF_MEMORY
        trial.seconds = time.monotonic() - started
        log(
            "candidate failed" if trial.error else "candidate trained",
            candidate=candidate.name,
            algorithm=estimator.description,
            seconds=round(trial.seconds, 3),
            metrics={str(metric): value for metric, value in trial.metrics.items()},
            **({"error": trial.error} if trial.error else {}),
        )
        trials.append(trial)
    return trials


def _train(run: Run, trial: Trial, material: Material, watch: Watch) -> None:
    estimator = trial.estimator
    estimator.check(material)
    estimator.fit(material, watch)
    answers = answer(estimator, material.validation.inputs)
    if not is_finite(answers):
        message = "its answers are not finite: scale the columns, or lower the learning rate"
        raise RunError(Reason.NOT_FINITE, message)
    trial.metrics = measure(answers, material.validation.truth, estimator.classes, len(material.classes))
    trial.score = trial.metrics.get(run.selection.metric)
    if trial.score is None:
        message = f"it cannot be measured by {run.selection.metric}"
        if run.selection.metric is Metric.LOG_LOSS:
            message += ": it gives no probabilities; choose another selection.metric or another algorithm"
        raise RunError(Reason.NO_CANDIDATE, message)


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
