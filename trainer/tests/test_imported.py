"""A model that was imported: data become what it takes, in two parts, or the field that does not fit is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from imports import FLOAT, INT64, ONE, TEXT, THREE, WRONG, Import, Ports, Wrong, arrays, ten
from modelwright_trainer.failure import RunError
from modelwright_trainer.imported.leave import part_rows
from modelwright_trainer.imported.order import read_order
from onnx import TensorProto
from sklearn import datasets

if TYPE_CHECKING:
    from conftest import Bench

SOURCES = Path(__file__).parents[1] / "src"


@pytest.fixture
def brought(tmp_path: Path) -> Import:
    folder = tmp_path / "import"
    folder.mkdir()
    return Import(folder)


@pytest.mark.parametrize("matrix", [False, True])
def test_a_model_answers_its_rows_as_it_did_where_it_was_trained(
    bench: Bench, brought: Import, *, matrix: bool
) -> None:
    bench.write_bundled("iris").candidate("RandomForest", n_estimators=5)
    if matrix:
        bench.matrix()
        brought.ask(inputs="Matrix")
    bench.train()
    (brought.folder / "model" / "model.onnx").write_bytes((bench.out / "model.onnx").read_bytes())
    (brought.folder / "model" / "modelwright").mkdir()
    (brought.folder / "model" / "modelwright" / "golden.json").write_text("{}")
    (brought.folder / "model" / "evaluation.npz").write_bytes(b"somebody's")
    (brought.folder / "model" / "report.json").write_bytes(b"somebody's")
    brought.csv((bench.folder / "data" / "data.csv").read_text()).ask(label="target")
    assert brought.leave() == {"test": 120, "calibration": 30}
    out = brought.folder / "out"
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {"model.onnx", "modelwright/golden.json", "evaluation.npz", "calibration.npz"}
    test, calibration = arrays(out / "evaluation.npz"), arrays(out / "calibration.npz")
    assert test["classes"].tolist() == [0, 1, 2]
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    asked = {name[7:]: values for name, values in test.items() if name.startswith("inputs/")}
    answers = session.run(["label"], asked)[0]
    assert (answers == test["labels"]).mean() > 0.9
    rows = np.concatenate([np.column_stack([part[name] for name in calibration]) for part in (test, calibration)])
    iris = datasets.load_iris().data.astype(np.float32)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, iris.tolist())), "each row is in one part"


def test_rows_are_parted_alike_whatever_is_asked_of_them(brought: Import) -> None:
    test, calibration = part_rows(10_000)
    assert (len(test), len(calibration)) == (9488, 512)
    assert not set(test.tolist()) & set(calibration.tolist())
    assert [part.tolist() for part in part_rows(10_000)] == [test.tolist(), calibration.tolist()]
    assert [len(part) for part in part_rows(4)] == [4, 0]
    brought.model({"a": (FLOAT, ["rows", 1])}).csv("a,y\n1,2\n").leave()
    assert not (brought.folder / "out" / "calibration.npz").exists()


def test_each_input_takes_the_column_of_its_name_in_its_own_type(brought: Import) -> None:
    shapes: Ports = {"n": (FLOAT, ["rows", 1]), "i": (INT64, ["rows"]), "t": (TEXT, ["rows", 1])}
    brought.model(shapes, {"label": (TEXT, ["rows"])}).csv(ten("t,unused,i,y,n", "0#,x,#,01,0.#"))
    test, _ = brought.parts()
    found = {name: (str(values.dtype)[:3], values.shape) for name, values in test.items()}
    assert found == {
        "inputs/n": ("flo", (8, 1)),
        "inputs/i": ("int", (8,)),
        "inputs/t": ("<U2", (8, 1)),
        "labels": ("<U2", (8,)),
    }
    assert test["inputs/t"][0, 0] == f"0{test['inputs/i'][0]}", "what the model takes as text stays as it is written"
    assert test["labels"].tolist() == ["01"] * 8


def test_arrays_go_to_the_inputs_of_their_names_and_one_to_the_only_one(brought: Import) -> None:
    pixels = np.random.Generator(np.random.PCG64(1)).random((10, 3, 4, 4), dtype=np.float32)
    brought.model({"pixel_values": (FLOAT, ["n", 3, 4, 4])}, {"logits": (FLOAT, ["n", 4])})
    test, calibration = brought.npz(images=pixels, y=np.array([0, 1, 3, 3, 1, 0, 0, 1, 3, 1])).parts()
    assert test["inputs/pixel_values"].shape == (8, 3, 4, 4)
    assert calibration["inputs/pixel_values"].shape == (2, 3, 4, 4)
    assert test["classes"].tolist() == [0, 1, 2, 3], "labels that are columns' numbers, of which the data lacks one"


@pytest.mark.parametrize(
    ("data", "inputs", "found"),
    [
        ({"images": {}}, {"images": (TensorProto.UINT8, ["n", 4, 4, 1])}, {"inputs/images": (8, 4, 4, 1)}),
        ({"sequences": {}}, {"taken": (FLOAT, ["n", 4, 4])}, {"inputs/taken": (8, 4, 4)}),
    ],
)
def test_images_and_sequences_are_read_as_a_training_reads_them(
    brought: Import, data: dict[str, Any], inputs: dict[str, Any], found: dict[str, Any]
) -> None:
    kind = np.uint8 if "images" in data else np.float32
    brought.model(inputs).npz(values=np.arange(160).reshape(10, 4, 4).astype(kind), y=np.arange(10) % 2).ask(**data)
    test, _ = brought.parts()
    assert {name: values.shape for name, values in test.items() if name.startswith("inputs/")} == found


def test_texts_and_windows_are_read_as_a_training_reads_them(brought: Import) -> None:
    brought.model({"text": (TEXT, ["n", 1])}).csv(ten("words,y", "word #,1")).ask(text={})
    assert brought.parts()[0]["inputs/text"].shape == (8, 1)


def test_a_series_is_read_as_a_training_reads_it(brought: Import) -> None:
    brought.model({"past": (FLOAT, ["n", 3, 1])}, {"prediction": (FLOAT, ["n"])}).csv(ten("y", "#.5"))
    brought.ask(window={"past": 3}).order["task"] = "Regression"
    test, _ = brought.parts()
    assert (test["inputs/past"][:, -1, 0] + 1 == test["labels"]).all()


def test_classes_are_named_in_the_order_of_the_models_columns(brought: Import) -> None:
    brought.model({"a": (FLOAT, ["n", 1])}, {"probabilities": (FLOAT, ["n", 3])}).csv(ten("a,y", "#,cat"))
    brought.order["classes"] = ["dog", "cat", "7"]
    assert brought.parts()[0]["classes"].tolist() == ["dog", "cat", "7"]
    brought.csv(ten("a,y", "#,7"))
    brought.order["classes"] = ["9", "7", "8"]
    test = brought.parts()[0]
    assert (test["classes"].tolist(), test["labels"].dtype) == ([9, 7, 8], np.int64)


def test_a_graph_of_a_fixed_number_of_rows_is_given_whole_runs_of_them(brought: Import) -> None:
    brought.model({"a": (FLOAT, [4, 1])}).csv(ten("a,y", "#,1") + "10,1\n" * 20)
    test, calibration = brought.parts()
    assert (len(test["labels"]), len(calibration["inputs/a"])) == (24, 4)


@pytest.mark.parametrize("wrong", WRONG, ids=[wrong.title for wrong in WRONG])
def test_what_does_not_fit_is_told_by_its_field(brought: Import, wrong: Wrong) -> None:
    brought.model(wrong.inputs, wrong.outputs).ask(**wrong.data)
    if wrong.text or wrong.reason == "NoRows":
        brought.csv(wrong.text)
    else:
        brought.npz(values=np.zeros((10, 4, 4), dtype=np.uint8), y=np.arange(10) % 2)
    brought.refused(wrong.reason, *wrong.words)


def test_an_unknown_label_is_told_with_the_known_ones(brought: Import) -> None:
    brought.model(ONE, THREE).csv(ten("a,y", "#,cat") + "1,cow\n")
    brought.order["classes"] = ["dog", "cat", "bee"]
    brought.refused(
        "InvalidLabel", "'cow' in 1 of 11 rows, in row 11", "it knows 'dog', 'cat', 'bee'", "evaluation.classes"
    )
    brought.order["classes"] = ["dog", "cat"]
    brought.refused("InvalidLabel", "classes names 2 labels", "'probabilities' FP32 [-1,3]")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tusk": 1}, "there is no field tusk; did you mean 'task'?"),
        ({"task": "Ranking"}, "task is"),
        ({"data": {"directory": "d", "format": "TSV", "label": "y"}}, "data.format is"),
        ({"data": {"directory": "d", "format": "NPZ", "label": "y", "images": {"height": 2, "width": 2}}}, "resizes"),
        ({"data": {"directory": "d", "format": "CSV", "label": "y", "test": {"directory": "t"}}}, "data.test is"),
        ({"task": "Regression", "classes": ["a"]}, "classes is"),
    ],
)
def test_an_order_that_makes_no_sense_is_told(brought: Import, change: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError) as caught:
        read_order(json.dumps(brought.order | change))
    assert (str(caught.value.reason), words in caught.value.message) == ("InvalidRun", True), caught.value


def test_what_is_no_model_is_refused(brought: Import) -> None:
    brought.csv(ten("a,y", "1,1")).refused("NoModel", "model.onnx")
    (brought.folder / "model" / "model.onnx").write_bytes(b"\x00 no model")
    brought.refused("NotOnnx", "model.onnx is no ONNX model")


def test_the_process_does_as_its_environment_says_and_reports(brought: Import) -> None:
    brought.model(ONE).csv(ten("a,y", "#,1"))
    log = brought.folder / "log"

    def run(order: str) -> tuple[int, dict[str, Any]]:
        log.write_text("")
        command = [sys.executable, "-m", "modelwright_trainer", "prepare-import", "--termination-log", str(log)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "MODELWRIGHT_EVALUATION": order}
        code = subprocess.run(command, env=environment, check=False, capture_output=True).returncode  # noqa: S603
        return code, json.loads(log.read_text())

    assert run(json.dumps(brought.order)) == (0, {"succeeded": {"rows": {"test": 8, "calibration": 2}}})
    brought.ask(label="z")
    code, report = run(json.dumps(brought.order))
    assert (code, report["failed"]["reason"]) == (64, "NoLabelColumn")
    assert report["failed"]["message"].startswith("spec.evaluation.data.label is 'z'")
    assert run("")[1]["failed"]["reason"] == "InvalidRun"
