"""A kept model again: in go a run and the artifact of its version, out comes what `train` left, and nothing is trained.

The data is read, checked and parted by the code of a training, so that the test part and the rows to calibrate by are
the ones that the version had.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from .config import Task, parse_run
from .failure import Reason, RunError
from .keep import choose_kept
from .log import log
from .process import RUN_FILE, TERMINATION_LOG, end_on_sigterm, read_run, run_process
from .progress import Progress
from .run import (
    CURVES_FILE,
    EVALUATION_FILE,
    MODEL_FILE,
    REPORT_FILE,
    VARIABLES_FILE,
    Parted,
    count_rows,
    part_data,
    write_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .config import Run
    from .material import Arrays

KEPT: Final = Path("/modelwright/from")
METADATA: Final = "modelwright"
PROBABILITIES: Final = "probabilities"
DO: Final = "set spec.rerun to another value, which trains anew"


@dataclass(frozen=True)
class Prepared:
    """What is left for `optimize` and `prove`."""

    rows: dict[str, int]


def main(arguments: Sequence[str]) -> int:
    """Prepare, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="modelwright_trainer prepare", description="Makes the parts of a run again.")
    parser.add_argument("--run", type=Path, default=RUN_FILE, help="the run (%(default)s)")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the artifact of the version (%(default)s)")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    given = parser.parse_args(arguments)
    end_on_sigterm()

    def prepare() -> dict[str, Any]:
        prepared = prepare_again(parse_run(read_run(given.run)), given.kept)
        log("prepare succeeded", rows=prepared.rows)
        return {"rows": prepared.rows}

    return run_process(prepare, given.termination_log, "spec.training.resources")


def prepare_again(run: Run, artifact: Path) -> Prepared:
    """Leave in the output folder what the training of this run left there."""
    parted = part_data(run, Progress())
    rows = count_rows(parted.parts)
    _refuse_others(artifact, parted, rows)
    output = Path(run.output)
    _take_over(artifact, output)
    kept = choose_kept(parted.inputs.take(parted.parts.test), run.split.seed)
    write_rows(output, parted, kept, _known_classes(run, parted, output / MODEL_FILE), {})
    _prefer_kept(artifact / METADATA / EVALUATION_FILE, output / EVALUATION_FILE)
    return Prepared(rows)


def _refuse_others(artifact: Path, parted: Parted, rows: dict[str, int]) -> None:
    """Refuse parts that are not those of the version, as a trainer of another release might make them."""
    try:
        report = json.loads((artifact / METADATA / REPORT_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    for name, now in (("rows", rows), ("features", list(parted.data.features))):
        then = report.get(name, now) if isinstance(report, dict) else now
        if then != now:
            message = (
                f"the parts of the data cannot be made again: {name} are {now!s:.300}, and the version's report has "
                f"{then!s:.300}; {DO}"
            )
            raise RunError(Reason.NOT_REPRODUCIBLE, message)


def _take_over(artifact: Path, output: Path) -> None:
    """Put the model's own files, and what its training left beside it, where `train` puts them."""
    if not (artifact / MODEL_FILE).is_file():
        raise RunError(Reason.NO_MODEL, f"the version's artifact has no {MODEL_FILE}; {DO}")
    shutil.rmtree(output, ignore_errors=True)
    put_files(artifact, output, lambda path: path.parts[0] != METADATA)
    for name in (REPORT_FILE, VARIABLES_FILE, CURVES_FILE):
        if (artifact / METADATA / name).is_file():
            _put(artifact / METADATA / name, output / name)


def put_files(directory: Path, output: Path, is_wanted: Callable[[Path], bool]) -> None:
    """Let files of a folder appear in another one, those whose path within it is wanted."""
    for path in directory.rglob("*"):
        relative = path.relative_to(directory)
        if path.is_file() and is_wanted(relative):
            _put(path, output / relative)


def _put(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        # Files of another user may not be linked, and volumes may not know links.
        shutil.copyfile(path, target)


def _known_classes(run: Run, parted: Parted, model: Path) -> NDArray[Any] | None:
    """Return the classes that the model knows: those of the training part, or of all data, as its backend counts."""
    if run.task is not Task.CLASSIFICATION:
        return None
    truth = parted.truth
    seen = truth.classes[np.unique(truth.values[parted.parts.train])]
    width = _find_width(model)
    for classes in (seen, truth.classes):
        if width in {None, len(classes)}:
            return classes
    message = (
        f"the version's model tells {width} classes apart, and the data has {len(truth.classes)}, {len(seen)} of them "
        f"in the training part: the parts of the data cannot be made again; {DO}"
    )
    raise RunError(Reason.NOT_REPRODUCIBLE, message)


def _find_width(model: Path) -> int | None:
    """Return how many probabilities the graph gives a row, if it gives any."""
    for output in onnx.load(model, load_external_data=False).graph.output:
        if output.name == PROBABILITIES:
            sizes = output.type.tensor_type.shape.dim
            return int(sizes[-1].dim_value) or None if len(sizes) else None
    return None


def _prefer_kept(kept: Path, made: Path) -> None:
    """Take the test part that stayed with the version, which has the trainer's answers, too, where there is one."""
    if not kept.is_file():
        return
    theirs, ours = _load(kept), _load(made)
    wrong = sorted(
        name
        for name in {*ours, *theirs}
        if not name.startswith("outputs/")
        and (name not in ours or name not in theirs or ours[name].tobytes() != theirs[name].tobytes())
    )
    if wrong:
        message = f"the test part that stayed with the version is another one ({', '.join(wrong)!s:.300} differ); {DO}"
        raise RunError(Reason.NOT_REPRODUCIBLE, message)
    shutil.copyfile(kept, made)


def _load(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
