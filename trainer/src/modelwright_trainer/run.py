"""The run, step by step: read → check → split → prepare → train → choose → export → write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from .algorithms import build_estimators
from .checks import check_table
from .config import Run, Task
from .evaluate import Answers, answer, measure
from .export import Arrays, Fitted, export_model
from .failure import Reason, RunError, listed
from .findings import find_in_table
from .log import log
from .prepare import fit_preparation
from .processors import count_processors
from .raw import MISSING
from .read import read_table
from .report import build_training_report
from .split import Parts, find_uneven, split_rows
from .train import Material, Outcome, Part, choose, train_candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .progress import Progress
    from .table import Indices, Table

MODEL_FILE: Final = "model.onnx"
EVALUATION_FILE: Final = "evaluation.npz"
CALIBRATION_FILE: Final = "calibration.npz"
REPORT_FILE: Final = "report.json"
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
        table = read_table(run)
        log("data read", rows=table.rows, columns=len(table.columns), files=len(table.files))
        progress.start("checking")
        check_table(table, run)
        truth = _find_truth(table, run)
        parts = split_rows(table.labels, run.split)
        warnings = [
            *find_in_table(table, run.data.label, truth.values, truth.classes),
            *filter(None, [find_uneven(table.labels, run.split, parts)]),
        ]
        for words in warnings:
            log("warning", warning=words)
        table = table.without_written()
        preparer = fit_preparation(table.columns, run.preprocess, parts.train)
        train, validation, test = (
            Part(preparer.apply(table.columns, rows), truth.values[rows])
            for rows in (parts.train, parts.validation, parts.test)
        )
        _refuse_one_class(train, truth, run)
        material = Material(train, validation, truth.classes, preparer)
        chosen, ranked = choose(run, trials := train_candidates(run, estimators, material, progress))
        progress.start("exporting", done=len(trials))
        answers = answer(chosen.estimator, test.features)
        known = None if run.task is Task.REGRESSION else np.asarray(chosen.estimator.classes_)
        labels = None if known is None else truth.classes[known]
        inputs = take_inputs(table, parts.test)
        outputs = _as_outputs(answers, truth.classes)
        fitted = Fitted(preparer, chosen.estimator, labels, table.single_input)
        content = export_model(fitted, inputs, outputs)
    outcome = Outcome(
        trials=trials,
        ranked=ranked,
        chosen=chosen,
        metric=run.selection.metric,
        metrics=measure(answers, test.truth, known, len(truth.classes)),
        rows={"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)},
        features=[column.name for column in table.columns],
        warnings=warnings,
    )
    evaluation = {f"inputs/{name}": values for name, values in inputs.items()}
    evaluation["labels"] = _without_objects(table.labels[parts.test])
    if labels is not None:
        evaluation["classes"] = _without_objects(labels)
    evaluation |= {f"outputs/{name}": _without_objects(values) for name, values in outputs.items()}
    _write(Path(run.output), content, evaluation, take_inputs(table, _calibration(parts)), outcome)
    return outcome


def _find_truth(table: Table, run: Run) -> Truth:
    """Return the labels as numbers; every row must have one, and a classification two different ones."""
    if table.unlabelled.any():
        message = (
            f"data.label {run.data.label!r} is missing in {table.unlabelled.sum()} of {table.rows} rows, in "
            f"{table.places(table.unlabelled)}: give these rows a label, or take them out ({listed(MISSING)} count as "
            "missing, unless a check of this column has the type Text)"
        )
        raise RunError(Reason.MISSING_LABEL, message)
    if run.task is Task.REGRESSION:
        return Truth(table.labels, np.zeros(0))
    classes, values = np.unique(table.labels, return_inverse=True)
    if len(classes) == 1:
        message = (
            f"data.label {run.data.label!r} is {classes[0]!s:.40} in all {table.rows} rows: a Classification needs at "
            "least two different labels"
        )
        raise RunError(Reason.ONE_CLASS, message)
    return Truth(values, classes)


def _refuse_one_class(train: Part, truth: Truth, run: Run) -> None:
    if run.task is Task.CLASSIFICATION and len(np.unique(train.truth)) == 1:
        message = (
            f"all {len(train.truth)} rows of the training part have the label {truth.classes[train.truth[0]]!s:.40}: "
            "make split.stratify true, or give more rows"
        )
        raise RunError(Reason.ONE_CLASS, message)


def take_inputs(table: Table, rows: Indices) -> Arrays:
    """Return rows as the graph takes them."""
    if table.single_input:
        return {"x": np.column_stack([column.values[rows] for column in table.columns])}
    return {column.name: _without_objects(column.values[rows].reshape(-1, 1)) for column in table.columns}


def _as_outputs(answers: Answers, classes: NDArray[Any]) -> Arrays:
    """Return answers as the graph gives them."""
    if answers.prediction is not None:
        return {"prediction": answers.prediction}
    found = {"label": classes[answers.index]}
    if answers.probabilities is not None:
        found["probabilities"] = answers.probabilities
    return found


def _without_objects(values: NDArray[Any]) -> NDArray[Any]:
    """Text as NumPy's own type, which needs no pickling."""
    return values.astype(str) if values.dtype == object else values


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
    report = json.dumps(build_training_report(outcome), ensure_ascii=False, indent=2, allow_nan=False)
    (output / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
