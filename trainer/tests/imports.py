"""Models by their signature, data, and what goes wrong between both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
import onnx
import pytest
from modelwright_trainer.failure import RunError
from modelwright_trainer.imported.leave import leave_parts
from modelwright_trainer.imported.order import read_order
from modelwright_trainer.imported.process import as_evaluation
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from pathlib import Path

FLOAT, INT64, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
Ports: TypeAlias = dict[str, tuple[int, list[Any]]]


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read an archive."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def graph(inputs: Ports, outputs: Ports) -> onnx.ModelProto:
    """Make a graph of constants, which nobody runs: its signature is what counts."""
    ports = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()]
    values = {FLOAT: [0.5], INT64: [1], TEXT: [b"a"]}
    nodes = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, [1], values[kind]))
        for name, (kind, _) in outputs.items()
    ]
    return helper.make_model(helper.make_graph(nodes, "given", ports, given))


@dataclass
class Import:
    """A model and data, each in a folder, and what is asked."""

    folder: Path
    order: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Ask for the shortest."""
        for name in ("model", "data"):
            (self.folder / name).mkdir()
        data = {"directory": str(self.folder / "data"), "format": "CSV", "label": "y"}
        self.order = {
            "directory": str(self.folder / "model"),
            "output": str(self.folder / "out"),
            "task": "Classification",
            "data": data,
        }

    def model(self, inputs: Ports, outputs: Ports | None = None) -> Import:
        """Write a model with this signature."""
        onnx.save(graph(inputs, outputs or {"label": (INT64, ["rows"])}), self.folder / "model" / "model.onnx")
        return self

    def csv(self, text: str) -> Import:
        """Write a table."""
        (self.folder / "data" / "data.csv").write_text(text)
        return self

    def npz(self, **values: Any) -> Import:
        """Write arrays."""
        np.savez(self.folder / "data" / "data.npz", **values)
        self.order["data"]["format"] = "NPZ"
        return self

    def ask(self, **more: Any) -> Import:
        """Ask for more of the data."""
        self.order["data"] |= more
        return self

    def leave(self) -> dict[str, int]:
        """Do it."""
        return leave_parts(read_order(json.dumps(self.order)))

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Do it, and return both parts."""
        self.leave()
        return arrays(self.folder / "out" / "evaluation.npz"), arrays(self.folder / "out" / "calibration.npz")

    def refused(self, reason: str, *words: str) -> None:
        """Do it, and see it refused."""
        with pytest.raises(RunError) as caught:
            self.leave()
        assert str(caught.value.reason) == reason, caught.value
        for part in words:
            assert part in as_evaluation(caught.value.message), (part, as_evaluation(caught.value.message))
        assert not (self.folder / "out" / "evaluation.npz").exists()


def ten(names: str, row: str) -> str:
    """Ten rows of CSV; `#` in one is its number."""
    return "\n".join([names, *(row.replace("#", str(number)) for number in range(10))]) + "\n"


class Wrong(NamedTuple):
    """A model and data that do not go together, and what is said of it."""

    title: str
    inputs: Ports
    outputs: Ports | None
    text: str
    """CSV; without any, an NPZ of small images."""
    data: dict[str, Any]
    reason: str
    words: tuple[str, ...]


ONE = {"a": (FLOAT, ["n", 1])}
WIDE = {"x": (FLOAT, ["n", 3])}
THREE = {"probabilities": (FLOAT, ["n", 3])}
WRONG: Final[tuple[Wrong, ...]] = (
    Wrong(
        "no label",
        ONE,
        None,
        ten("a,z", "1,2"),
        {},
        "NoLabelColumn",
        ("spec.evaluation.data.label is 'y'", "among a, z"),
    ),
    Wrong(
        "no column",
        {**ONE, "bmi": (FLOAT, ["n", 1])},
        None,
        ten("a,bmj,y", "1,2,3"),
        {},
        "UnsuitableData",
        (
            "'bmi' FP32 [-1,1]",
            "no such column among a, bmj",
            "spec.evaluation.data.inputs Columns",
            "did you mean 'bmj'",
        ),
    ),
    Wrong(
        "a wide input",
        WIDE,
        None,
        ten("a,b,c,y", "1,2,3,4"),
        {},
        "UnsuitableData",
        ("takes 'x' FP32 [-1,3]", "set spec.evaluation.data.inputs to Matrix"),
    ),
    Wrong(
        "a wide input of a column's name",
        WIDE,
        None,
        ten("x,y", "1,2"),
        {},
        "UnsuitableData",
        ("no column of one value a row", "spec.evaluation.data.inputs to Matrix"),
    ),
    Wrong(
        "a matrix too narrow",
        WIDE,
        None,
        ten("a,b,y", "1,2,4"),
        {"inputs": "Matrix"},
        "UnsuitableData",
        ("takes 'x' FP32 [-1,3]", "2 columns besides the label: a, b"),
    ),
    Wrong(
        "a matrix of text",
        WIDE,
        None,
        ten("a,b,c,y", "1,u,3,4"),
        {"inputs": "Matrix"},
        "UnsuitableData",
        ("spec.evaluation.data.inputs is Matrix", "column 'b'", "is text"),
    ),
    Wrong(
        "a matrix for two",
        {**ONE, "b": (FLOAT, ["n", 1])},
        None,
        ten("a,b,y", "1,2,3"),
        {"inputs": "Matrix"},
        "UnsuitableData",
        ("the model takes 2", "leave spec.evaluation.data.inputs out"),
    ),
    Wrong(
        "text for a number", ONE, None, ten("a,y", "u,1"), {}, "UnsuitableData", ("column 'a'", "text", "takes FP32")
    ),
    Wrong(
        "half a number",
        {"a": (INT64, ["n", 1])},
        None,
        ten("a,y", "1,1") + "2.5,1\n",
        {},
        "UnsuitableData",
        ("column 'a' has values that INT64", "such as 2.5, in row 11"),
    ),
    Wrong(
        "nothing for an integer",
        {"a": (INT64, ["n", 1])},
        None,
        ten("a,y", "1,1") + "NA,1\n",
        {},
        "UnsuitableData",
        ("column 'a'", "INT64", "in row 11"),
    ),
    Wrong(
        "a byte too large",
        {"a": (TensorProto.INT8, ["n", 1])},
        None,
        ten("a,y", "1,1") + "128,1\n",
        {},
        "UnsuitableData",
        ("column 'a'", "INT8", "such as 128"),
    ),
    Wrong("a number beyond", ONE, None, ten("a,y", "1,1") + "1e39,1\n", {}, "UnsuitableData", ("'a'", "FP32", "1e+39")),
    Wrong(
        "no truth",
        ONE,
        None,
        ten("a,y", "1,1") + "1,\n",
        {},
        "MissingLabel",
        ("spec.evaluation.data.label 'y'", "row 11"),
    ),
    Wrong(
        "text for a truth",
        ONE,
        None,
        ten("a,y", "1,cat"),
        {},
        "InvalidLabel",
        ("spec.evaluation.data.label 'y' is text, such as 'cat'", "'label' INT64"),
    ),
    Wrong("half a truth", ONE, None, ten("a,y", "1,0.5"), {}, "InvalidLabel", ("spec.evaluation.data.label 'y'",)),
    Wrong(
        "classes that are fewer",
        ONE,
        THREE,
        ten("a,y", "1,cat"),
        {},
        "InvalidLabel",
        ("tells 3 classes apart", "has 1 labels: 'cat'", "spec.evaluation.classes"),
    ),
    Wrong("numbers beyond the columns", ONE, THREE, ten("a,y", "#,#"), {}, "InvalidLabel", ("3 classes", "10 labels")),
    Wrong("no rows", ONE, None, "a,y\n", {}, "NoRows", ("no row of data",)),
    Wrong("an empty file", ONE, None, "", {}, "NoRows", ("data.csv is empty",)),
    Wrong("a ragged one", ONE, None, ten("a,y", "1,1") + "1,2,3\n", {}, "UnreadableData", ("data.csv",)),
    Wrong("too few", {"a": (FLOAT, [16, 1])}, None, ten("a,y", "1,1"), {}, "TooFewRows", ("exactly 16 at once",)),
    Wrong("a value that no row has", {"a": (FLOAT, [])}, None, ten("a,y", "1,1"), {}, "UnsuitableData", ("input 'a'",)),
    Wrong(
        "a type that no file has",
        {"a": (TensorProto.BFLOAT16, ["n", 1])},
        None,
        ten("a,y", "1,1"),
        {},
        "UnsuitableData",
        ("input 'a' is no tensor of numbers or text",),
    ),
    Wrong(
        "texts without their column",
        {"text": (TEXT, ["n", 1])},
        None,
        ten("a,b,y", "u,v,1"),
        {"text": {}},
        "NoFeatures",
        ("give spec.evaluation.data.text.column",),
    ),
    Wrong(
        "images of another size",
        {"i": (TensorProto.UINT8, ["n", 8, 8, 1])},
        None,
        "",
        {"images": {}},
        "UnsuitableData",
        ("takes 'i' UINT8 [-1,8,8,1]", "has the shape [10, 4, 4, 1]"),
    ),
    Wrong(
        "an array of no input",
        {**ONE, "b": (FLOAT, ["n"])},
        None,
        "",
        {},
        "UnsuitableData",
        ("takes 'a' FP32 [-1,1], 'b' FP32 [-1]", "values besides the label"),
    ),
)
