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
from .config import By, DataFormat, Run, Task
from .curves import draw_curves
from .data import arrange, read_data
from .data.raw import MISSING
from .evaluate import answer, is_finite, measure
from .export import Fitted, export_model
from .failure import Reason, RunError, listed
from .findings import find_in_table
from .inputs import build_inputs, without_objects
from .keep import choose_kept, count_fitting
from .log import log
from .material import Material, Part
from .processors import count_processors
from .report import build_training_report
from .split import Parts, find_uneven, find_unlearned, split_data
from .train import Outcome, choose, train_candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .inputs import ModelInputs
    from .material import Answers, Arrays
    from .progress import Progress
    from .table import Indices, Table
    from .tensors import Tensors
    from .train import Trial

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


@dataclass(frozen=True)
class Parted:
    """The data, checked and parted: the same for the same run and bytes, whatever is trained on it."""

    data: Table | Tensors
    truth: Truth
    parts: Parts
    inputs: ModelInputs
    warnings: list[str]


def part_data(run: Run, progress: Progress) -> Parted:
    """Read, check and part the data."""
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
        *filter(None, [find_uneven(data.labels, run.split, parts), find_unlearned(truth.values, truth.classes, parts)]),
        *data.notes,
    ]
    for words in warnings:
        log("warning", warning=words)
    return Parted(data, truth, parts, build_inputs(data, run, parts), warnings)


def run_training(run: Run, progress: Progress) -> Outcome:
    """Do what the run says, and leave its files in the output folder."""
    progress.total = len(run.candidates)
    progress.metric = str(run.selection.metric)
    processors = count_processors()
    estimators = build_estimators(run, processors)
    with threadpool_limits(limits=processors):
        parted = part_data(run, progress)
        data, truth, parts, inputs = parted.data, parted.truth, parted.parts, parted.inputs
        warnings = parted.warnings
        train, validation, test = (
            Part(inputs.prepare(rows), truth.values[rows]) for rows in (parts.train, parts.validation, parts.test)
        )
        _refuse_one_class(train, truth, run)
        # Arrays have no names of columns but ours.
        meaning = () if run.data.format is DataFormat.NPZ else inputs.meaning
        material = Material(run.task, inputs.kind, train, validation, truth.classes, inputs.may_miss, meaning)
        chosen, ranked = choose(run, trials := train_candidates(run, estimators, material, progress))
        progress.start("exporting", done=len(trials))
        answers = answer(chosen.estimator, test.inputs)
        _refuse_not_finite(answers, chosen)
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
        rows=count_rows(parts),
        kept=len(kept),
        features=list(data.features),
        classes=[] if labels is None else [str(one) for one in labels],
        warnings=warnings,
    )
    _write(Path(run.output), content, outcome)
    answers_kept = {f"outputs/{name}": values[kept] for name, values in outputs.items()}
    write_rows(Path(run.output), parted, kept, labels, answers_kept)
    return outcome


def count_rows(parts: Parts) -> dict[str, int]:
    """Return how many rows each part has."""
    return {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}


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
        do = "part at random (split.by)" if run.split.by is By.TIME else "make split.stratify true"
        message = (
            f"all {len(train.truth)} rows of the training part have the label {truth.classes[train.truth[0]]!s:.40}: "
            f"{do}, or give more rows"
        )
        raise RunError(Reason.ONE_CLASS, message)


def _refuse_not_finite(answers: Answers, chosen: Trial) -> None:
    """Refuse answers of the test part that are no numbers, which no metric takes; those of validation were judged."""
    if not is_finite(answers):
        message = (
            f"candidate {chosen.candidate.name!r} was chosen, and its answers for rows of the test part are not finite"
            ": scale the columns, take out values that are far from all others, or lower the learning rate"
        )
        raise RunError(Reason.NOT_FINITE, message)


def _as_outputs(answers: Answers, classes: NDArray[Any]) -> Arrays:
    """Return answers as the graph gives them."""
    if answers.prediction is not None:
        return {"prediction": answers.prediction}
    found = {"label": classes[answers.index]}
    if answers.probabilities is not None:
        found["probabilities"] = answers.probabilities
    return found


def _take_calibration(inputs: ModelInputs, parts: Parts) -> Arrays:
    """Take rows spread over the training part: fewer where they are large, as one long text makes all of them."""
    found = inputs.take(_spread(parts.train, MOST_CALIBRATION_ROWS))
    rows = len(next(iter(found.values())))
    kept = _spread(np.arange(rows), count_fitting(found))
    return {name: values[kept] for name, values in found.items()}


def _spread(rows: Indices, most: int) -> Indices:
    """Return at most so many of some rows, as far from each other as can be."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp)]


def write_rows(output: Path, parted: Parted, kept: Indices, classes: NDArray[Any] | None, outputs: Arrays) -> None:
    """Leave the rows of the test part that are kept, with what else is known of them, and the rows to calibrate by."""
    parts, inputs = parted.parts, parted.inputs
    rows = parts.test[kept]
    evaluation = {f"inputs/{name}": values for name, values in inputs.take(rows).items()}
    evaluation["labels"] = parted.data.labels[rows]
    if classes is not None:
        evaluation["classes"] = classes
    evaluation |= outputs
    calibration = {f"inputs/{name}": values for name, values in _take_calibration(inputs, parts).items()}
    output.mkdir(parents=True, exist_ok=True)
    for name, arrays in ((EVALUATION_FILE, evaluation), (CALIBRATION_FILE, calibration)):
        with (output / name).open("wb") as file:
            np.savez(file, allow_pickle=False, **{key: without_objects(values) for key, values in arrays.items()})


def _write(output: Path, model: list[bytes], outcome: Outcome) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with (output / MODEL_FILE).open("wb") as file:
        file.writelines(model)
    if variables := outcome.chosen.estimator.variables():
        # Other trainings start from these.
        with (output / VARIABLES_FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **variables)
    if curves := {trial.candidate.name: trial.curve for trial in outcome.trials if trial.curve}:
        (output / CURVES_FILE).write_text(draw_curves(curves), encoding="utf-8")
    report = json.dumps(build_training_report(outcome), ensure_ascii=False, indent=2, allow_nan=False)
    (output / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
