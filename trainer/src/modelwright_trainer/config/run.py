"""A training run: every field known, typed and within its bounds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from modelwright_trainer.failure import Reason, RunError

from .candidates import Candidate, parse_candidates
from .checks import Checks, parse_checks
from .data import RunData, parse_data
from .fields import Fields, refuse
from .preparation import Preparation, parse_preparation
from .selection import Selection, parse_selection
from .split import Split, parse_split
from .task import Task


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
    checkpoint: str | None = None
    """A folder that outlives this pod: training goes on from what an earlier pod of the same run left there."""
    start_from: str | None = None
    """A folder with the `variables.npz` of a version that networks start from; `from` in the run."""


def parse_run(text: str) -> Run:
    """Read a run, strictly: a field that is unknown here was meant to do something."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(Reason.INVALID_RUN, f"the run is not JSON: {error}") from error
    fields = Fields(value, "")
    task = fields.word("task", Task)
    data = parse_data(Fields(fields.take("data", dict, "an object"), "data"))
    run = Run(
        model=fields.text("model"),
        task=task,
        data=data,
        checks=parse_checks(Fields(fields.find("checks", dict, "an object") or {}, "checks"), task),
        preprocess=tuple(parse_preparation(one) for one in fields.objects("preprocess")),
        split=parse_split(Fields(fields.take("split", dict, "an object"), "split"), data),
        candidates=parse_candidates(fields.objects("candidates")),
        selection=parse_selection(Fields(fields.take("selection", dict, "an object"), "selection"), task),
        output=fields.text("output"),
        checkpoint=_parse_directory(fields.inner("checkpoint")),
        start_from=_parse_directory(fields.inner("from")),
    )
    fields.end()
    if run.preprocess and not data.is_table:
        words = "is for the columns of a table; give the network layers, such as Rescaling or BatchNormalization"
        refuse("preprocess", [step.kind for step in run.preprocess], words)
    if data.window is not None and task is not Task.REGRESSION:
        refuse("task", str(task), "must be Regression with data.window, which predicts the next numbers of a series")
    if run.start_from is not None and not any(candidate.layers for candidate in run.candidates):
        refuse("from", {"directory": run.start_from}, "is for candidates with layers, and there is none")
    if run.split.stratify and task is Task.REGRESSION:
        refuse("split.stratify", value=True, expected="is for a Classification; make it false")
    return run


def _parse_directory(fields: Fields | None) -> str | None:
    if fields is None:
        return None
    found = fields.text("directory")
    fields.end()
    return found
