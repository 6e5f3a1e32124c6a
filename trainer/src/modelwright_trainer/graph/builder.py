"""In go operators one by one, out comes a graph.

Its bytes depend on nothing else: names are numbers, nothing is dated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from .packed import Packed, field, total, write_node, write_small

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Value: TypeAlias = tuple[str, str, tuple[str | int, ...]]

OPSET: Final = 21
ML_OPSET: Final = 3
MICROSOFT: Final = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
IR_VERSION: Final = 10
ROWS: Final = "rows"
TYPES: Final = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "text": TensorProto.STRING,
}


class Graph:
    """A graph being written. Tensors are passed around by name."""

    def __init__(self, count: list[int] | None = None) -> None:
        """Start an empty graph; one inside another shares its count of names."""
        self._count = [0] if count is None else count
        self._nodes: list[Any] = []
        # Nodes that are bytes already, by their place among the others; these hold an empty one there.
        self._written: dict[int, list[bytes]] = {}
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def _fresh(self) -> str:
        self._count[0] += 1
        # No input has such a name: a column's name is printable, and a tab is not.
        return f"t\t{self._count[0]}"

    def input(self, name: str, kind: str, shape: tuple[str | int, ...]) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))
        return name

    def output(self, name: str, tensor: str, kind: str, shape: tuple[str | int, ...]) -> None:
        """Declare an output."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))

    def constant(self, value: NDArray[Any]) -> str:
        """Add a tensor of fixed values; objects are text."""
        name = self._fresh()
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def whole(self, *values: int) -> str:
        """Add a list of whole numbers, for axes and shapes."""
        return self.constant(np.array(values, dtype=np.int64))

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output."""
        return self.add_many(operator, inputs, 1, domain=domain, **attributes)[0]

    def add_many(
        self,
        operator: str,
        inputs: tuple[str, ...],
        outputs: int,
        domain: str = "",
        skipped: int = 0,
        **attributes: Any,
    ) -> list[str]:
        """Add an operator with several outputs, the first of which may be left out, without a name."""
        names = ["" if place < skipped else self._fresh() for place in range(skipped + outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names

    def add_packed(self, operator: str, tensor: str, domain: str, packed: dict[str, Packed], **attributes: Any) -> str:
        """Add an operator of one input and one output with attributes that are bytes already."""
        name = self._fresh()
        written = {key: value.write(key) for key, value in packed.items()}
        written |= {key: write_small(helper.make_attribute(key, value)) for key, value in attributes.items()}
        self._written[len(self._nodes)] = write_node([tensor], name, operator, domain, written)
        self._nodes.append(helper.make_node(operator, [tensor], [name], domain=domain))
        return name

    def cast(self, tensor: str, kind: str) -> str:
        """Bring a tensor to another type."""
        return self.add("Cast", tensor, to=TYPES[kind])

    def inner(self) -> Graph:
        """Start the body of a loop; it sees this graph's tensors."""
        return Graph(self._count)

    def as_body(self, inputs: list[Value], outputs: list[Value]) -> Any:
        """Finish a body, with names, types and shapes of what goes in and out."""
        return helper.make_graph(
            self._nodes,
            "body",
            [helper.make_tensor_value_info(name, TYPES[kind], shape) for name, kind, shape in inputs],
            [helper.make_tensor_value_info(name, TYPES[kind], shape) for name, kind, shape in outputs],
            self._initializers,
        )

    def finish(self) -> ModelProto:
        """Return the model."""
        domains = [helper.make_opsetid("", OPSET)]
        if any(node.domain == "ai.onnx.ml" for node in self._nodes):
            domains.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        if any(node.domain == MICROSOFT for node in self._nodes):
            domains.append(helper.make_opsetid(MICROSOFT, 1))
        graph = helper.make_graph(self._nodes, "model", self._inputs, self._outputs, self._initializers)
        model = helper.make_model(graph, opset_imports=domains, producer_name="modelwright-trainer")
        model.ir_version = IR_VERSION
        return model

    def pieces(self) -> list[bytes]:
        """Return the file, in parts: what `finish` returns, with the nodes that are bytes already."""
        model = self.finish()
        nodes = [node.SerializeToString(deterministic=True) for node in model.graph.node]
        parts: list[bytes] = []
        for place, node in enumerate(nodes):
            parts += self._written.get(place) or [field(GraphProto.NODE_FIELD_NUMBER, node)]
        del model.graph.node[:]
        # Of every message, the fields come in the order of their numbers.
        parts.append(model.graph.SerializeToString(deterministic=True))
        model.ClearField("graph")
        last = ModelProto(opset_import=model.opset_import)
        model.ClearField("opset_import")
        head = model.SerializeToString(deterministic=True)
        return [
            head,
            field(ModelProto.GRAPH_FIELD_NUMBER, total(parts)),
            *parts,
            last.SerializeToString(deterministic=True),
        ]
