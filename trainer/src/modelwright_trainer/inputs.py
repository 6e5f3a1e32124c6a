"""What a model takes: in go rows by number, out come arrays as the graph takes them and as backends learn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .graph.builder import ROWS
from .graph.images import Resizer, add_resize
from .graph.inputs import Tensor
from .graph.preparation import add_preparation
from .material import Kind
from .prepare import Preparer, fit_preparation
from .tensors import Tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import Run
    from .graph.builder import Graph
    from .graph.inputs import GraphInputs
    from .material import Arrays
    from .split import Parts
    from .table import Indices, Table


class ModelInputs(Protocol):
    """What a model takes, whatever rows are."""

    @property
    def kind(self) -> Kind:
        """What one row is."""
        ...

    @property
    def may_miss(self) -> tuple[str, ...]:
        """Columns whose numbers may be NaN when they reach a backend."""
        ...

    @property
    def meaning(self) -> tuple[str, ...]:
        """What backends get, by the names that users gave, where these mean something."""
        ...

    def take(self, rows: Indices) -> Arrays:
        """Return rows as the graph takes them, texts as objects."""
        ...

    def prepare(self, rows: Indices) -> Arrays:
        """Return rows as backends take them: what the graph makes of `take`."""
        ...

    def declare(self, graph: Graph) -> GraphInputs:
        """Declare the inputs of a graph, and add what leads to what backends take."""
        ...


@dataclass(frozen=True)
class TableInputs:
    """Columns, each an input or all of them one, behind the preparation."""

    table: Table
    preparer: Preparer
    kind: Kind = Kind.TABLE

    @property
    def may_miss(self) -> tuple[str, ...]:
        """Columns that no step fills."""
        return tuple(chain.name for chain in self.preparer.chains if chain.may_miss)

    @property
    def meaning(self) -> tuple[str, ...]:
        """Columns, and the values that are numbered."""
        return tuple(one for chain in self.preparer.chains for one in chain.meaning)

    def take(self, rows: Indices) -> Arrays:
        """Return rows as the graph takes them."""
        columns = self.table.columns
        if self.table.single_input:
            return {"x": np.column_stack([column.values[rows] for column in columns])}
        return {column.name: column.values[rows].reshape(-1, 1) for column in columns}

    def prepare(self, rows: Indices) -> Arrays:
        """Return the features."""
        return {"features": self.preparer.apply(self.table.columns, rows)}

    def declare(self, graph: Graph) -> GraphInputs:
        """Declare the columns, and add the preparation."""
        return declare_table(graph, self.preparer, single_input=self.table.single_input)


def declare_table(graph: Graph, preparer: Preparer, *, single_input: bool) -> GraphInputs:
    """Declare columns, and add their preparation."""
    features = add_preparation(graph, preparer, single_input=single_input)
    width = sum(chain.width for chain in preparer.chains)
    return {"features": Tensor(features, "float32", (ROWS, width))}


@dataclass(frozen=True)
class TensorInputs:
    """Tensors as they are, but for images that the graph brings to one size."""

    tensors: Tensors
    may_miss: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What one row is."""
        return self.tensors.kind

    @property
    def meaning(self) -> tuple[str, ...]:
        """Channels that are columns: texts and images have none."""
        return self.tensors.features if self.kind in {Kind.SEQUENCES, Kind.WINDOW} else ()

    def take(self, rows: Indices) -> Arrays:
        """Return rows as the graph takes them."""
        return {name: values[rows] for name, values in self.tensors.arrays.items()}

    def prepare(self, rows: Indices) -> Arrays:
        """Return rows as backends take them."""
        found = self.take(rows)
        if self.tensors.size is not None:
            found["images"] = Resizer(*self.tensors.size, found["images"].shape[3]).apply(found["images"])
        return found

    def declare(self, graph: Graph) -> GraphInputs:
        """Declare the tensors."""
        found: dict[str, Tensor] = {}
        for name, values in self.tensors.arrays.items():
            kind = "text" if values.dtype == object else str(values.dtype)
            shape = (ROWS, *self.tensors.dimensions(name))
            found[name] = Tensor(graph.input(name, kind, shape), kind, shape)
        if self.tensors.size is not None:
            found["images"] = add_resize(graph, found["images"], *self.tensors.size)
        return found


def build_inputs(data: Table | Tensors, run: Run, parts: Parts) -> ModelInputs:
    """Return what the model takes; steps of preparation are fitted on the training part."""
    # Tables alone have columns that are prepared.
    if isinstance(data, Tensors):
        return TensorInputs(data)
    table = data.without_written()
    return TableInputs(table, fit_preparation(table.columns, run.preprocess, parts.train))


def without_objects(values: NDArray[Any]) -> NDArray[Any]:
    """Text as NumPy's own type, which needs no pickling, and for each text the room of the longest."""
    return values.astype(str) if values.dtype == object else values
