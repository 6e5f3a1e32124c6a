"""A `.keras` file of somebody else's: the graph answers as Keras does, and what is no such file is told."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import onnxruntime
import pytest
from modelwright_trainer.backends.keras.brought import convert as converting
from modelwright_trainer.backends.keras.brought import layers as reading
from modelwright_trainer.backends.keras.brought.archive import read_keras
from modelwright_trainer.backends.keras.brought.convert import convert
from modelwright_trainer.backends.keras.start import start
from modelwright_trainer.failure import RunError

start()

import keras  # noqa: E402  (behind TensorFlow's start)
from keras import layers as of  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[2] / "src"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def images() -> Any:
    return keras.Sequential(
        [
            of.Input((20, 20, 1)),
            of.Rescaling(1 / 255),
            of.Conv2D(4, 3, activation="relu"),
            of.BatchNormalization(),
            of.MaxPooling2D(),
            of.Conv2D(4, 3, padding="same", kernel_regularizer="l2"),
            of.SeparableConv2D(5, 3),
            of.Flatten(),
            of.Dropout(0.5),
            of.Dense(10, activation="softmax", name="out"),
        ]
    )


def steps() -> Any:
    taken = of.Input((None, 5), name="series")
    both = of.Bidirectional(of.LSTM(4, return_sequences=True))(taken)
    gated = of.GRU(8, return_sequences=True, dropout=0.2)(both)
    added = of.LayerNormalization()(of.Add()([both, gated]))
    seen = of.Concatenate()([added, of.MultiHeadAttention(2, 3)(added, added, key=both)])
    return keras.Model(taken, of.Dense(3, activation="softmax")(of.GlobalAveragePooling1D()(seen)))


def branches() -> Any:
    """Layers of one class and one shape, made in another order than that in which they are called."""
    second, first = of.Dense(4, activation="tanh", name="second"), of.Dense(4, name="input")
    taken = of.Input((4,), name="output")
    one = first(taken)
    return keras.Model(taken, of.Dense(1, activation=keras.activations.sigmoid)(of.Add()([second(one), one])))


def save(folder: Path, model: Any) -> Path:
    """Save a model with weights that no initializer gives."""
    random = np.random.Generator(np.random.PCG64(3))
    model.set_weights([np.abs(random.standard_normal(one.shape)) * 0.3 + 0.05 for one in model.get_weights()])
    path = folder / "model.keras"
    model.save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, change: Callable[[dict[str, bytes]], Any], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write the file again with other members."""
    held = members(path)
    change(held)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def refused(path: Path, reason: str, *words: str) -> None:
    with pytest.raises(RunError) as caught:
        convert(path, path.parent / "out")
    assert str(caught.value.reason) == reason, caught.value
    for part in words:
        assert part in caught.value.message, (part, caught.value.message)
    assert not (path.parent / "out").exists()


@pytest.mark.parametrize("made", [images, steps, branches])
def test_the_graph_answers_as_keras_does(tmp_path: Path, made: Callable[[], Any]) -> None:
    model = made()
    path = save(tmp_path, model)
    convert(path, tmp_path / "out")
    content = (tmp_path / "out" / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert made is images or taken.name == model.inputs[0].name
    for seed, scale in ((11, 1.0), (12, 30.0)):
        random = np.random.Generator(np.random.PCG64(seed))
        asked = (random.standard_normal((32, *(size or 7 for size in model.inputs[0].shape[1:]))) * scale).astype(
            np.float32
        )
        expected = np.asarray(model(asked, training=False))
        (found,) = session.run(None, {taken.name: asked})
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    convert(path, tmp_path / "again")
    assert (tmp_path / "again" / "model.onnx").read_bytes() == content, "the same file gives the same bytes"


def test_images_of_any_size_that_the_layers_leave_something_of_are_answered(tmp_path: Path) -> None:
    """Twelve rows and columns are the least of this network: fewer give Keras an error."""
    model = keras.Sequential(
        [
            of.Input((None, None, 3)),
            of.Conv2D(4, 3, activation="relu"),
            of.MaxPooling2D(),
            of.Conv2D(4, 4),
            of.MaxPooling2D(),
            of.GlobalAveragePooling2D(),
            of.Dense(2),
        ]
    )
    convert(save(tmp_path, model), tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    asked = np.random.default_rng(5).standard_normal((3, 40, 31, 3), np.float32)
    expected = np.asarray(model(asked, training=False))
    (found,) = session.run(None, {session.get_inputs()[0].name: asked})
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_nothing_of_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' own loading is what could; it is never called."""

    def never(*_arguments: Any, **_named: Any) -> Any:
        pytest.fail("Keras loads the file")

    for name in ("load_model", "deserialize_keras_object"):
        monkeypatch.setattr(keras.saving, name, never)
    taken = of.Input((4,))
    path = tmp_path / "model.keras"
    keras.Model(taken, of.Lambda(lambda given: given * 2, name="twice")(taken)).save(path)
    refused(path, "UnknownLayer", "the Lambda 'twice' is code", "none of a file is run")

    @keras.saving.register_keras_serializable("mine")
    class Dense(of.Dense):  # type: ignore[misc] # Keras has no types
        pass

    keras.Sequential([of.Input((4,)), Dense(2, name="own")]).save(path)
    refused(path, "UnknownLayer", "the Dense 'own' is a class of your own")


class Subclassed(keras.Model):  # type: ignore[misc] # Keras has no types
    """A model that is code."""

    def __init__(self) -> None:
        """Make its layer."""
        super().__init__()
        self.dense = of.Dense(2)

    def call(self, given: Any) -> Any:
        """Answer."""
        return self.dense(given)


def test_models_that_cannot_be_read_are_refused_by_the_name_of_their_layer(tmp_path: Path) -> None:
    taken = of.Input((4,))
    shared, two = of.Dense(4, name="shared"), of.Input((4,))
    series = of.Input((4, 3))
    apart = of.Bidirectional(of.LSTM(2, return_sequences=True), merge_mode=None, name="apart")
    subclassed = Subclassed()
    subclassed(np.zeros((1, 4), np.float32))
    for model, reason, words in (
        (keras.Model(taken, of.LeakyReLU(name="leaky")(taken)), "UnknownLayer", ["the LeakyReLU 'leaky'", "Dense"]),
        (keras.Model(taken, shared(shared(taken))), "UnknownLayer", ["the Dense 'shared' is used 2 times"]),
        (keras.Model([taken, two], of.Add()([taken, two])), "InvalidNetwork", ["has 2 inputs"]),
        (keras.Model(taken, [of.Dense(1)(taken), of.Dense(2)(taken)]), "InvalidNetwork", ["one input and one output"]),
        (keras.Sequential([taken, keras.Sequential([of.Dense(1)], name="within")]), "UnknownLayer", ["'within'"]),
        (subclassed, "UnknownLayer", ["Subclassed", "keras.Sequential"]),
        (
            keras.Sequential([of.Input((4,)), of.Dense(1, dtype="float16", name="half")]),
            "UnknownLayer",
            ["'half'", "float32"],
        ),
        (
            keras.Sequential([of.Input((4, 4, 4)), of.Conv2D(4, 1, groups=2, name="few")]),
            "UnknownLayer",
            ["'few' has groups: 2"],
        ),
        (
            keras.Sequential([of.Input((4, 2)), of.GRU(2, go_backwards=True, name="back")]),
            "UnknownLayer",
            ["'back' has go_backwards: True"],
        ),
        (
            keras.Model(series, of.GlobalAveragePooling1D()(apart(series)[0])),
            "InvalidParameter",
            ["'apart'", "merge_mode", "null"],
        ),
        (
            keras.Sequential([of.Input((4,)), of.Dense(2, activation="glu", name="gated")]),
            "InvalidParameter",
            ["'gated'", "glu"],
        ),
        (
            keras.Sequential([of.Input((4,), dtype="int32"), of.Embedding(9, 2, name="words")]),
            "UnknownLayer",
            ["int32"],
        ),
    ):
        model.save(tmp_path / "model.keras")
        refused(tmp_path / "model.keras", reason, "spec.source", *words)


def rewritten(**change: Any) -> Callable[[dict[str, bytes]], None]:
    def rewrite_config(held: dict[str, bytes]) -> None:
        config = json.loads(held[CONFIG])
        config["config"]["layers"][-1]["config"] |= change
        held[CONFIG] = json.dumps(config).encode()

    return rewrite_config


def registered(held: dict[str, bytes]) -> None:
    config = json.loads(held[CONFIG])
    config["config"]["layers"][-1]["registered_name"] = "mine>Dense"
    held[CONFIG] = json.dumps(config).encode()


def with_weights(change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def rewrite_weights(held: dict[str, bytes]) -> None:
        content = io.BytesIO(held[WEIGHTS])
        with h5py.File(content, "r+") as file:
            change(file)
        held[WEIGHTS] = content.getvalue()

    return rewrite_weights


def drop(file: Any) -> None:
    del file["layers/dense/vars/1"]


def link(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars/1"] = h5py.ExternalLink("/etc/hostname", "/")


def beside(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file.create_dataset("layers/dense/vars/1", (3,), "float32", external=[("/etc/hostname", 0, 12)])


def doubled(file: Any) -> None:
    """Twice as many places with every group, each of which is there twice."""
    within = file["layers"]
    for number in range(40):
        group = file.create_group(f"more{number}")
        group["one"] = group["other"] = within
        within = group


def infinite(file: Any) -> None:
    file["layers/dense/vars/1"][0] = np.inf


def bomb(held: dict[str, bytes]) -> None:
    held[WEIGHTS] = bytes(2**27)


WRONG: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("no config", lambda held: held.pop(CONFIG), "NotKeras", ("lacks config.json", "model.save('NAME.keras')")),
    ("no JSON", lambda held: held.update({CONFIG: b"{"}), "NotKeras", ("config.json is no JSON",)),
    ("nested", lambda held: held.update({CONFIG: b"[" * 10**6}), "NotKeras", ("config.json is no JSON",)),
    ("a list", lambda held: held.update({CONFIG: b"[]"}), "NotKeras", ("an object was expected",)),
    ("words without end", lambda held: held.update({CONFIG: b" " * 2**25}), "NotKeras", ("at most 16777216",)),
    (
        "of the future",
        lambda held: held.update({"metadata.json": b'{"keras_version": "3.99.0"}'}),
        "NotKeras",
        ("Keras 3.99.0 wrote it", "3.0 to 3."),
    ),
    (
        "of the past",
        lambda held: held.update({"metadata.json": b'{"keras_version": "2.15.0"}'}),
        "NotKeras",
        ("Keras 2.15.0",),
    ),
    ("of no version", lambda held: held.update({"metadata.json": b"{}"}), "NotKeras", ("keras_version None",)),
    *(
        (
            f"version {version[:8]}",
            lambda held, version=version: held.update(
                {"metadata.json": json.dumps({"keras_version": version}).encode()}
            ),
            "NotKeras",
            (f"keras_version '{version[:8]}",),
        )
        for version in ("3", "³.5", "3." + "9" * 5000)
    ),
    ("other units", rewritten(units=5), "InvalidNetwork", ("'kernel' of 'dense'", "(4, 3)", "(4, 5)")),
    ("no units", rewritten(units="many"), "InvalidParameter", ("units",)),
    ("more than is known", rewritten(magic=3), "UnknownLayer", ("the Dense 'dense' has magic: 3",)),
    ("a class of one's own", registered, "UnknownLayer", ("the Dense 'dense' is a class of your own",)),
    ("a weight less", with_weights(drop), "InvalidNetwork", ("'dense' has the weight 'bias'", "layers/dense/vars/1")),
    (
        "a weight more",
        with_weights(lambda file: file.create_dataset("layers/other/vars/0", data=[1.0])),
        "InvalidNetwork",
        ("weights of no layer: layers/other/vars/0",),
    ),
    ("a link", with_weights(link), "InvalidNetwork", ("layers/dense/vars/1 is a link",)),
    ("bytes of another file", with_weights(beside), "InvalidNetwork", ("does not lie in the file itself",)),
    ("places without end", with_weights(doubled), "InvalidNetwork", ("more than 10000 places",)),
    ("no number", with_weights(infinite), "InvalidNetwork", ("not finite",)),
    ("no weights", lambda held: held.update({WEIGHTS: b"no HDF5"}), "InvalidNetwork", ("weights cannot be read",)),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("plain")
    return save(folder, keras.Sequential([of.Input((4,)), of.Dense(3, name="dense")])).read_bytes()


@pytest.mark.parametrize(("change", "reason", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_file_that_is_none_or_was_changed_is_told(
    tmp_path: Path, plain: bytes, change: Any, reason: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(plain)
    rewrite(path, change)
    refused(path, reason, "spec.source", *words)


def test_what_is_no_archive_or_unpacks_to_more_than_there_is_room_is_refused_before_it_is_read(
    tmp_path: Path, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    for content in (b"", b"\x08\x07onnx", plain[:-30], plain[:100] + b"\0" * 50 + plain[150:]):
        path.write_bytes(content)
        with pytest.raises(RunError) as caught:
            convert(path, tmp_path / "out")
        assert str(caught.value.reason) in {"NotKeras", "InvalidNetwork"}, caught.value
    path.write_bytes(plain)
    rewrite(path, bomb)
    assert path.stat().st_size < 2**20
    monkeypatch.setattr("modelwright_trainer.room.memory_limit", lambda: 2**27)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it is read"))
    refused(path, "TooLarge", "at least 128 MiB")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_was_changed_is_read_or_told(tmp_path: Path, plain: bytes, method: int) -> None:
    path, draw = tmp_path / "model.keras", random.Random(5)  # noqa: S311 - which bit changes
    path.write_bytes(plain)
    rewrite(path, lambda _held: None, method)
    content = path.read_bytes()
    told = []
    for _ in range(1500):
        changed = bytearray(content)
        # What says where things are stands at the end.
        changed[-draw.randrange(1, draw.choice([400, len(content)]))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            read_keras(path)
        except RunError as error:
            told.append(str(error.reason))
    assert len(told) > 500
    assert set(told) <= {"NotKeras", "TooLarge"}


def test_layers_that_are_larger_than_there_is_room_for_are_refused_before_one_is_made(
    tmp_path: Path, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(plain)
    rewrite(path, rewritten(units=65536))
    monkeypatch.setattr("modelwright_trainer.room.memory_limit", lambda: 2**20)
    monkeypatch.setattr("modelwright_trainer.backends.keras.build.build_model", lambda *_: pytest.fail("it is made"))
    refused(path, "TooLarge", "model.keras has at least 1 MiB of weights, 327680 of them in 'dense'")


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        (lambda bias: bias[::-1], "answers otherwise than Keras"),
        (lambda bias: bias * np.float32(np.nan), "ONNX Runtime answers (16, 3), finite or not"),
        (lambda bias: bias * np.float32(np.inf), "ONNX Runtime answers (16, 3), finite or not"),
    ],
    ids=["turned", "no number", "infinite"],
)
def test_a_graph_that_answers_otherwise_than_keras_is_refused(
    tmp_path: Path, plain: bytes, monkeypatch: pytest.MonkeyPatch, bias: Callable[[Any], Any], words: str
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(plain)
    write = converting.write_graph

    def changed(brought: reading.Brought, weights: dict[str, dict[str, Any]]) -> list[bytes]:
        return write(brought, {"dense": weights["dense"] | {"bias": bias(weights["dense"]["bias"])}})

    monkeypatch.setattr(converting, "write_graph", changed)
    refused(path, "NotReproducible", words)


def test_a_model_whose_answers_are_finite_for_numbers_of_usual_size_alone_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([of.Input((4,)), of.Dense(2, activation="exponential")])
    model.set_weights([np.full((4, 2), 0.9, np.float32), np.zeros(2, np.float32)])
    asked = np.random.default_rng(5).standard_normal((16, 4), np.float32) * 100
    assert not np.isfinite(np.asarray(model(asked))).all()
    model.save(tmp_path / "model.keras")
    convert(tmp_path / "model.keras", tmp_path / "out")


def test_a_model_that_answers_by_no_finite_number_is_told(tmp_path: Path) -> None:
    model = keras.Sequential([of.Input((4,)), of.Dense(2, activation="exponential")])
    model.set_weights([np.full((4, 2), 900.0, np.float32), np.zeros(2, np.float32)])
    model.save(tmp_path / "model.keras")
    refused(tmp_path / "model.keras", "NotReproducible", "Keras itself answers", "export the model to ONNX yourself")


def test_the_process_reports_and_names_its_memory(tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(plain)
    log = tmp_path / "log"

    def run(source: Path) -> tuple[int, dict[str, Any]]:
        log.write_text("")
        command = [sys.executable, "-m", "modelwright_trainer", "convert-keras", str(source), str(tmp_path / "out")]
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        code = subprocess.run([*command, "--termination-log", str(log)], env=environment, check=False).returncode  # noqa: S603
        return code, json.loads(log.read_text())

    code, report = run(tmp_path / "model.onnx")
    assert (code, report["succeeded"]["layers"]) == (0, 1)
    (tmp_path / "text").write_text("no model")
    code, report = run(tmp_path / "text")
    assert (code, report["failed"]["reason"]) == (64, "NotKeras")
