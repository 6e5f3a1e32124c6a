"""Networks that do not go with their data: each ends with its reason and a message that names what is wrong.

Nothing here loads TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from modelwright_trainer.backends import build_estimators
from modelwright_trainer.backends.keras.choices import LOSSES, build_layers_json
from modelwright_trainer.backends.keras.network import Input
from modelwright_trainer.config import Task
from modelwright_trainer.failure import RunError
from modelwright_trainer.material import Kind, Material, Part
from networks import TOKENS, WORDS, layer, network, softmax

if TYPE_CHECKING:
    from conftest import Bench


def material(inputs: dict[str, Any], truth: list[Any], kind: Kind, classes: list[Any], **more: Any) -> Material:
    part = Part(inputs, np.array(truth))
    return Material(Task.CLASSIFICATION, kind, part, part, np.array(classes), **more)


TWO = [layer("a", "Dense", units=4), softmax(2)]
NUMBERS = {"features": np.ones((4, 3), np.float32)}
SENTENCES = {"text": np.array([["good film"], ["a bad film"], ["!!"], ["Good"]], object)}
DATA_CASES: dict[str, tuple[str, list[str], list[dict[str, Any]], Material, dict[str, Any]]] = {
    "missing values": (
        "MissingValues",
        ["column 'age' misses values", "impute"],
        TWO,
        material(NUMBERS, [0, 1, 0, 1], Kind.TABLE, ["x", "y"], may_miss=("age",)),
        {},
    ),
    "numbers that are infinite": (
        "MissingValues",
        ["features has 1 numbers that are NaN or infinite"],
        TWO,
        material({"features": np.array([[1.0], [np.inf]], np.float32)}, [0, 1], Kind.TABLE, ["x", "y"]),
        {},
    ),
    "more classes than units": (
        "InvalidNetwork",
        ["units of layer 'out' is 2", "3 is needed"],
        TWO,
        material(NUMBERS, [0, 1, 2, 1], Kind.TABLE, ["x", "y", "z"]),
        {},
    ),
    "a kernel larger than the images that came": (
        "InvalidNetwork",
        ["kernel_size of layer 'c' is [3, 3]", "does not fit into 2"],
        [layer("c", "Conv2D", filters=1, kernel_size=3), layer("f", "Flatten"), softmax(2)],
        material({"images": np.zeros((4, 2, 2, 1), np.uint8)}, [0, 1, 0, 1], Kind.IMAGES, ["x", "y"]),
        {},
    ),
    "lengths behind a convolution": (
        "InvalidNetwork",
        ["would take padding for data"],
        [layer("c", "Conv1D", filters=1, kernel_size=2), layer("f", "Flatten"), softmax(2)],
        material(
            {"sequences": np.zeros((4, 5, 2), np.float32), "lengths": np.array([1, 2, 5, 5])},
            [0, 1, 0, 1],
            Kind.SEQUENCES,
            ["x", "y"],
        ),
        {},
    ),
    "more words than rows of an Embedding": (
        "InvalidNetwork",
        ["input_dim of layer 'words' is 5", "gives 6 tokens (padding, unknown, 4 words)"],
        [
            layer("tokens", "TextVectorization", output_sequence_length=3),
            layer("words", "Embedding", input_dim=5, output_dim=2),
            layer("f", "Flatten"),
            softmax(2),
        ],
        material(SENTENCES, [0, 1, 0, 1], Kind.TEXT, ["x", "y"]),
        {},
    ),
    "no words": (
        "InvalidNetwork",
        ["'tokens'", "finds no word"],
        [TOKENS, WORDS, layer("g", "GlobalAveragePooling1D"), softmax(2)],
        material({"text": np.array([["!"], ["ÄÖ"]], object)}, [0, 1], Kind.TEXT, ["x", "y"]),
        {},
    ),
    "a weight of a label that does not occur": (
        "InvalidParameter",
        ["class_weight of candidate 'only' names the label 'X'", "did you mean 'x'"],
        TWO,
        material(NUMBERS, [0, 1, 0, 1], Kind.TABLE, ["x", "y"]),
        {"parameters": {"class_weight": {"X": 2}}},
    ),
}


@pytest.mark.parametrize("name", DATA_CASES)
def test_data_that_does_not_go_with_the_layers_is_refused_before_training(bench: Bench, name: str) -> None:
    reason, words, layers, given, more = DATA_CASES[name]
    bench.run["candidates"] = [{"name": "only", "layers": layers} | more]
    kind = {Kind.IMAGES: "images", Kind.SEQUENCES: "sequences", Kind.TEXT: "text"}.get(given.kind)
    if kind:
        bench.run["data"] |= {"format": "NPZ" if kind != "text" else "CSV", kind: {}}
    (estimator,) = build_estimators(bench.parse(), 1)
    with pytest.raises(RunError) as caught:
        estimator.check(given)
    assert str(caught.value.reason) == reason, caught.value.message
    for one in words:
        assert one in caught.value.message


def test_texts_without_a_word_are_told(bench: Bench) -> None:
    layers = [TOKENS, WORDS, layer("g", "GlobalAveragePooling1D"), softmax(2)]
    bench.run["candidates"] = [{"name": "only", "layers": layers}]
    bench.run["data"] |= {"format": "CSV", "text": {}}
    (estimator,) = build_estimators(bench.parse(), 1)
    with pytest.warns(UserWarning, match=r"1 of 4 texts of the training part have no token .*, such as '!!'"):
        estimator.check(material(SENTENCES, [0, 1, 0, 1], Kind.TEXT, ["x", "y"]))
    whole = {"text": SENTENCES["text"][:2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.check(material(whole, [0, 1], Kind.TEXT, ["x", "y"]))


def test_weights_that_cannot_fit_into_the_container_are_refused_with_figures() -> None:
    from modelwright_trainer.backends.keras.memory import check_memory  # noqa: PLC0415 - of this test only

    declared = network([layer("wide", "Dense", units=60_000), layer("deep", "Dense", units=60_000), softmax(2)])
    values = declared.follow(Input((3,)))
    given = material(NUMBERS, [0, 1, 0, 1], Kind.TABLE, ["x", "y"])
    with pytest.raises(RunError) as caught:
        check_memory(declared, values, given, 4 * 2**30)
    assert str(caught.value.reason) == "OutOfMemory"
    for words in (
        "3600420002 weights",
        "3600060000 of them in the layer 'deep'",
        "what Adam keeps",
        "may use 4096 MiB",
    ):
        assert words in caught.value.message
    check_memory(declared, values, given, 2**40)


def test_a_candidate_with_layers_is_refused_before_data_is_read_and_without_tensorflow(bench: Bench) -> None:
    bench.run["candidates"] = [{"name": "net", "layers": [layer("c", "Conv2D", filters=1, kernel_size=2), softmax(2)]}]
    code = (
        "import sys; from modelwright_trainer.config import parse_run; "
        "from modelwright_trainer.backends import build_estimators; from modelwright_trainer.failure import RunError\n"
        "try: build_estimators(parse_run(sys.stdin.read()), 1)\n"
        "except RunError as error: print(error.message)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('keras', 'tensorflow')])"
    )
    found = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", code], input=json.dumps(bench.run), capture_output=True, text=True, check=True
    )
    assert "the Conv2D 'c', takes the shape (height, width, channels)" in found.stdout
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_operator_reads_the_table_as_it_is() -> None:
    path = Path(__file__).parents[2] / "runtime" / "contract" / "src" / "layers.json"
    assert json.loads(path.read_text(encoding="utf-8")) == build_layers_json()


def test_variables_to_start_from_are_for_networks(bench: Bench) -> None:
    bench.run["from"] = {"directory": "/nowhere"}
    with pytest.raises(RunError, match="is for candidates with layers"):
        bench.parse()


def test_the_page_names_every_layer_loss_optimizer_schedule_and_callback() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    table = build_layers_json()
    losses = [name for names in LOSSES.values() for name in names]
    for name in [*table["layers"], *losses, *table["optimizers"], *table["schedules"], *table["callbacks"]]:
        assert f"`{name}`" in page, name
