"""Networks and data that a run describes wrongly are refused by the field, its value, and what it must be."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conftest import refused

if TYPE_CHECKING:
    from conftest import Bench

DENSE = {"name": "out", "type": "Dense", "parameters": {"units": 2}}

NETWORKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no layers": ({"layers": []}, ["candidates[0].layers is 0: it must be 1 to 128 layers"]),
    "129 layers": (
        {"layers": [DENSE | {"name": f"l{index}"} for index in range(129)]},
        ["candidates[0].layers is 129: it must be 1 to 128 layers"],
    ),
    "an algorithm too": ({"layers": [DENSE], "algorithm": "SVM"}, ["candidates[0].algorithm", "beside layers"]),
    "neither": ({}, ["candidates[0].algorithm is missing"]),
    "a name twice": ({"layers": [DENSE, DENSE]}, ['candidates[0].layers[1].name is "out"', "must be unique"]),
    "the data's name": ({"layers": [DENSE | {"name": "input"}]}, ["layers[0].name", "'input' is the data's"]),
    "no name": ({"layers": [{"type": "Dense"}]}, ["candidates[0].layers[0].name is missing"]),
    "no type": ({"layers": [{"name": "a"}]}, ["candidates[0].layers[0].type is missing"]),
    "a field of a layer": (
        {"layers": [DENSE | {"parameter": {}}]},
        ["there is no field candidates[0].layers[0].parameter; did you mean 'parameters'?"],
    ),
    "inputs as text": ({"layers": [DENSE | {"inputs": "a"}]}, ["candidates[0].layers[0].inputs", "a list of texts"]),
    "inputs as numbers": ({"layers": [DENSE | {"inputs": [1]}]}, ["layers[0].inputs[0] is 1: it must be text"]),
    "an optimizer of a tree": (
        {"algorithm": "DecisionTree", "optimizer": {"type": "Adam"}},
        ["candidates[0].optimizer", "goes with layers, and with no algorithm"],
    ),
    "a loss of a tree": ({"algorithm": "DecisionTree", "loss": "mse"}, ["candidates[0].loss", "goes with layers"]),
    "a field of an optimizer": (
        {"layers": [DENSE], "optimizer": {"type": "Adam", "rate": 1}},
        ["there is no field candidates[0].optimizer.rate"],
    ),
    "an optimizer as text": ({"layers": [DENSE], "optimizer": "Adam"}, ["candidates[0].optimizer", "an object"]),
    "callbacks as an object": ({"layers": [DENSE], "callbacks": {}}, ["candidates[0].callbacks", "a list"]),
    "a callback without a type": (
        {"layers": [DENSE], "callbacks": [{"parameters": {}}]},
        ["candidates[0].callbacks[0].type is missing"],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_is_written_wrongly_is_refused(bench: Bench, name: str) -> None:
    candidate, words = NETWORKS[name]
    bench.run["candidates"] = [{"name": "net"} | candidate]
    refused(bench, "InvalidRun", *words)


DATA: dict[str, tuple[dict[str, Any], list[str]]] = {
    "two kinds of rows": (
        {"images": {}, "text": {}},
        ['data is ["images", "text"]', "at most one of images, sequences"],
    ),
    "inputs of no table": ({"format": "NPZ", "inputs": "Matrix"}, ['data.inputs is "Matrix"', "CSV or Parquet"]),
    "other inputs": ({"inputs": "Colums"}, ["Columns, Matrix; did you mean 'Columns'?"]),
    "images of a table": ({"images": {}}, ['data.format is "CSV"', "NPZ or Images with data.images"]),
    "one side": ({"format": "NPZ", "images": {"height": 3}}, ["data.images", "both height and width, or neither"]),
    "no height": ({"format": "NPZ", "images": {"height": 0, "width": 1}}, ["data.images.height is 0", "at least 1"]),
    "two channels": ({"format": "NPZ", "images": {"channels": 2}}, ["data.images.channels is 2", "1 (grey), 3"]),
    "no such field": ({"format": "NPZ", "images": {"hight": 3}}, ["data.images.hight; did you mean 'height'?"]),
    "an id alone": ({"sequences": {"id": "a"}}, ["data.sequences", "both id and order, or neither"]),
    "lists in a CSV": ({"sequences": {}}, ["data.sequences.id", "tells sequences apart"]),
    "an id of arrays": (
        {"format": "NPZ", "sequences": {"id": "a", "order": "b"}},
        ['data.sequences.id is "a"', "long table"],
    ),
    "sequences of no steps": ({"format": "NPZ", "sequences": {"maxLength": 0}}, ["data.sequences.maxLength is 0"]),
    "texts of an array": ({"format": "NPZ", "text": {}}, ["CSV or Parquet with data.text"]),
    "windows of an array": ({"format": "NPZ", "window": {"past": 3}}, ["CSV or Parquet with data.window"]),
    "a window without a past": ({"window": {"horizon": 3}}, ["data.window.past is null", "such as 12"]),
    "a window of the past": ({"window": {"past": 3, "horizon": 0}}, ["data.window.horizon is 0", "at least 1"]),
    "windows of classes": ({"window": {"past": 3}}, ["must be Regression with data.window"]),
    "a test share beside a test set": ({"test": {"directory": "/x"}}, ['split.test is "0.3"', "beside data.test"]),
    "a test set without a place": ({"test": {}}, ["data.test.directory is missing"]),
}


@pytest.mark.parametrize("name", DATA)
def test_a_description_of_data_that_cannot_be_is_refused(bench: Bench, name: str) -> None:
    data, words = DATA[name]
    bench.run["data"] |= data
    if "window" in data:
        bench.run["split"]["stratify"] = False
    refused(bench, "InvalidRun", *words)


def test_parts_that_cannot_be_are_refused(bench: Bench) -> None:
    bench.run["split"]["by"] = "Time"
    refused(bench, "InvalidRun", "split.stratify is true", "must be false where rows are parted by Time")
    bench.run["split"]["by"] = "Tim"
    refused(bench, "InvalidRun", "Random, Time; did you mean 'Time'?")
    bench.regression().run["data"]["window"] = {"past": 3}
    bench.run["split"]["by"] = "Random"
    refused(bench, "InvalidRun", 'split.by is "Random"', "must be Time with data.window")
    del bench.run["split"]["by"]
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    refused(bench, "InvalidRun", 'preprocess is ["scale"]', "Rescaling or BatchNormalization")


def test_none_of_this_imports_tensorflow() -> None:
    """Readers and descriptions of networks need neither it nor Keras."""
    program = "import sys, modelwright_trainer.run; print(sorted({'keras', 'tensorflow', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
