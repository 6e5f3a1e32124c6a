"""Holds an exported network against Keras: the same rows, each answer, by the scale of what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
from modelwright_trainer.backends.keras.export import add_layers
from modelwright_trainer.backends.keras.network import Input, Network
from modelwright_trainer.backends.keras.parse import parse_network
from modelwright_trainer.backends.keras.start import start
from modelwright_trainer.config import Candidate, RunLayer, Task
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.graph.inputs import Tensor

start()

import keras  # noqa: E402  (behind TensorFlow's start)
from modelwright_trainer.backends.keras.build import Model, weights_of  # noqa: E402

TOLERANCE = 1e-5
ROWS_ASKED = 24
WORDS = ("film", "good", "bad", "it's", "plot", "42", "actor", "slow", "very", "not", "of", "the", "a")
OTHERS = ("zebra", "x9", "''")
Layers = tuple[dict[str, Any], ...]
Weights = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A network, and the data that it is asked about."""

    name: str
    layers: Layers
    shape: tuple[int, ...]
    """Of one row; of text how many words the longest has."""
    padded: bool = False
    text: bool = False
    kind: str = "float32"
    seed: int = 7
    free: bool = False
    """Whether the graph leaves it open how large the first axis of a row is."""

    def __hash__(self) -> int:
        """Names tell cases apart."""
        return hash((self.name, self.shape))

    @property
    def is_open(self) -> bool:
        """Whether only a request tells how many steps there are."""
        return self.padded or self.free

    @cached_property
    def network(self) -> Network:
        """Read it as a run's."""
        layers = tuple(
            RunLayer(
                layer.get("name", f"layer{index}"),
                layer["type"],
                layer.get("inputs"),
                layer.get("parameters", {}),
            )
            for index, layer in enumerate(self.layers)
        )
        return parse_network(Candidate("net", layers=layers), "candidates[0]", Task.CLASSIFICATION)

    @property
    def source(self) -> Input:
        """What is known of the data."""
        if self.text:
            return Input((), text=True)
        return Input(self.shape, padded=self.padded)

    @property
    def declared(self) -> Input:
        """What the graph knows of it: of padded steps it is open how many there are."""
        return Input((None, *self.shape[1:]), padded=self.padded) if self.is_open else self.source


class Built(Model):
    """A model that its first call alone builds: Keras traces the whole of another one before that."""

    def build(self, *_: Any) -> None:
        """Leave it to the layers."""


def make_weights(case: Case) -> tuple[Any, Weights]:
    """Build Keras' model, and give it weights in which no number is like another."""
    keras.utils.set_random_seed(case.seed)
    model = Built(case.network, case.source)
    # By one row, and of padded ones by two steps: Keras takes step after step.
    steps = 2 if case.padded else None
    ask_keras(
        case,
        model,
        {name: values[:1, :steps] if values.ndim > 1 else values[:1] for name, values in make_rows(case).items()},
    )
    random = np.random.default_rng(case.seed)
    for variable in model.weights:
        values = np.asarray(variable)
        if variable.dtype != "float32" or (variable.name == "embeddings" and not variable.trainable):
            continue
        drawn = random.normal(size=values.shape) / np.sqrt(max(len(values) if values.ndim > 1 else 4, 1))
        if variable.name in {"gamma", "moving_variance"}:
            drawn = 0.5 + np.abs(drawn)
        variable.assign(drawn.astype(np.float32))
    weights = weights_of(model)
    vectorization = case.network.vectorization
    if vectorization is not None:
        weights[vectorization.name] = {"vocabulary": np.array(WORDS, dtype=object)}
    return model, weights


def make_rows(case: Case) -> dict[str, Any]:
    """Draw what is asked, by the names of the graph's inputs."""
    random = np.random.default_rng(case.seed + 1)
    if case.text:
        known = [*WORDS, *(word.upper() for word in WORDS), *OTHERS]
        counts = [0, 1, *random.integers(0, case.shape[0] + 1, ROWS_ASKED - 3), case.shape[0]]
        joints = [" ", "  ", ", ", "\t", "\n"]
        texts = [
            "".join(str(random.choice(known)) + str(random.choice(joints)) for _ in range(count)) for count in counts
        ]
        return {"text": np.array(texts, dtype=object)[:, None]}
    if case.kind == "uint8":
        return {"images": random.integers(0, 256, (ROWS_ASKED, *case.shape), dtype=np.uint8)}
    rows = random.normal(size=(ROWS_ASKED, *case.shape)).astype(np.float32)
    if not case.padded:
        return {"x": rows}
    time = case.shape[0]
    lengths = np.array([0, 1, time, *random.integers(1, time + 1, ROWS_ASKED - 3)], dtype=np.int64)
    rows[np.arange(time)[None, :] >= lengths[:, None]] = 0
    return {"sequences": rows, "lengths": lengths}


def tokens_of(texts: Any, length: int) -> Any:
    """Bring texts to numbers of words, by the rules that are written for users."""
    numbers = {word: place for place, word in enumerate(WORDS, start=2)}
    lower = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
    found = np.zeros((len(texts), length), dtype=np.int32)
    for row, text in enumerate(texts[:, 0]):
        words = re.findall(r"[a-z0-9']+", text.translate(lower))[:length]
        found[row, : len(words)] = [numbers.get(word, 1) for word in words]
    return found


def ask_keras(case: Case, model: Any, rows: dict[str, Any]) -> Any:
    """Have Keras answer, as it is used."""
    if case.text:
        length = case.network.vectorization["output_sequence_length"]  # type: ignore[index]
        return np.asarray(model({"input": tokens_of(rows["text"], length)}, training=False))
    given = dict(rows)
    data = given.pop(next(name for name in given if name != "lengths")).astype(np.float32)
    return np.asarray(model({"input": data, **given}, training=False))


def export(case: Case, weights: Weights) -> bytes:
    """Write the graph, with what its last layer gives as the output `y`."""
    graph = Graph()
    shape: tuple[str | int, ...]
    if case.text:
        inputs = {"text": Tensor(graph.input("text", "text", (ROWS, 1)), "text", (ROWS, 1))}
    elif case.padded:
        shape = (ROWS, "time", *case.shape[1:])
        inputs = {
            "sequences": Tensor(graph.input("sequences", "float32", shape), "float32", shape),
            "lengths": Tensor(graph.input("lengths", "int64", (ROWS,)), "int64", (ROWS,)),
        }
    else:
        name = "images" if case.kind == "uint8" else "x"
        shape = (ROWS, "time", *case.shape[1:]) if case.free else (ROWS, *case.shape)
        inputs = {name: Tensor(graph.input(name, case.kind, shape), case.kind, shape)}
    last = add_layers(graph, case.network, weights, inputs)
    known = case.network.follow(case.declared)[case.network.last.name].shape
    assert last.shape == known, "the exporter and the network disagree about a shape"
    graph.output("y", last.name, "float32", (ROWS, *(size or f"size{axis}" for axis, size in enumerate(known))))
    content = b"".join(graph.pieces())
    onnx.checker.check_model(content, full_check=not case.text)
    return content


def load(content: bytes) -> onnxruntime.InferenceSession:
    """Load a graph as the runtime does."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def ask(content: bytes, rows: dict[str, Any]) -> Any:
    """Have ONNX Runtime answer."""
    return load(content).run(["y"], rows)[0]


def own_steps(case: Case, rows: dict[str, Any], answers: Any) -> Any:
    """Leave zeros where answers are steps of padding, which mean nothing."""
    values = case.network.follow(case.source)
    if not values[case.network.last.name].padded:
        return answers
    lengths = (tokens_of(rows["text"], answers.shape[1]) != 0).sum(axis=1) if case.text else rows["lengths"]
    own = np.arange(answers.shape[1])[None, :] < np.maximum(lengths, 1)[:, None]
    return np.where(own[:, :, None], answers, 0)


def differences(expected: Any, found: Any, scale: float | None = None) -> str:
    """Say how answers differ, by the scale of the output, or nothing."""
    if found.shape != expected.shape:
        return f"the shape is {found.shape} and not {expected.shape}"
    scale = float(np.abs(expected).max()) if scale is None else scale
    wrong = ~(np.abs(found - expected) <= TOLERANCE * scale)
    if not wrong.any():
        return flipped(expected, found, TOLERANCE * scale)
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    worst = np.abs(found - expected).max() / scale
    return f"{len(rows)} of {len(wrong)} rows differ, such as {rows[0]}, by up to {worst:.1e} of the scale"


def flipped(expected: Any, found: Any, tie: float) -> str:
    """Say which rows get another label, but for ties."""
    labels, others = expected.argmax(axis=-1), found.argmax(axis=-1)
    highest = expected.max(axis=-1)
    taken = np.take_along_axis(expected, others[..., None], axis=-1)[..., 0]
    flips = (labels != others) & (highest - taken > tie)
    return f"{flips.sum()} labels flip" if flips.any() else ""


@cache
def prepared(case: Case) -> tuple[Weights, dict[str, Any], Any]:
    """Give the weights of a case, what it is asked, and what Keras says."""
    model, weights = make_weights(case)
    rows = make_rows(case)
    expected = own_steps(case, rows, ask_keras(case, model, rows))
    assert np.isfinite(expected).all()
    assert np.abs(expected).max() > 0
    return weights, rows, expected


def compare(case: Case, weights: Weights | None = None) -> str:
    """Say how the exported network differs from Keras on any row, or nothing."""
    own, rows, expected = prepared(case)
    content = export(case, own if weights is None else weights)
    session = load(content)
    wrong = differences(expected, own_steps(case, rows, session.run(["y"], rows)[0]))
    if wrong:
        return wrong
    # A row alone gets the answer that it gets among others.
    for row in (0, 1, ROWS_ASKED - 1):
        alone = {name: values[row : row + 1] for name, values in rows.items()}
        found = own_steps(case, alone, session.run(["y"], alone)[0])
        if wrong := differences(expected[row : row + 1], found, float(np.abs(expected).max())):
            return f"row {row} alone: {wrong}"
    return ""
