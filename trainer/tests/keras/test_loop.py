"""The training loop against Keras' own `fit`, for each family: the same batches give the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fresh
import numpy as np
import pytest
from modelwright_trainer.backends.keras.choices import CALLBACKS
from modelwright_trainer.backends.keras.network import Choice, Input
from modelwright_trainer.config import Task
from modelwright_trainer.failure import RunError
from networks import layer, network, softmax

if TYPE_CHECKING:
    from pathlib import Path

SEED = 7
EARLY_DEFAULTS = {name: one.default for name, one in CALLBACKS["EarlyStopping"].parameters.items()}
ROWS, CLASSES = 75, 3
"""Rows are no multiple of the batch size: the last batch is a part."""
EPOCHS = 2


@dataclass
class Family:
    """A network, and what it is trained on."""

    layers: list[dict[str, Any]]
    source: Input
    task: Task = Task.CLASSIFICATION
    more: dict[str, Any] = field(default_factory=dict)
    class_weight: dict[int, float] | None = None
    classes: int = CLASSES


STEPS = Input((6, 4), padded=True)
TEXT = Input((), text=True)
IMAGES = Input((8, 8, 1))
FAMILIES = {
    "MLP": Family(
        [layer("a", "Dense", units=16, activation="relu", kernel_regularizer="l2"), softmax(CLASSES)], Input((5,))
    ),
    "MLP of a regression, SGD with momentum and a schedule": Family(
        [layer("a", "Dense", units=16, activation="gelu", activity_regularizer="l1"), layer("out", "Dense", units=1)],
        Input((5,)),
        Task.REGRESSION,
        {
            "optimizer": {
                "type": "SGD",
                "parameters": {
                    "momentum": 0.9,
                    "nesterov": True,
                    "clipnorm": 1.0,
                    "learning_rate": {
                        "type": "ExponentialDecay",
                        "parameters": {"initial_learning_rate": 0.01, "decay_steps": 5, "decay_rate": 0.9},
                    },
                },
            },
            "loss": "huber",
        },
        classes=0,
    ),
    "class weights": Family(
        [layer("a", "Dense", units=16, activation="relu"), softmax(CLASSES)],
        Input((5,)),
        more={"optimizer": {"type": "AdamW", "parameters": {"weight_decay": 0.01}}},
        class_weight={0: 3.0, 2: 0.25},
    ),
    "one probability": Family(
        [layer("a", "Dense", units=8, activation="tanh"), layer("out", "Dense", units=1, activation="sigmoid")],
        Input((5,)),
        more={"loss": "binary_crossentropy", "optimizer": {"type": "RMSprop", "parameters": {"momentum": 0.5}}},
        classes=2,
    ),
    "one-hot labels": Family(
        [layer("a", "Dense", units=8), softmax(CLASSES)], Input((5,)), more={"loss": "categorical_crossentropy"}
    ),
    "CNN": Family(
        [
            layer("scaled", "Rescaling", scale=1 / 255),
            layer("conv", "Conv2D", filters=4, kernel_size=3, activation="relu", padding="same"),
            layer("norm", "BatchNormalization"),
            layer("pool", "MaxPooling2D"),
            layer("conv2", "SeparableConv2D", filters=4, kernel_size=2),
            layer("dropped", "Dropout", rate=0.3),
            layer("flat", "Flatten"),
            softmax(CLASSES),
        ],
        IMAGES,
    ),
    "SimpleRNN": Family([layer("rnn", "SimpleRNN", units=5, dropout=0.2), softmax(CLASSES)], STEPS),
    "LSTM": Family(
        [layer("a", "LSTM", units=5, return_sequences=True), layer("b", "LSTM", units=4), softmax(CLASSES)], STEPS
    ),
    "GRU": Family([layer("rnn", "GRU", units=5, recurrent_dropout=0.2), softmax(CLASSES)], STEPS),
    "Bidirectional": Family(
        [
            layer("both", "Bidirectional", layer={"type": "GRU", "parameters": {"units": 3, "return_sequences": True}}),
            layer("pool", "GlobalAveragePooling1D"),
            softmax(CLASSES),
        ],
        STEPS,
    ),
    "Transformer": Family(
        [
            layer("wide", "Dense", units=8),
            layer("place", "PositionEmbedding"),
            layer("block", "TransformerEncoder", num_heads=2, intermediate_dim=16, dropout=0.1),
            layer("block2", "TransformerEncoder", num_heads=2, intermediate_dim=16, norm_first=True),
            layer("pool", "GlobalAveragePooling1D"),
            softmax(CLASSES),
        ],
        STEPS,
    ),
    "text": Family(
        [
            layer("tokens", "TextVectorization", max_tokens=20, output_sequence_length=7),
            layer("words", "Embedding", input_dim=20, output_dim=6, mask_zero=True),
            layer("both", "Bidirectional", layer={"type": "LSTM", "parameters": {"units": 3}}),
            softmax(CLASSES),
        ],
        TEXT,
    ),
}


def as_array(variable: Any) -> Any:
    return variable.value.numpy()


def as_floats(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: values.astype("float32") if values.dtype == np.uint8 else values for name, values in inputs.items()}


def rows_of(family: Family, rows: int, seed: int) -> Any:
    from modelwright_trainer.backends.keras.loop import Rows  # noqa: PLC0415 - it loads TensorFlow

    random = np.random.default_rng(seed)
    inputs: dict[str, Any]
    if family.source.text:
        lengths = random.integers(0, 8, rows)
        inputs = {"input": np.where(np.arange(7) < lengths[:, None], random.integers(1, 20, (rows, 7)), 0)}
        inputs["input"] = inputs["input"].astype(np.int32)
    else:
        inputs = {"input": random.normal(size=(rows, *family.source.shape)).astype(np.float32)}
        if family.source is IMAGES:
            inputs["input"] = random.integers(0, 256, (rows, *family.source.shape)).astype(np.uint8)
        if family.source.padded:
            inputs["lengths"] = random.integers(1, 7, rows)
    truth = random.normal(size=rows) if family.task is Task.REGRESSION else random.integers(0, family.classes, rows)
    return Rows(inputs, truth)


def make_loop(family: Family, **fit: Any) -> Any:
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.loop import Loop  # noqa: PLC0415

    parameters = {"epochs": EPOCHS, "batch_size": 16} | fit
    declared = network(family.layers, family.task, parameters=parameters, **family.more)
    model = build_model(declared, family.source, SEED)
    return Loop(model, family.task, range(family.classes), SEED, family.class_weight)


@dataclass
class Trained:
    """What a training of ours began with, and what it ended with."""

    first: list[Any]
    paths: list[str]
    last: list[Any]
    history: list[dict[str, float]]


def data_of(family: Family) -> tuple[Any, Any]:
    return rows_of(family, ROWS, 1), rows_of(family, 20, 2)


def train_by_loop(family: Family) -> Trained:
    train, validation = data_of(family)
    loop = make_loop(family)
    first = [as_array(one) for one in loop.model.weights]
    loop.fit(train, validation, [])
    weights = loop.model.weights
    return Trained(first, [one.path for one in weights], [as_array(one) for one in weights], loop.position.history)


@cache
def trained(name: str) -> Trained:
    """Train a family for all tests."""
    return train_by_loop(FAMILIES[name])


def fit_by_keras(family: Family, train: Any, validation: Any) -> tuple[Any, Any]:
    """Return the model after Keras' own fit, which is given each epoch's rows in our order, and its history."""
    import keras  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.build import (  # noqa: PLC0415
        as_targets,
        build_model,
        build_optimizer,
    )
    from modelwright_trainer.backends.keras.loop import order_of  # noqa: PLC0415

    declared = network(family.layers, family.task, **family.more)
    model = build_model(declared, family.source, SEED)
    metric = "mean_absolute_error" if family.task is Task.REGRESSION else "accuracy"
    optimizer = build_optimizer(declared)
    model.compile(optimizer=optimizer, loss=declared.loss, metrics=[metric])
    # A first step that makes variables is traced twice: those of the optimizer and of the metric are made before it.
    optimizer.build(model.trainable_variables)
    answers = keras.ops.zeros((1, *model.values[declared.last.name].shape))
    model.compute_metrics(None, as_targets(declared, train.truth[:1], family.classes), answers)
    histories = []
    for epoch in range(EPOCHS):
        order = order_of(len(train), SEED, epoch, shuffle=True)
        histories.append(
            model.fit(
                {name: values[order] for name, values in as_floats(train.inputs).items()},
                as_targets(declared, train.truth, family.classes)[order],
                batch_size=16,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                class_weight=family.class_weight,
                validation_data=(
                    as_floats(validation.inputs),
                    as_targets(declared, validation.truth, family.classes),
                ),
                verbose=0,
            ).history
        )
    return model, histories


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loop_moves_the_weights_as_fit_does(tensorflow: Any, name: str) -> None:
    assert tensorflow
    family = FAMILIES[name]
    found = trained(name)
    expected, histories = fit_by_keras(family, *data_of(family))
    for before, path, ours, theirs in zip(found.first, found.paths, found.last, expected.weights, strict=True):
        np.testing.assert_allclose(ours, as_array(theirs), rtol=0, atol=1e-6)
        # A softmax does not see what all keys have in common.
        assert path.endswith("key/bias") or np.abs(ours - before).max() > 1e-4, path
    for logs, theirs in zip(found.history, histories, strict=True):
        assert set(logs) == set(theirs)
        for metric, value in logs.items():
            assert value == pytest.approx(theirs[metric][0], abs=2e-6), metric


def test_two_trainings_give_equal_bytes(tensorflow: Any) -> None:
    assert tensorflow
    # Together they have all that draws by chance or sums up in an order: dropout of each kind, masks, convolutions.
    for name in ("CNN", "GRU", "Transformer", "text"):
        again = train_by_loop(FAMILIES[name])
        assert [one.tobytes() for one in again.last] == [one.tobytes() for one in trained(name).last], name


def test_training_stops_early_and_goes_back_to_the_best_epoch_as_fit_does(tensorflow: Any) -> None:
    assert tensorflow
    import keras  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.build import build_model, build_optimizer  # noqa: PLC0415
    from modelwright_trainer.backends.keras.callbacks import EarlyStopping  # noqa: PLC0415

    given = {"patience": 2, "restore_best_weights": True}
    rate = {"optimizer": {"type": "Adam", "parameters": {"learning_rate": 0.3}}}
    family = Family(FAMILIES["one-hot labels"].layers, Input((5,)), more=rate)
    train, validation = rows_of(family, ROWS, 1), rows_of(family, 20, 2)
    loop = make_loop(family, epochs=12, shuffle=False)
    loop.fit(train, validation, [EarlyStopping(Choice("EarlyStopping", EARLY_DEFAULTS | given))])
    model = build_model(loop.network, family.source, SEED)
    model.compile(optimizer=build_optimizer(loop.network), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        train.inputs, train.truth, batch_size=16, epochs=12, shuffle=False, verbose=0,
        validation_data=(validation.inputs, validation.truth), callbacks=[keras.callbacks.EarlyStopping(**given)],
    )  # fmt: skip
    assert loop.position.epoch == len(history.history["loss"]) < 12
    for ours, theirs in zip(loop.model.weights, model.weights, strict=True):
        np.testing.assert_allclose(as_array(ours), as_array(theirs), rtol=0, atol=1e-5)


def test_early_stopping_decides_as_keras_does_whatever_the_epochs_give(tensorflow: Any) -> None:
    assert tensorflow
    import keras  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.callbacks import EarlyStopping  # noqa: PLC0415
    from modelwright_trainer.backends.keras.loop import Position  # noqa: PLC0415

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=["accuracy"])
    model.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0)  # Keras finds what to maximize by the metrics it has.
    random = np.random.default_rng(5)
    stops = restores = 0
    for _ in range(300):
        given = {
            "monitor": str(random.choice(["val_loss", "val_accuracy"])),
            "mode": str(random.choice(["auto", "min", "max"])),
            "patience": int(random.integers(0, 6)),
            "min_delta": float(random.choice([0, 0.25])),
            "baseline": [None, 0.5][random.integers(2)],
            "start_from_epoch": int(random.integers(0, 3)),
            "restore_best_weights": bool(random.integers(2)),
        }
        theirs = keras.callbacks.EarlyStopping(**given)
        theirs.set_model(model)
        ours = EarlyStopping(Choice("EarlyStopping", given))
        loop: Any = SimpleNamespace(model=model, position=Position())
        model.stop_training = False
        theirs.on_train_begin()
        for epoch in range(int(random.integers(1, 9))):
            model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
            logs = {given["monitor"]: float(random.integers(0, 5)) / 4}
            theirs.on_epoch_end(epoch, logs)
            loop.position.epoch = epoch + 1
            assert ours.on_epoch_end(loop, logs) == model.stop_training, given
            if model.stop_training:
                stops += 1
                break
        ours.on_train_end(loop)
        kept = model.get_weights()
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        theirs.on_train_end()
        np.testing.assert_array_equal(kept[0], model.get_weights()[0], str(given))
        restores += bool(kept[0][0, 0] != epoch)
    assert min(stops, 300 - stops, restores) > 30, "all that can happen has happened"


def test_a_loss_that_is_not_finite_ends_training_at_once_and_says_where(tensorflow: Any) -> None:
    assert tensorflow
    family = FAMILIES["MLP of a regression, SGD with momentum and a schedule"]
    wild = {"optimizer": {"type": "SGD", "parameters": {"learning_rate": 1e18}}, "loss": "mean_squared_error"}
    family = Family(family.layers, family.source, family.task, wild, classes=0)
    loop = make_loop(family, epochs=50)
    with pytest.raises(RunError) as caught:
        loop.fit(rows_of(family, ROWS, 1), rows_of(family, 20, 2), [])
    assert loop.position.epoch == 0
    assert loop.position.step < 5
    assert caught.value.reason == "NotFinite"
    assert f"in epoch 1, step {loop.position.step + 1}" in caught.value.message
    assert "learning_rate" in caught.value.message


REPLICAS = """
from modelwright_trainer.backends.keras.start import start
tensorflow = start()
(processor,) = tensorflow.config.list_physical_devices("CPU")
tensorflow.config.set_logical_device_configuration(processor, [tensorflow.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from test_loop import FAMILIES, ROWS, make_loop, rows_of
family = FAMILIES["class weights"]
train, validation = rows_of(family, ROWS, 1), rows_of(family, 20, 2)
alone = make_loop(family)
alone.fit(train, validation, [])
strategy = tensorflow.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    both = make_loop(family)
    both.fit(train, validation, [])
assert both.strategy.num_replicas_in_sync == 2
for one, other in zip(alone.model.weights, both.model.weights, strict=True):
    np.testing.assert_allclose(one.value.numpy(), other.value.numpy(), rtol=0, atol=1e-6)
for ours, theirs in zip(alone.position.history, both.position.history, strict=True):
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5)
print("equal")
"""


def test_two_replicas_move_the_weights_as_one_does(tmp_path: Path) -> None:
    # Devices are parted before TensorFlow has any.
    found = fresh.run(REPLICAS, folder=tmp_path)
    assert found.stdout == "equal\n", found.stderr[-2000:]
