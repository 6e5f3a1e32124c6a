"""The article's example beside ours, on the same images: as accurate, and unshuffled with the same weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from modelwright_trainer.backends.keras.start import start
from modelwright_trainer.config import Metric, Run, parse_run
from modelwright_trainer.data import arrange, read_data
from modelwright_trainer.progress import Progress
from modelwright_trainer.run import run_training
from modelwright_trainer.split import split_data
from modelwright_trainer.tensors import Tensors

if TYPE_CHECKING:
    from modelwright_trainer.train import Outcome

EXAMPLE = Path(__file__).parents[3] / "examples" / "mnist-keras"
ARTICLE = (EXAMPLE / "article.py").read_text()
MODEL = (EXAMPLE / "model.yaml").read_text()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the run that the operator makes of the example."""
    if "MODELWRIGHT_RUNS" not in os.environ:
        pytest.fail("MODELWRIGHT_RUNS and MODELWRIGHT_DATA name a program and data: tests/run keras sets them")
    work = tmp_path_factory.mktemp("mnist")
    command = [os.environ["MODELWRIGHT_RUNS"], str(EXAMPLE / "model.yaml")]
    run: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["run"]  # noqa: S603
    (work / "data").mkdir()
    folders = map(Path, os.environ["MODELWRIGHT_DATA"].split(":"))
    # The first folder that has it, as for programs on a path: the cluster's tests put a copy into theirs.
    images = next(path for folder in folders for path in folder.glob("mnist.npz"))
    (work / "data" / "mnist.npz").symlink_to(images)
    run["data"]["directory"], run["output"] = str(work / "data"), str(work / "out")
    return run


def train(told: dict[str, Any]) -> tuple[Run, Outcome]:
    """Train ours."""
    run = parse_run(json.dumps(told))
    return run, run_training(run, Progress())


def follow_article(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, article: str = ARTICLE) -> dict[str, Any]:
    """Run the article's Python on the images that ours learned from and was judged by; return its names."""
    start()
    import keras  # noqa: PLC0415 - only what trains may load TensorFlow

    data = arrange(read_data(run), run)
    assert isinstance(data, Tensors)
    parts = split_data(data, run.split)
    images = data.arrays["images"][..., 0]
    arrays = {"x_train": images[parts.train], "y_train": data.labels[parts.train]}
    np.savez(folder / "mnist.npz", **arrays, x_test=images[parts.test], y_test=data.labels[parts.test])
    monkeypatch.chdir(folder)
    keras.utils.set_random_seed(run.split.seed)
    names: dict[str, Any] = {}
    exec(compile(article, "article.py", "exec"), names)  # noqa: S102 - it is what is tried
    return names


def test_the_article_is_as_accurate_as_the_example(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shuffles in its own way, and that alone moves an accuracy by 0.01: the means of some seeds are compared."""
    ours, theirs = [], []
    for seed in (told["split"]["seed"], 1, 2):
        run, outcome = train(told | {"split": told["split"] | {"seed": seed}})
        ours.append(outcome.metrics[Metric.ACCURACY])
        theirs.append(follow_article(run, tmp_path, monkeypatch)["accuracy"])
    print(f"article {theirs}, ours {ours}")
    assert min(ours) >= 0.9
    assert abs(np.mean(ours) - np.mean(theirs)) <= 0.01


def test_without_shuffling_the_article_ends_with_the_weights_of_the_example(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = deepcopy(told)
    told["candidates"][0]["parameters"]["shuffle"] = False
    run, outcome = train(told)
    unshuffled = ARTICLE.replace("epochs=5", "epochs=5, shuffle=False")
    assert unshuffled != ARTICLE
    article = follow_article(run, tmp_path, monkeypatch, unshuffled)
    ours = outcome.chosen.estimator.variables()
    names = ("hidden/kernel", "hidden/bias", "digit/kernel", "digit/bias")
    theirs = dict(zip(names, map(np.asarray, article["model"].trainable_variables), strict=True))
    assert sorted(ours) == sorted([*names, "meaning"])
    worst = max(np.abs(ours[name] - theirs[name]).max() for name in names)
    print(f"largest difference of a weight {worst:.2g}")
    assert worst <= 1e-5


def test_the_page_shows_what_the_files_say() -> None:
    page = (EXAMPLE / "README.md").read_text()
    shown = re.findall(r"```(python|yaml)\n(.*?)```", page, re.DOTALL)
    assert [language for language, _ in shown].count("yaml") == 5
    model = " ".join(MODEL.replace(", credentialsSecret: modelwright-s3", "").split())
    for language, text in shown:
        if language == "python":
            assert text in ARTICLE
        else:
            assert " ".join(text.split()) in model
    python = "".join(text for language, text in shown if language == "python")
    statements = ARTICLE.partition("from keras import layers\n")[2].splitlines()
    assert [line for line in statements if line not in python] == ['print(f"accuracy {accuracy:.3f}")']
