"""A candidate with layers, before and after it was trained: what the library asks of it, answered by Keras.

TensorFlow is loaded when training begins, and not before: all that can be refused without it is.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.backends import Estimator
from modelwright_trainer.config import INPUT, Task
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.material import Answers, Kind

from .choices import PROBABILITIES
from .device import refuse_missing, refuse_unused
from .memory import check_memory
from .network import Input
from .parse import check_network
from .shapes import refuse_layer, refuse_value
from .start import describe, start
from .text import FIRST, find_vocabulary, tokenize, vectorize
from .variables import (
    MEANING,
    meaning_of,
    read_variables,
    refuse_other_meaning,
    take_vocabulary,
    write_meaning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from modelwright_trainer.config import Run
    from modelwright_trainer.graph.answer import Answer
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs
    from modelwright_trainer.material import Arrays, Material, Watch

    from .network import Network
    from .variables import Meaning

LENGTHS: Final = "lengths"
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
"""What makes text bold on a terminal."""
ANSWERED_ROWS: Final = 256
"""At once, so that answering takes no more memory than training."""


class NetworkEstimator(Estimator):
    """One network."""

    def __init__(self, network: Network, run: Run) -> None:
        """Keep what was declared."""
        self.network, self.run = network, run
        self.vocabulary: NDArray[Any] = np.array([], dtype=str)
        self._loop: Any = None
        self._meaning: Meaning = {}
        self._classes: NDArray[Any] | None = None

    @property
    def description(self) -> str:
        """The types of the layers, in short."""
        return listed([layer.type for layer in self.network.layers], 6)

    @property
    def classes(self) -> NDArray[Any] | None:
        """All classes of the data."""
        return self._classes

    def check(self, material: Material) -> None:
        """Refuse layers that do not go with the data, and data that networks cannot take."""
        if material.may_miss:
            message = (
                f"column {listed([repr(name) for name in material.may_miss], 5)} misses values, and a network cannot "
                "take that: add a step impute to preprocess"
            )
            raise RunError(Reason.MISSING_VALUES, message)
        self._refuse_not_finite(material)
        source = source_of(material)
        values = check_network(self.network, source, material.task, len(material.classes) or None)
        self._refuse_start(material)
        self._refuse_vocabulary(material)
        self._number_classes(material)
        check_memory(self.network, values, material)

    def fit(self, material: Material, watch: Watch) -> None:
        """Train."""
        refuse_missing(start())
        with self._in_words("train"):
            self._train(material, watch)
        refuse_unused(start())

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        """Say in words what TensorFlow says: its errors are of no kind of Python's own."""
        errors: Any = start().errors
        who = f"{self.network.path}: "
        try:
            yield
        except errors.ResourceExhaustedError as error:
            found = re.search(r"OOM when allocating tensor with shape\[[0-9,]*\]", str(error))
            message = (
                f"{who}the memory does not suffice to {what} {self.network.name!r} with a batch_size of "
                f"{self.network.fit.batch_size} ({found.group() if found else str(error)[:200]}): make batch_size, the "
                "steps or a layer smaller, or give spec.training.resources more memory"
            )
            raise RunError(Reason.OUT_OF_MEMORY, message) from error
        except (ValueError, TypeError) as error:
            # Keras brings along each place in its code and ours.
            message = f"{who}{type(error).__name__}: {_said(str(error)):.400}"
            raise RunError(Reason.NO_CANDIDATE, message) from error
        except errors.OpError as error:
            # The first line; behind it is where in the graph.
            said = f"{type(error).__name__}: {error.message.strip().partition(chr(10))[0]:.300}"
            message = f"{who}TensorFlow cannot {what} {self.network.name!r} ({said}): change what the layers are given"
            raise RunError(Reason.NO_CANDIDATE, message) from error

    def _train(self, material: Material, watch: Watch) -> None:
        # Both load TensorFlow.
        build, training = import_module(".build", __package__), import_module(".training", __package__)
        source = source_of(material)
        self._find_vocabulary(material)
        train, validation = (
            training.Rows(self._as_inputs(part.inputs), part.truth) for part in (material.train, material.validation)
        )
        model = build.build_model(self.network, source, self.run.split.seed)
        self._loop = training.train(
            training.Job(
                model=model,
                task=material.task,
                classes=material.classes.tolist(),
                seed=self.run.split.seed,
                class_weight=self._number_classes(material),
                start_from=self._read_start(),
                checkpoint=None if self.run.checkpoint is None else Path(self.run.checkpoint),
            ),
            train,
            validation,
            watch,
        )
        self._meaning = meaning_of(material)
        if material.task is Task.CLASSIFICATION:
            self._classes = np.arange(len(material.classes), dtype=np.int64)

    def answer(self, inputs: Arrays) -> Answers:
        """Answer, some rows at a time."""
        with self._in_words("ask"):
            found = self._loop.answer(self._as_inputs(inputs), ANSWERED_ROWS)
        if self._classes is None:
            return Answers(prediction=found[:, 0])
        if PROBABILITIES[self.network.loss] == "sigmoid":
            found = np.concatenate([np.float32(1) - found, found], axis=1)
        return Answers(index=found.argmax(axis=1).astype(np.int64), probabilities=found)

    def export(self, graph: Graph, inputs: GraphInputs) -> str | Answer:
        """Add the layers to a graph."""
        add_network = import_module(".export", __package__).add_network
        added: str | Answer = add_network(graph, self.network, self.run.task, self._weights(), inputs)
        return added

    def variables(self) -> dict[str, NDArray[Any]]:
        """Return all weights by `layer/variable`."""
        return self._learned() | {MEANING: write_meaning(self._meaning)}

    def _learned(self) -> dict[str, NDArray[Any]]:
        weights = self._weights()
        return {f"{layer}/{name}": value for layer, found in weights.items() for name, value in found.items()}

    def provenance(self) -> dict[str, Any]:
        """Say how it was computed."""
        if self._loop is None:
            return {}
        # A vocabulary is none.
        counted = (value.size for value in self._learned().values() if value.dtype.kind == "f")
        return describe(start(), self.network.fit.dtype_policy) | {"parameters": int(sum(counted))}

    def _weights(self) -> dict[str, dict[str, NDArray[Any]]]:
        weights: dict[str, dict[str, NDArray[Any]]] = import_module(".build", __package__).weights_of(self._loop.model)
        if self.network.vectorization is not None:
            weights[self.network.vectorization.name] = {"vocabulary": self.vocabulary}
        return weights

    def _as_inputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model is called with."""
        (data,) = (values for name, values in inputs.items() if name != LENGTHS)
        layer = self.network.vectorization
        if layer is not None:
            data = vectorize(data[:, 0].tolist(), self.vocabulary, layer["output_sequence_length"])
        found: dict[str, NDArray[Any]] = {INPUT: data}
        if LENGTHS in inputs:
            found[LENGTHS] = inputs[LENGTHS]
        return found

    def _find_vocabulary(self, material: Material) -> None:
        layer = self.network.vectorization
        if layer is None:
            return
        start_from = self._read_start()
        if start_from is not None:
            # Weights of an Embedding mean the words that they were trained with.
            self.vocabulary = take_vocabulary(start_from, layer)
        else:
            self.vocabulary = find_vocabulary(material.train.inputs["text"][:, 0].tolist(), layer["max_tokens"])

    def _read_start(self) -> dict[str, NDArray[Any]] | None:
        return None if self.run.start_from is None else read_variables(Path(self.run.start_from))

    def _refuse_start(self, material: Material) -> None:
        """Refuse the weights of other labels, or of other columns, as the layers cannot tell."""
        if self.run.start_from is not None:
            refuse_other_meaning(read_variables(Path(self.run.start_from)), meaning_of(material))

    def _refuse_vocabulary(self, material: Material) -> None:
        """Refuse an Embedding that has fewer rows than there are tokens."""
        self._find_vocabulary(material)
        layer = self.network.vectorization
        if layer is None:
            return
        if not len(self.vocabulary):
            refuse_layer(layer, "finds no word in the training part: tokens are of the characters a-z, 0-9 and '")
        texts = material.train.inputs["text"][:, 0].tolist()
        if empty := [text for text in texts if not tokenize(text)]:
            warnings.warn(
                f"{len(empty)} of {len(texts)} texts of the training part have no token (a-z, 0-9 and '), such as "
                f"{empty[0]!r:.60}: each counts as one step of padding",
                stacklevel=2,
            )
        tokens = len(self.vocabulary) + FIRST
        for one in self.network.layers:
            if one.type == "Embedding" and one["input_dim"] < tokens:
                refuse_value(
                    one,
                    "input_dim",
                    f"{layer.name!r} gives {tokens} tokens (padding, unknown, {len(self.vocabulary)} words): make it "
                    f"{tokens} at least, or max_tokens of {layer.name!r} smaller",
                )

    def _refuse_not_finite(self, material: Material) -> None:
        for part in (material.train, material.validation):
            for name, values in part.inputs.items():
                if values.dtype.kind != "f":
                    continue
                wrong = ~np.isfinite(values)
                if wrong.any():
                    message = (
                        f"{name} has {int(wrong.sum())} numbers that are NaN or infinite, and a network cannot take "
                        "that: take these rows out, or fill them"
                    )
                    raise RunError(Reason.MISSING_VALUES, message)

    def _number_classes(self, material: Material) -> dict[int, float] | None:
        """Bring `class_weight` by labels to the numbers of the classes."""
        weights = self.network.fit.class_weight
        if weights is None:
            return None
        known = {str(label): index for index, label in enumerate(material.classes.tolist())}
        for label in weights:
            if label not in known:
                message = (
                    f"{self.network.path}.parameters.class_weight of candidate {self.network.name!r} names the label "
                    f"{label!r}, which does not occur{did_you_mean(label, known)}; there are {listed(list(known))}"
                )
                raise RunError(Reason.INVALID_PARAMETER, message)
        return {known[label]: float(weight) for label, weight in weights.items()}


def _said(words: str) -> str:
    """Return what is said behind the last place in code: such a place takes two lines."""
    lines = [line.strip() for line in COLOUR.sub("", words).splitlines() if line.strip()]
    places = [number for number, line in enumerate(lines) if line.startswith('File "')]
    behind = lines[places[-1] + 2 :] if places else lines
    return " ".join(behind or lines[-1:])


def source_of(material: Material) -> Input:
    """Return the shape of the data."""
    inputs: Mapping[str, NDArray[Any]] = material.train.inputs
    if material.kind is Kind.TEXT:
        return Input((), text=True)
    (data,) = (values for name, values in inputs.items() if name != LENGTHS)
    return Input(tuple(data.shape[1:]), padded=LENGTHS in inputs)
