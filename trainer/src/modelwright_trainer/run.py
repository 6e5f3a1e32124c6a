"""The run, step by step: read → check → split → prepare → train → choose → export → write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from .backends import build_estimators
from .checks import check_table
from .config import Run, Task
from .curves import draw_curves
from .data import arrange, read_data
from .data.raw import MISSING
from .evaluate import answer, measure
from .export import Fitted, export_model
from .failure import Reason, RunError, listed
from .findings import find_in_table
from .inputs import build_inputs, without_objects
from .keep import choose_kept
from .log import log
from .material import Material, Part
from .processors import count_processors
from .report import build_training_report
from .split import Parts, find_uneven, split_data
from .train import Outcome, choose, train_candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .material import Answers, Arrays
    from .progress import Progress
    from .table import Indices, Table
    from .tensors import Tensors

MODEL_FILE: Final = "model.onnx"
EVALUATION_FILE: Final = "evaluation.npz"
CALIBRATION_FILE: Final = "calibration.npz"
REPORT_FILE: Final = "report.json"
VARIABLES_FILE: Final = "variables.npz"
CURVES_FILE: Final = "curves.svg"
MOST_CALIBRATION_ROWS: Final = 512


@dataclass(frozen=True)
class Truth:
    """Labels as candidates take them."""

    values: NDArray[Any]
    """Numbers of classes, or the numbers to predict."""
    classes: NDArray[Any]
    """The labels that occur, sorted; empty for a regression."""


def run_training(run: Run, progress: Progress) -> Outcome:
    """Do what the run says, and leave its files in the output folder."""
    progress.total = len(run.candidates)
    progress.metric = str(run.selection.metric)
    processors = count_processors()
    estimators = build_estimators(run, processors)
    with threadpool_limits(limits=processors):
        source = read_data(run)
        log("data read", rows=source.rows, columns=len(source.columns), files=len(source.files))
        progress.start("checking")
        check_table(source, run)
        data = arrange(source, run)
        truth = _find_truth(data, run)
        parts = split_data(data, run.split)
        _refuse_new_labels(data, truth, parts)
        warnings = [
            *find_in_table(data, run.data.label, truth.values, truth.classes),
            *filter(None, [find_uneven(data.labels, run.split, parts)]),
            *data.notes,
        ]
        for words in warnings:
            log("warning", warning=words)
        inputs = build_inputs(data, run, parts)
        train, validation, test = (
            Part(inputs.prepare(rows), truth.values[rows]) for rows in (parts.train, parts.validation, parts.test)
        )
        _refuse_one_class(train, truth, run)
        material = Material(run.task, inputs.kind, train, validation, truth.classes, inputs.may_miss)
        chosen, ranked = choose(run, trials := train_candidates(run, estimators, material, progress))
        progress.start("exporting", done=len(trials))
        answers = answer(chosen.estimator, test.inputs)
        known = chosen.estimator.classes
        labels = None if known is None else truth.classes[known]
        asked = inputs.take(parts.test)
        outputs = _as_outputs(answers, truth.classes)
        content = export_model(Fitted(inputs.declare, chosen.estimator, labels), asked, outputs)
    kept = choose_kept(asked, run.split.seed)
    if len(kept) < test.rows:
        words = (
            f"the test part has {test.rows} rows, and {len(kept)} of them, drawn by split.seed, are kept beside the "
            "model for prove; the trainer's own metrics are of all"
        )
        log("warning", warning=words)
        warnings.append(words)
    outcome = Outcome(
        trials=trials,
        ranked=ranked,
        chosen=chosen,
        metric=run.selection.metric,
        metrics=measure(answers, test.truth, known, len(truth.classes)),
        rows={"train": train.rows, "validation": validation.rows, "test": test.rows},
        kept=len(kept),
        features=list(data.features),
        classes=[] if labels is None else [str(one) for one in labels],
        warnings=warnings,
    )
    evaluation = {f"inputs/{name}": without_objects(values[kept]) for name, values in asked.items()}
    evaluation["labels"] = without_objects(data.labels[parts.test][kept])
    if labels is not None:
        evaluation["classes"] = without_objects(labels)
    evaluation |= {f"outputs/{name}": without_objects(values[kept]) for name, values in outputs.items()}
    calibration = {name: without_objects(values) for name, values in inputs.take(_calibration(parts)).items()}
    _write(Path(run.output), content, evaluation, calibration, outcome)
    return outcome


def _find_truth(data: Table | Tensors, run: Run) -> Truth:
    """Return the labels as numbers; every row must have one, and a classification two different ones."""
    if data.unlabelled.any():
        message = (
            f"data.label {run.data.label!r} is missing in {data.unlabelled.sum()} of {data.rows} rows, in "
            f"{data.places(data.unlabelled)}: give these rows a label, or take them out ({listed(MISSING)} count as "
            "missing, unless a check of this column has the type Text)"
        )
        raise RunError(Reason.MISSING_LABEL, message)
    if run.task is Task.REGRESSION:
        return Truth(data.labels, np.zeros(0))
    classes, values = np.unique(data.labels, return_inverse=True)
    if len(classes) == 1:
        message = (
            f"data.label {run.data.label!r} is {classes[0]!s:.40} in all {data.rows} rows: a Classification needs at "
            "least two different labels"
        )
        raise RunError(Reason.ONE_CLASS, message)
    return Truth(values, classes)


def _refuse_new_labels(data: Table | Tensors, truth: Truth, parts: Parts) -> None:
    """Refuse labels of a test set of one's own that nothing was learned of."""
    if not data.tests or not len(truth.classes):
        return
    own = np.arange(data.rows) >= data.rows - data.tests
    new = own & ~np.isin(truth.values, truth.values[~own])
    if new.any():
        found = [repr(one) for one in np.unique(data.labels[new]).tolist()]
        known = [repr(one) for one in np.unique(data.labels[~own]).tolist()]
        message = (
            f"data.test has labels that the training data does not have: {listed(found, 5)} in {new.sum()} of its "
            f"{len(parts.test)} rows; the training data has {listed(known)}. Write them alike, or take these rows out"
        )
        raise RunError(Reason.INVALID_LABEL, message)


def _refuse_one_class(train: Part, truth: Truth, run: Run) -> None:
    if run.task is Task.CLASSIFICATION and len(np.unique(train.truth)) == 1:
        message = (
            f"all {len(train.truth)} rows of the training part have the label {truth.classes[train.truth[0]]!s:.40}: "
            "make split.stratify true, or give more rows"
        )
        raise RunError(Reason.ONE_CLASS, message)


def _as_outputs(answers: Answers, classes: NDArray[Any]) -> Arrays:
    """Return answers as the graph gives them."""
    if answers.prediction is not None:
        return {"prediction": answers.prediction}
    found = {"label": classes[answers.index]}
    if answers.probabilities is not None:
        found["probabilities"] = answers.probabilities
    return found


def _calibration(parts: Parts) -> Indices:
    """Return rows spread over the training part."""
    count = min(MOST_CALIBRATION_ROWS, len(parts.train))
    return parts.train[np.linspace(0, len(parts.train) - 1, count).astype(np.intp)]


def _write(output: Path, model: list[bytes], evaluation: Arrays, calibration: Arrays, outcome: Outcome) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with (output / MODEL_FILE).open("wb") as file:
        file.writelines(model)
    with (output / EVALUATION_FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **evaluation)
    with (output / CALIBRATION_FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, **{f"inputs/{name}": values for name, values in calibration.items()})
    if variables := outcome.chosen.estimator.variables():
        # Other trainings start from these.
        with (output / VARIABLES_FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **variables)
    if curves := {trial.candidate.name: trial.curve for trial in outcome.trials if trial.curve}:
        (output / CURVES_FILE).write_text(draw_curves(curves), encoding="utf-8")
    report = json.dumps(build_training_report(outcome), ensure_ascii=False, indent=2, allow_nan=False)
    (output / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
