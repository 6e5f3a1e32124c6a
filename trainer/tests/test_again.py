"""A kept model again: what its training left for `prove` and `optimize` is made anew, byte by byte, without a fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from modelwright_trainer.again import prepare_again
from modelwright_trainer.backends.scikit_learn.estimator import ScikitLearnEstimator
from modelwright_trainer.failure import RunError

if TYPE_CHECKING:
    from conftest import Bench

SOURCES = Path(__file__).parents[1] / "src"
STAYS = ("report.json", "variables.npz", "curves.svg")


def keep(bench: Bench, *, evaluation: bool = False) -> Path:
    """Put what a run left into an artifact, as `publish` does, and take it from where the run left it."""
    artifact = bench.folder / "from"
    (artifact / "modelwright" / "variants" / "old").mkdir(parents=True)
    (artifact / "modelwright" / "variants" / "old" / "model.onnx").write_bytes(b"another")
    shutil.copy(bench.out / "model.onnx", artifact / "model.onnx")
    for name in (*STAYS, *(["evaluation.npz"] if evaluation else [])):
        if (bench.out / name).exists():
            shutil.copy(bench.out / name, artifact / "modelwright" / name)
    shutil.move(bench.out, bench.folder / "before")
    return artifact


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def repeats(bench: Bench) -> None:
    """Train, keep, prepare again, and hold what is there against what was."""
    artifact = keep(bench)
    prepare_again(bench.parse(), artifact)
    before, now = bench.folder / "before", bench.out
    for name in ("model.onnx", "calibration.npz", "report.json"):
        assert (now / name).read_bytes() == (before / name).read_bytes(), name
    then, again = arrays(before / "evaluation.npz"), arrays(now / "evaluation.npz")
    assert list(again) == [name for name in then if not name.startswith("outputs/")]
    for name, values in again.items():
        assert (values.dtype, values.shape) == (then[name].dtype, then[name].shape), name
        assert values.tobytes() == then[name].tobytes(), name
    assert not (now / "variants").exists()


def is_refused(bench: Bench, artifact: Path, words: str) -> None:
    """Require that what was kept is told to be of something else."""
    with pytest.raises(RunError, match=words) as caught:
        prepare_again(bench.parse(), artifact)
    assert caught.value.reason == "NotReproducible"


@pytest.fixture(autouse=True)
def nothing_is_fitted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be fitted once the run has left its model."""
    fit = ScikitLearnEstimator.fit

    def only_at_first(self: ScikitLearnEstimator, *arguments: Any, **named: Any) -> Any:
        assert not (bench.folder / "from").exists(), "something is fitted again"
        return fit(self, *arguments, **named)

    monkeypatch.setattr(ScikitLearnEstimator, "fit", only_at_first)


@pytest.mark.parametrize("matrix", [False, True])
def test_a_table_is_parted_as_it_was(bench: Bench, *, matrix: bool) -> None:
    bench.write_bundled("iris").candidate("RandomForest", n_estimators=5)
    if matrix:
        bench.matrix()
    bench.train()
    repeats(bench)


def test_texts_missing_values_and_preparation_are_as_they_were(bench: Bench) -> None:
    rows = [[index % 7 or "", "red" if index % 3 else "green", f"l{index % 2}"] for index in range(120)]
    bench.write_csv(["number", "colour", "target"], rows)
    bench.run["preprocess"] = [{"impute": {"strategy": "Mean"}}, {"oneHot": {}}]
    bench.candidate("LogisticRegression").train()
    repeats(bench)


def test_a_regression_by_time_and_an_npz_are_as_they_were(bench: Bench) -> None:
    bench.write_bundled("diabetes", npz=True).regression().candidate("LinearRegression")
    bench.run["split"] |= {"by": "Time"}
    bench.train()
    repeats(bench)


def test_a_class_that_the_training_part_lacks_is_none_of_the_models(bench: Bench) -> None:
    labels = ["a", "b"] * 40 + ["c"]
    rows = [[index % 2 + index / 100, label] for index, label in enumerate(labels)]
    bench.write_csv(["x", "target"], rows).candidate("LogisticRegression")
    bench.run["split"] |= {"by": "Time", "stratify": False}
    bench.train()
    assert bench.evaluation()["classes"].tolist() == ["a", "b"]
    repeats(bench)


def test_a_test_part_that_stayed_is_taken_with_the_answers_and_another_is_refused(bench: Bench) -> None:
    bench.write_bundled("iris").train()
    artifact = keep(bench, evaluation=True)
    prepare_again(bench.parse(), artifact)
    assert (bench.out / "evaluation.npz").read_bytes() == (bench.folder / "before" / "evaluation.npz").read_bytes()
    bench.run["split"]["seed"] = 8
    is_refused(bench, artifact, r"another one \(inputs/.* differ\); set spec.rerun")


def test_parts_of_another_size_are_refused(bench: Bench) -> None:
    bench.write_bundled("iris").train()
    artifact = keep(bench)
    bench.run["split"]["test"] = "0.2"
    is_refused(bench, artifact, r"cannot be made again: rows are .* set spec.rerun")


def test_a_model_of_other_classes_is_refused(bench: Bench) -> None:
    bench.write_bundled("iris").train()
    artifact = keep(bench)
    (artifact / "modelwright" / "report.json").unlink()
    bench.write_bundled("digits")
    is_refused(bench, artifact, r"tells 3 classes apart, and the data has 10")


def test_the_process_prepares_and_reports(bench: Bench) -> None:
    bench.write_bundled("iris").train()
    artifact = keep(bench)
    (bench.folder / "run.json").write_text(json.dumps(bench.run))
    (bench.folder / "termination").touch()

    def ask(kept: Path) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "modelwright_trainer", "prepare", "--run", str(bench.folder / "run.json")]
        command += ["--kept", str(kept), "--termination-log", str(bench.folder / "termination")]
        environment = os.environ | {"PYTHONPATH": str(SOURCES)}
        code = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60).returncode  # noqa: S603
        return code, json.loads((bench.folder / "termination").read_text())

    assert ask(artifact) == (0, {"succeeded": {"rows": {"train": 75, "validation": 30, "test": 45}}})
    code, told = ask(bench.folder)
    assert (code, told["failed"]["reason"]) == (64, "NoModel")
    assert "spec.rerun" in told["failed"]["message"]
