"""Libraries that candidates are trained by: what each must do, and which one a candidate is for.

A backend is a package beside this file with an object `BACKEND`. To import it must load no library that is large or
that another image does not have: names and parameters are refused before data is read, and without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from modelwright_trainer.config import Candidate, Run
    from modelwright_trainer.graph.answer import Answer
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs
    from modelwright_trainer.material import Answers, Arrays, Material, Watch

NAMES: Final = {"algorithm": "scikit_learn", "layers": "keras"}
"""Which package takes a candidate, by the field that it has."""


@dataclass(frozen=True)
class Summands:
    """An answer as a sum whose summands are asked one after the other."""

    width: int
    """Columns of the sum, FP64 of shape (rows, width)."""
    add: tuple[Callable[[Graph, GraphInputs], str], ...]
    """Each adds one summand to a graph of its own."""
    finish: Callable[[Graph, str], str | Answer]
    """Adds what comes of the sum."""


class Backend(Protocol):
    """A library to train with."""

    name: str
    """The package's name here."""
    packages: tuple[str, ...]
    """Python packages whose versions go into the report, beside those of the trainer itself."""

    def build(self, candidate: Candidate, path: str, run: Run, processors: int) -> Estimator:
        """Return an estimator that was not trained yet, or refuse names and parameters by a `RunError`.

        `path` is the candidate's place in the run, as `candidates[0]`, for messages. No data was read yet.
        """
        ...


class Estimator(Protocol):
    """One candidate, before and after it was trained.

    Classes that name this one as their base have what is written here, where a method does something.
    """

    @property
    def description(self) -> str:
        """What it is, for logs and reports: the algorithm, or the layers in short."""
        ...

    @property
    def classes(self) -> NDArray[Any] | None:
        """Once trained: which classes it knows, as INT64 places in `Material.classes`, sorted; of a regression none."""
        ...

    def check(self, material: Material) -> None:
        """Refuse by a `RunError` what does not go with the data, such as widths or missing values, before training."""
        del material

    def fit(self, material: Material, watch: Watch) -> None:
        """Train on `material.train`; `material.validation` may stop it early, and is measured by the library."""
        ...

    def answer(self, inputs: Arrays) -> Answers:
        """Answer for rows as `Part.inputs` has them. They may be many: part them where that takes memory."""
        ...

    def export(self, graph: Graph, inputs: GraphInputs) -> str | Answer:
        """Add what was trained to a graph. Return the prediction's tensor, or a classifier's answer.

        The library declares inputs and outputs, checks the graph, and compares what ONNX Runtime says of the test part
        with `answer`. A prediction has the shape (rows,), in any type of numbers.
        """
        ...

    def more_exact(self) -> Estimator | None:
        """Return one with the same answers whose graph computes more exactly, to be tried where this one's differs."""
        return None

    def summands(self) -> Summands | None:
        """Return parts of the answer, where the whole takes too much memory to be loaded beside training."""
        return None

    def variables(self) -> dict[str, NDArray[Any]]:
        """Return what was learned by `layer/variable`, and what it means, to start other trainings from."""
        return {}

    def provenance(self) -> dict[str, Any]:
        """Return what the report must say of how it was trained, such as threads and the device."""
        return {}


def find_backend(candidate: Candidate) -> Backend:
    """Return the library that a candidate is for."""
    name = NAMES["layers" if candidate.layers else "algorithm"]
    return cast("Backend", import_module(f".{name}", __package__).BACKEND)


def build_estimators(run: Run, processors: int) -> list[Estimator]:
    """Return an estimator for each candidate, in their order; refuse the first that is wrong."""
    return [
        find_backend(candidate).build(candidate, f"candidates[{index}]", run, processors)
        for index, candidate in enumerate(run.candidates)
    ]
