"""Training that is killed and started again ends with the weights of one that was left alone, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import fresh
import numpy as np
import pytest
from modelwright_trainer.config import Task
from modelwright_trainer.failure import RunError
from networks import layer, network, softmax

if TYPE_CHECKING:
    from pathlib import Path

EPOCHS, ROWS, BATCH = 4, 80, 8
LAYERS = [
    layer("norm", "BatchNormalization"),
    layer("a", "Dense", units=16, activation="relu"),
    layer("dropped", "Dropout", rate=0.3),
    softmax(2),
]
STOP = {"type": "EarlyStopping", "parameters": {"patience": 9, "restore_best_weights": True}}


def write_run(folder: Path, **more: Any) -> Path:
    """Write a run over data of two classes that noise parts badly, so that the best epoch is not the last."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    features = random.normal(size=(ROWS * 2, 4)).astype(np.float32)
    np.savez(
        folder / "data" / "data.npz",
        features=features,
        target=(features.sum(1) + random.normal(size=160) > 0).astype(int),
    )
    run = {
        "model": "tried",
        "task": "Classification",
        "data": {"directory": str(folder / "data"), "format": "NPZ", "label": "target"},
        "split": {"validation": "0.25", "test": "0.25", "seed": 7, "stratify": True},
        "candidates": [
            {
                "name": "net",
                "layers": LAYERS,
                "parameters": {"epochs": EPOCHS, "batch_size": BATCH},
                "callbacks": [STOP],
            }
        ],
        "selection": {"metric": "Accuracy", "goal": "Maximize"},
        "output": str(folder / "out"),
    } | more
    path = folder / "run.json"
    path.write_text(json.dumps(run))
    return path


PROGRAM = """
import os, signal, sys
from pathlib import Path
from modelwright_trainer.config import parse_run
from modelwright_trainer.backends import build_estimators
from modelwright_trainer.data import arrange, read_data
from modelwright_trainer.inputs import build_inputs
from modelwright_trainer.material import Material, Part
from modelwright_trainer.split import split_data
from modelwright_trainer.backends.keras import checkpoint, loop
import numpy as np

run = parse_run(Path(sys.argv[1]).read_text())
dies, weights = int(sys.argv[2]), sys.argv[3]
checkpoint.SECONDS = 0.0  # After each step, so that a kill leaves a part of an epoch behind.
checkpoint.Checkpoint.__init__.__defaults__ = (0.0,)
steps = 0

class Steps:
    def on_step(self, _):
        global steps
        steps += 1
        print("step", steps, flush=True)
        if steps == dies:
            os.kill(os.getpid(), signal.SIGKILL)
    def on_epoch(self, _):
        pass

fit = loop.Loop.fit
loop.Loop.fit = lambda self, train, validation, callbacks, observers=(): fit(
    self, train, validation, callbacks, [*observers, Steps()])
source = read_data(run)
data = arrange(source, run)
classes, truth = np.unique(data.labels, return_inverse=True)
parts = split_data(data, run.split)
inputs = build_inputs(data, run, parts)
train, validation = (Part(inputs.prepare(rows), truth[rows]) for rows in (parts.train, parts.validation))
(estimator,) = build_estimators(run, 1)
material = Material(run.task, inputs.kind, train, validation, classes)
estimator.check(material)
told = []
estimator.fit(material, lambda *, epoch, epochs, loss, metrics=None: told.append((epoch, loss)))
np.savez(weights, **estimator.variables())
print("epochs", [epoch for epoch, _ in told], flush=True)
print("losses", [loss for _, loss in told], flush=True)
"""


def start(run: Path, dies: int, weights: Path) -> fresh.Finished:
    return fresh.run(PROGRAM, str(run), str(dies), str(weights), folder=run.parent)


def test_a_killed_training_goes_on_and_ends_with_the_undisturbed_weights(tmp_path: Path) -> None:
    undisturbed = start(write_run(tmp_path), 0, tmp_path / "undisturbed.npz")
    assert undisturbed.returncode == 0, undisturbed.stderr[-2000:]
    steps = undisturbed.stdout.count("step ")
    assert steps == EPOCHS * ROWS // BATCH
    claim = tmp_path / "claim"
    run = write_run(tmp_path, checkpoint={"directory": str(claim)})
    dies = steps // EPOCHS * 2 + 3
    killed = start(run, dies, tmp_path / "killed.npz")
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.count("step ") == dies
    assert not (tmp_path / "killed.npz").exists()
    (kept,) = claim.rglob("*.npz")
    assert kept.stat().st_size
    again = start(run, 0, tmp_path / "again.npz")
    assert again.returncode == 0, again.stderr[-2000:]
    assert '"message": "checkpoint used"' in again.stderr
    assert again.stdout.count("step ") == steps - dies, "only what was left"
    assert again.stdout.splitlines()[-2:] == undisturbed.stdout.splitlines()[-2:], (
        "all epochs are told, with equal losses"
    )
    with np.load(tmp_path / "undisturbed.npz") as ours, np.load(tmp_path / "again.npz") as theirs:
        assert (
            set(ours.files)
            == set(theirs.files)
            == {
                "norm/gamma",
                "norm/beta",
                "norm/moving_mean",
                "norm/moving_variance",
                "a/kernel",
                "a/bias",
                "out/kernel",
                "out/bias",
                "meaning",
            }
        )
        for name in ours.files:
            assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_a_checkpoint_that_does_not_fit_is_named_and_not_used(
    tensorflow: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.checkpoint import Checkpoint  # noqa: PLC0415
    from modelwright_trainer.backends.keras.loop import Loop, Rows  # noqa: PLC0415
    from modelwright_trainer.backends.keras.network import Input  # noqa: PLC0415

    def make() -> Loop:
        return Loop(build_model(network(LAYERS), Input((4,)), 7), Task.CLASSIFICATION, "xy", 7)

    rows = Rows({"input": np.ones((4, 4), np.float32)}, np.array([0, 1, 0, 1]))
    loop = make()
    checkpoint = Checkpoint(tmp_path, "a" * 64, [])
    loop.fit(rows, rows, [], [checkpoint])
    assert checkpoint.restore(make())
    whole = checkpoint.path.read_bytes()
    wrong = bytearray(whole)
    wrong[len(wrong) // 2] ^= 1
    other = Checkpoint(tmp_path, "a" * 32 + "b" * 32, [])
    assert other.path == checkpoint.path
    for content in (whole[: len(whole) // 2], bytes(wrong), b""):
        checkpoint.path.write_bytes(content)
        fresh = make()
        capfd.readouterr()
        assert not checkpoint.restore(fresh)
        said = capfd.readouterr().err
        assert str(checkpoint.path) in said
        assert "cannot be read" in said
        assert fresh.position.epoch == 0
    checkpoint.path.write_bytes(whole)
    assert not other.restore(make())
    assert "of another network, data or seed" in capfd.readouterr().err
    assert not Checkpoint(tmp_path / "none", "a" * 64, []).restore(make())


def test_a_checkpoint_of_anyone_elses_ends_no_training(
    tensorflow: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.callbacks import EarlyStopping  # noqa: PLC0415
    from modelwright_trainer.backends.keras.checkpoint import Checkpoint  # noqa: PLC0415
    from modelwright_trainer.backends.keras.loop import Loop, Rows  # noqa: PLC0415
    from modelwright_trainer.backends.keras.network import Input  # noqa: PLC0415

    declared = network(LAYERS, callbacks=[STOP])
    loop = Loop(build_model(declared, Input((4,)), 7), Task.CLASSIFICATION, "xy", 7)
    callbacks = [EarlyStopping(choice) for choice in declared.callbacks]
    rows = Rows({"input": np.ones((4, 4), np.float32)}, np.array([0, 1, 0, 1]))
    checkpoint = Checkpoint(tmp_path, "a" * 64, callbacks)
    loop.fit(rows, rows, callbacks, [checkpoint])
    with np.load(checkpoint.path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    fresh = Loop(build_model(declared, Input((4,)), 8), Task.CLASSIFICATION, "xy", 7)
    before = [one.value.numpy() for one in fresh.model.variables]
    headers: list[Any] = [[], 3, header | {"callbacks": []}, header | {"callbacks": [1]}, header | {"sums": None}]
    headers += [header | {"digest": 3}, {name: value for name, value in header.items() if name != "history"}]
    others = [arrays | {"header": np.frombuffer(json.dumps(one).encode(), np.uint8)} for one in headers]
    others.append({name: values for name, values in arrays.items() if name != "best/0/3"})
    for other in others:
        np.savez(checkpoint.path, allow_pickle=False, **other)
        capfd.readouterr()
        assert not checkpoint.restore(fresh)
        assert "checkpoint not used" in capfd.readouterr().err
        assert fresh.position.epoch == 0
        for variable, value in zip(fresh.model.variables, before, strict=True):
            np.testing.assert_array_equal(variable.value.numpy(), value)
    with checkpoint.path.open("wb") as file:
        np.save(file, np.ones(3))
    assert not checkpoint.restore(fresh)
    np.savez(checkpoint.path, allow_pickle=False, **arrays)
    assert checkpoint.restore(fresh)
    assert fresh.position.epoch == 1


def test_a_claim_that_cannot_be_written_to_ends_no_training(
    tensorflow: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.checkpoint import Checkpoint  # noqa: PLC0415
    from modelwright_trainer.backends.keras.loop import Loop, Rows  # noqa: PLC0415
    from modelwright_trainer.backends.keras.network import Input  # noqa: PLC0415

    declared = network(LAYERS, parameters={"epochs": 2})
    loop = Loop(build_model(declared, Input((4,)), 7), Task.CLASSIFICATION, "xy", 7)
    rows = Rows({"input": np.ones((4, 4), np.float32)}, np.array([0, 1, 0, 1]))
    (tmp_path / "claim").write_text("no folder")
    checkpoint = Checkpoint(tmp_path / "claim", "a" * 64, [])
    assert not checkpoint.restore(loop)
    loop.fit(rows, rows, [], [checkpoint])
    assert loop.position.epoch == 2
    said = capfd.readouterr().err
    assert said.count("checkpoint not written") == 2
    assert "Not a directory" in said
    # Once it can be, the next one is there.
    (tmp_path / "claim").unlink()
    checkpoint.write(loop)
    assert checkpoint.path.is_file()


def test_checkpoints_that_nobody_uses_are_removed_and_nothing_else(tensorflow: Any, tmp_path: Path) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.checkpoint import KEPT, remove_old  # noqa: PLC0415 - it loads TensorFlow

    def write(folder: str, file: str, age: float) -> Path:
        path = tmp_path / folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        os.utime(path, (time.time() - age,) * 2)
        return path

    old = [write("a" * 32, "checkpoint.npz", KEPT + 60), write("b" * 32, "checkpoint.part", KEPT + 60)]
    write("c" * 32, "checkpoint.npz", KEPT + 60)
    kept = [
        write("c" * 32, "checkpoint.part", 60),
        write("d" * 32, "checkpoint.npz", KEPT - 60),
        write("e" * 32, "mine.npz", KEPT + 60),
        write("thesis", "checkpoint.npz", KEPT + 60),
    ]
    (tmp_path / ("f" * 32)).symlink_to(tmp_path / "thesis")
    remove_old(tmp_path)
    assert [path.parent.exists() for path in old] == [False, False]
    assert all(path.is_file() for path in kept)
    assert (tmp_path / ("c" * 32) / "checkpoint.npz").is_file()
    remove_old(tmp_path / "none")


def test_what_decides_the_weights_decides_the_checkpoint(tensorflow: Any) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.checkpoint import digest_of  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.loop import Rows  # noqa: PLC0415

    rows = Rows({"input": np.ones((4, 2), np.float32)}, np.array([0, 1, 0, 1]))
    other = Rows({"input": np.ones((4, 2), np.float32) * 2}, np.array([0, 1, 0, 1]))
    base: dict[str, Any] = {"parameters": {"epochs": 2}}
    digests = [
        digest_of(network(LAYERS, **base), 7, (rows, rows), "xy"),
        digest_of(network(LAYERS, **base), 8, (rows, rows), "xy"),
        digest_of(network(LAYERS, **base), 7, (rows, other), "xy"),
        digest_of(network(LAYERS, **base), 7, (rows, rows), "xz"),
        digest_of(network(LAYERS, parameters={"epochs": 3}), 7, (rows, rows), "xy"),
        digest_of(network(LAYERS[1:], **base), 7, (rows, rows), "xy"),
        digest_of(network(LAYERS, callbacks=[STOP], **base), 7, (rows, rows), "xy"),
        digest_of(network(LAYERS, optimizer={"type": "SGD"}, **base), 7, (rows, rows), "xy"),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == digest_of(network(LAYERS, **base), 7, (rows, rows), "xy")


def test_variables_of_a_version_are_started_from_and_a_mismatch_names_the_layer(tensorflow: Any) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model, load_weights, weights_of  # noqa: PLC0415
    from modelwright_trainer.backends.keras.network import Input  # noqa: PLC0415

    source = Input((4,))
    first, second = (build_model(network(LAYERS), source, seed) for seed in (1, 2))
    given = {f"{one}/{name}": value for one, found in weights_of(first).items() for name, value in found.items()}
    load_weights(second, given, "the version")
    for one, found in weights_of(second).items():
        for name, value in found.items():
            np.testing.assert_array_equal(value, given[f"{one}/{name}"])
    wider = [LAYERS[0], layer("a", "Dense", units=17), softmax(2)]
    with pytest.raises(RunError, match=r"'a/kernel' of the layer 'a' has the shape \(4, 17\), and \(4, 16\) in"):
        load_weights(build_model(network(wider), source, 1), given, "the version")
    renamed = [LAYERS[0], layer("b", "Dense", units=16), softmax(2)]
    with pytest.raises(RunError, match=r"the layer 'b' has the variable 'b/kernel'.*its layers: a, norm, out"):
        load_weights(build_model(network(renamed), source, 1), given, "the version")
