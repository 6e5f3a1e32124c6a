"""Bad arrays, sequences, texts, windows and test sets are refused by words that name what, where, and what to do."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import refused
from networks import TOKENS, WORDS, layer, softmax
from PIL import Image

if TYPE_CHECKING:
    from conftest import Bench

LABELS = np.arange(40) % 2
ARRAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str, list[str]]] = {
    "images of floats": (
        {"images": {}},
        {"pixels": np.zeros((40, 3, 3)), "target": LABELS},
        "UnreadableData",
        ["array 'pixels' must be images, UINT8", "is float64 of shape (40, 3, 3)", "whole numbers from 0 to 255"],
    ),
    "images without a width": (
        {"images": {}},
        {"pixels": np.zeros((40, 9), np.uint8), "target": LABELS},
        "UnreadableData",
        ["(rows, H, W)", "of shape (40, 9)"],
    ),
    "images of two channels": (
        {"images": {}},
        {"pixels": np.zeros((40, 3, 3, 2), np.uint8), "target": LABELS},
        "UnreadableData",
        ["has images of 2 channels, and 1, 3 or 4 can be taken"],
    ),
    "images of other channels": (
        {"images": {"channels": 3}},
        {"pixels": np.zeros((40, 3, 3, 1), np.uint8), "target": LABELS},
        "UnreadableData",
        ["has images of 1 channels, and data.images.channels is 3"],
    ),
    "no image": (
        {"images": {}},
        {"pixels": np.zeros((0, 3, 3), np.uint8), "target": LABELS[:0]},
        "NoRows",
        ["data.npz holds no image"],
    ),
    "two arrays of images": (
        {"images": {}},
        {"a": np.zeros((40, 3, 3), np.uint8), "b": np.zeros((40, 3, 3), np.uint8), "target": LABELS},
        "UnreadableData",
        ["two arrays, images and the label; it holds target, a, b"],
    ),
    "sequences without steps": (
        {"sequences": {}},
        {"a": np.zeros(40), "target": LABELS},
        "UnreadableData",
        ["must be sequences of shape (rows, T, channels), and is of shape (40,)"],
    ),
    "lengths beyond T": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.where(np.arange(40) == 6, 6, 5), "target": LABELS},
        "UnreadableData",
        [
            "array 'lengths' has 1 values outside 0 to 5, the T of 'a', such as 6 in row 7: a length says how many",
            "write those that are there, or make T longer",
        ],
    ),
    "lengths below 0": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.where(np.arange(40) == 6, -1, 5), "target": LABELS},
        "UnreadableData",
        ["outside 0 to 5", "such as -1 in row 7"],
    ),
    "lengths that are no whole numbers": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.ones(40), "target": LABELS},
        "UnreadableData",
        ["array 'lengths' is float64 of shape (40,), such as 1.0", "expected whole numbers of shape (rows,)", "int64"],
    ),
    "lengths that are parts of steps": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.where(np.arange(40) == 6, 2.5, 5), "target": LABELS},
        "UnreadableData",
        ["array 'lengths' is float64", "such as 2.5 in row 7", "expected whole numbers", "int64"],
    ),
    "lengths of another shape": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.ones((40, 1), int), "target": LABELS},
        "UnreadableData",
        ["array 'lengths' is int64 of shape (40, 1), such as 1", "expected whole numbers of shape (rows,)"],
    ),
    "lengths of truths": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.ones(40, bool), "target": LABELS},
        "UnreadableData",
        ["array 'lengths' is bool", "expected whole numbers"],
    ),
    "lengths of nothing": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.zeros(40, int), "target": LABELS},
        "NoRows",
        ["array 'lengths' is 0 in all 40 rows: there must be a step in one of them to learn from"],
    ),
    "room for no step": (
        {"sequences": {}},
        {"a": np.zeros((40, 0, 1)), "lengths": np.zeros(40, int), "target": LABELS},
        "UnreadableData",
        ["array 'a' must be sequences of shape (rows, T, channels), and is of shape (40, 0, 1)", "write the steps"],
    ),
    "lengths of other rows": (
        {"sequences": {}},
        {"a": np.zeros((40, 5, 1)), "lengths": np.ones(39, int), "target": LABELS},
        "UnreadableData",
        ["data.npz has arrays of different rows: a 40, lengths 39, target 40", "one of each for every row"],
    ),
    "sequences longer than asked": (
        {"sequences": {"maxLength": 4}},
        {"a": np.zeros((40, 6, 1)), "lengths": np.where(np.arange(40) == 6, 5, 4), "target": LABELS},
        "UnreadableData",
        ["data.sequences.maxLength is 4, and 1 sequences are longer, up to 5 steps, in row 7"],
    ),
    "sequences all longer than asked": (
        {"sequences": {"maxLength": 4}},
        {"a": np.zeros((40, 6, 1)), "target": LABELS},
        "UnreadableData",
        ["40 sequences are longer, up to 6 steps"],
    ),
    "sequences with gaps": (
        {"sequences": {}},
        {"a": np.where(np.arange(40) == 6, np.nan, 1.0)[:, None, None], "target": LABELS},
        "NotFinite",
        ["1 sequences have values that are missing or that FP32 cannot hold, in row 7"],
    ),
    "sequences beyond FP32": (
        {"sequences": {}},
        {"a": np.where(np.arange(40) == 6, 1e39, 1.0)[:, None, None], "target": LABELS},
        "NotFinite",
        ["in row 7"],
    ),
    "no array but the label": ({"images": {}}, {"target": LABELS}, "UnreadableData", ["must hold two arrays"]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_such_rows_are_refused(bench: Bench, name: str) -> None:
    data, arrays, reason, words = ARRAYS[name]
    bench.run["data"] |= {"format": "NPZ"} | data
    np.savez(bench.folder / "data" / "data.npz", **arrays)
    refused(bench, reason, *words)


LONG = [[f"s{index // 4}", index % 4, index / 7, index // 4 % 2] for index in range(80)]
NAMES = ["series", "step", "a", "target"]


def changed(row: int, column: int, value: object) -> list[list[Any]]:
    found = [list(one) for one in LONG]
    found[row][column] = value
    return found


TABLES: dict[str, tuple[list[list[Any]], dict[str, Any], str, list[str]]] = {
    "no such id": (
        LONG,
        {"id": "serie", "order": "step"},
        "NoFeatures",
        ["data.sequences.id is 'serie'", "did you mean 'series'?"],
    ),
    "no such order": (
        LONG,
        {"id": "series", "order": "x"},
        "NoFeatures",
        ["data.sequences.order is 'x'", "there are series, step, a"],
    ),
    "two labels": (changed(6, 3, 0), {}, "InvalidLabel", ["'target' differs within the sequence 's1', in row"]),
    "a step twice": (
        changed(6, 1, 1),
        {},
        "UnreadableData",
        ["sequence 's1' has the step 1 twice in column 'step', in rows 6, 7"],
    ),
    "a step left out": (
        changed(7, 1, 9),
        {},
        "UnreadableData",
        ["sequence 's1' has no step between 2 and 9", "rows 7, 8"],
    ),
    "steps that are no numbers": (changed(6, 1, "x"), {}, "TextColumn", ["column 'step'", "is text"]),
    "steps that are too large": (
        changed(6, 1, 2**60),
        {},
        "UnreadableData",
        ["has 1 values that are beyond 2^53, such as 1.15292e+18 in row 7"],
    ),
    "steps that are no whole numbers": (
        changed(6, 1, 1.5),
        {},
        "UnreadableData",
        ["no whole numbers, such as 1.5 in row 7"],
    ),
    "a gap": (changed(6, 2, ""), {}, "MissingValues", ["column 'a' misses 1 values, in row 7"]),
    "no id": (changed(6, 0, ""), {}, "MissingValues", ["column 'series' misses 1 values, in row 7"]),
    "no label": (changed(6, 3, ""), {}, "MissingLabel", ["1 rows have no label, in row 7"]),
    "text": (changed(6, 2, "x"), {}, "TextColumn", ["column 'a'", "is text"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_long_tables_that_are_no_sequences_are_refused(bench: Bench, name: str) -> None:
    rows, sequences, reason, words = TABLES[name]
    bench.write_csv(NAMES, rows).run["data"]["sequences"] = {"id": "series", "order": "step"} | sequences
    refused(bench, reason, *words)


def test_a_long_table_of_nothing_else_is_refused(bench: Bench) -> None:
    bench.write_csv(["series", "step", "target"], [[*row[:2], row[3]] for row in LONG])
    bench.run["data"]["sequences"] = {"id": "series", "order": "step"}
    refused(bench, "NoFeatures", "no column but the label, data.sequences.id and order")


LISTS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "numbers": (
        {"a": [1.0] * 40},
        "UnsupportedColumn",
        ["column 'a' is of type double", "lists of numbers, one channel"],
    ),
    "texts": ({"a": [["x"]] * 40}, "UnsupportedColumn", ["column 'a' is of type list"]),
    "a missing list": (
        {"a": [[1.0]] * 6 + [None] + [[1.0]] * 33},
        "MissingValues",
        ["a missing list or number in row 7"],
    ),
    "a missing number": ({"a": [[1.0]] * 6 + [[None]] + [[1.0]] * 33}, "MissingValues", ["column 'a' has", "in row 7"]),
    "channels of other lengths": (
        {"a": [[1.0, 2.0]] * 40, "b": [[1.0, 2.0]] * 6 + [[1.0]] + [[1.0, 2.0]] * 33},
        "UnreadableData",
        ["columns 'a' and 'b' have lists of 2 and 1 numbers in row 7"],
    ),
    "steps of other widths": (
        {"a": [[[1.0, 2.0]]] * 6 + [[[1.0]]] + [[[1.0, 2.0]]] * 33},
        "UnreadableData",
        ["column 'a' has steps of different widths: 1, 2"],
    ),
    "steps of other widths in one row": (
        {"a": [[[1.0, 2.0]]] * 6 + [[[1.0], [1.0, 2.0]]] + [[[1.0, 2.0]]] * 33},
        "MissingValues",
        ["steps of different widths, or a missing list or number in row 7"],
    ),
    "two nested columns": (
        {"a": [[[1.0]]] * 40, "b": [[[1.0]]] * 40},
        "UnsupportedColumn",
        ["one column, of lists of lists"],
    ),
    "nothing": ({}, "NoFeatures", ["no column but the label 'target'"]),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_are_no_sequences_are_refused(bench: Bench, name: str) -> None:
    columns, reason, words = LISTS[name]
    pq.write_table(pa.table(columns | {"target": LABELS.tolist()}), bench.folder / "data" / "data.parquet")
    bench.run["data"] |= {"format": "Parquet", "sequences": {}}
    refused(bench, reason, *words)


def test_sequences_that_are_all_empty_are_refused(bench: Bench) -> None:
    empty = pa.array([[]] * 40, pa.list_(pa.float32()))
    pq.write_table(pa.table({"a": empty, "target": LABELS.tolist()}), bench.folder / "data" / "data.parquet")
    bench.run["data"] |= {"format": "Parquet", "sequences": {}}
    refused(bench, "NoRows", "all 40 sequences are empty")


def test_a_text_with_a_byte_0_is_refused_wherever_it_is(bench: Bench) -> None:
    where = "has 1 texts with a NUL (a byte 0) in row 4, which no text has"
    words = ["word"] * 40
    for value in ("a\0b", "a\0", "\0"):
        words[3] = value
        rows = [[index, one, index % 2] for index, one in enumerate(words)]
        bench.run["data"] = {name: one for name, one in bench.run["data"].items() if name != "text"}
        bench.run["preprocess"] = [{"oneHot": {"columns": ["word"]}}]
        bench.write_csv(["a", "word", "target"], rows)
        refused(bench, "UnreadableData", "column 'word'", where)
        bench.run["preprocess"] = []
        bench.write_csv(["a", "target"], [[index, one] for index, one in enumerate(words)])
        refused(bench, "UnreadableData", "data.label 'target'", where)
        bench.run["data"]["text"] = {"column": "word"}
        bench.run["candidates"] = [
            {"name": "net", "layers": [TOKENS, WORDS, layer("p", "GlobalAveragePooling1D"), softmax(2)]}
        ]
        bench.write_csv(["word", "target"], [[one, index % 2] for index, one in enumerate(words)])
        refused(bench, "UnreadableData", "column 'word'", where)
        bench.candidate("DecisionTree")
    labels = np.array(["a", "a\0b"])[LABELS]
    del bench.run["data"]["text"]
    (bench.folder / "data" / "data.csv").unlink()
    np.savez(bench.folder / "data" / "data.npz", x=np.ones((40, 2)), target=labels)
    bench.run["data"]["format"] = "NPZ"
    refused(bench, "UnreadableData", "data.label 'target' has 20 texts with a NUL")


def test_a_name_that_is_no_text_is_refused(bench: Bench) -> None:
    picture = io.BytesIO()
    Image.new("L", (2, 2)).save(picture, "PNG")
    folder = os.fsencode(bench.folder / "data")
    os.mkdir(folder + b"/caf\xe9")  # noqa: PTH102 - a name as bytes
    for index in range(4):
        (bench.folder / "data" / "b").mkdir(exist_ok=True)
        for inner in (b"caf\xe9", b"b"):
            with open(folder + b"/%s/%d.png" % (inner, index), "wb") as file:  # noqa: PTH123
                file.write(picture.getvalue())
    bench.run["data"]["format"] = "Images"
    refused(bench, "UnreadableData", "a file has the name b'caf\\xe9/0.png', which is not UTF-8: rename it")
    with tarfile.open(bench.folder / "data.tar", "w", encoding="utf-8", errors="surrogateescape") as archive:
        archive.add(bench.folder / "data", ".")
    shutil.rmtree(bench.folder / "data")
    (bench.folder / "data").mkdir()
    (bench.folder / "data.tar").rename(bench.folder / "data" / "data.tar")
    refused(bench, "UnreadableData", "a file has the name b'caf\\xe9", "rename it")


def test_a_file_that_is_no_picture_is_told_the_same_each_time(bench: Bench) -> None:
    (bench.folder / "data" / "x").mkdir()
    (bench.folder / "data" / "x" / "1.png").write_bytes(b"<html>")
    bench.run["data"]["format"] = "Images"
    refused(bench, "UnreadableData", "x/1.png is no PNG or JPEG that can be read: cannot identify image file; mend it")


def test_numbers_that_are_too_large_for_labels_are_not_called_fractions(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[index, 2**64 + index % 2] for index in range(40)])
    refused(bench, "InvalidLabel", "has 40 values that INT64", "1.84467e+19", "a column check of type Text")


def test_lists_without_a_label_are_refused(bench: Bench) -> None:
    pq.write_table(pa.table({"a": [[1.0]] * 9, "targets": [1] * 9}), bench.folder / "data" / "data.parquet")
    bench.run["data"] |= {"format": "Parquet", "sequences": {}}
    refused(bench, "NoLabelColumn", "data.label is 'target'", "did you mean 'targets'?")


def test_texts_that_are_none_are_refused(bench: Bench) -> None:
    rows = [[index, "word", index % 2] for index in range(40)]
    bench.write_csv(["number", "sentence", "target"], rows).run["data"]["text"] = {}
    bench.run["candidates"] = [
        {"name": "net", "layers": [TOKENS, WORDS, layer("p", "GlobalAveragePooling1D"), softmax(2)]}
    ]
    refused(bench, "NoFeatures", "there are 2 columns besides the label, number, sentence: give data.text.column")
    bench.run["data"]["text"] = {"column": "sentense"}
    refused(bench, "NoFeatures", "data.text.column is 'sentense'", "did you mean 'sentence'?")
    pq.write_table(pa.table({"a": [1.0] * 40, "target": LABELS.tolist()}), bench.folder / "data" / "data.parquet")
    (bench.folder / "data" / "data.csv").unlink()
    bench.run["data"] |= {"format": "Parquet", "text": {}}
    refused(bench, "UnsupportedColumn", "data.text.column 'a' holds numbers")


def test_series_that_make_no_windows_are_refused(bench: Bench) -> None:
    bench.regression().run["data"]["window"] = {"past": 8, "horizon": 2}
    series = [[float(index), index % 7] for index in range(40)]
    bench.write_csv(["target", "a"], series[:9])
    refused(bench, "TooFewRows", "data has 9 rows, and a window takes 10 (data.window.past and horizon)")
    bench.write_csv(["target", "a"], series[:30])
    refused(
        bench,
        "TooFewRows",
        "the validation part has 6 of 30 steps, and a window takes 10",
        "a smaller data.window.past",
    )
    bench.write_csv(["target", "a"], [*series[:6], [6.0, ""], *series[7:]])
    refused(bench, "MissingValues", "column 'a' misses 1 of 40 values, in row 7", "no gaps")
    bench.write_csv(["target", "a"], [*series[:6], ["", 1], *series[7:]])
    refused(bench, "MissingValues", "column 'target' misses 1 of 40 values, in row 7")
    bench.write_csv(["target", "a"], [["x", 1], *series])
    refused(bench, "InvalidLabel", "is text", "a Regression needs numbers")


ROWS = [[index, "xy"[index % 2], index % 2] for index in range(40)]
TESTS: dict[str, tuple[str, str, list[str]]] = {
    "a new label": (
        "a,b,target\n1,x,0\n2,y,7\n",
        "InvalidLabel",
        ["data.test has labels that the training data does not have: 7 in 1", "has 0, 1"],
    ),
    "other columns": ("a,c,target\n1,x,0\n", "UnreadableData", ["has the columns a, c, target"]),
    "text for numbers": ("a,b,target\nlow,x,0\n", "TextColumn", ["column 'a'", "low"]),
    "no label": ("a,b,target\n1,x,\n", "MissingLabel", ["missing in 1 of 41 rows, in row 1 of data.test's data.csv"]),
}


@pytest.mark.parametrize("name", TESTS)
def test_a_test_set_of_ones_own_that_does_not_fit_is_refused(bench: Bench, name: str) -> None:
    content, reason, words = TESTS[name]
    bench.write_csv(["a", "b", "target"], ROWS).run["data"]["test"] = {"directory": str(bench.folder / "test")}
    del bench.run["split"]["test"]
    bench.run["preprocess"] = [{"oneHot": {"columns": ["b"]}}]
    refused(bench, "NoData", "data.test.directory", "is not there")
    (bench.folder / "test").mkdir()
    refused(bench, "NoData", "data.test.directory", "holds no file; expected CSV")
    (bench.folder / "test" / "data.csv").write_text(content)
    refused(bench, reason, *words)


def test_a_test_set_of_other_arrays_is_refused(bench: Bench) -> None:
    bench.run["data"] |= {"format": "NPZ", "images": {}, "test": {"directory": str(bench.folder / "test")}}
    del bench.run["split"]["test"]
    (bench.folder / "test").mkdir()
    np.savez(bench.folder / "data" / "data.npz", images=np.zeros((40, 3, 3), np.uint8), target=LABELS)
    np.savez(bench.folder / "test" / "data.npz", images=np.zeros((4, 3, 4), np.uint8), target=LABELS[:4])
    refused(bench, "UnreadableData", "array 'images' is uint8 of shape (4, 3, 4) in data.test", "(40, 3, 3)")
    np.savez(bench.folder / "test" / "data.npz", pixels=np.zeros((4, 3, 3), np.uint8), target=LABELS[:4])
    refused(bench, "UnreadableData", "array 'images' is missing in data.test")


def test_a_matrix_of_text_and_too_many_columns_are_refused(bench: Bench) -> None:
    bench.write_csv(["a", "city", "target"], ROWS).matrix()
    refused(bench, "TextColumn", "data.inputs is Matrix", "column 'city' is text", "leave data.inputs away")
    names = [f"c{index}" for index in range(257)]
    bench.write_csv([*names, "target"], [[*range(257), index % 2] for index in range(40)])
    del bench.run["data"]["inputs"]
    refused(bench, "TooManyColumns", "there are 257 columns", "at most 256; give data.inputs: Matrix")
    bench.matrix().train()
    bench.write_csv(["label", "target"], [[index, index % 2] for index in range(40)])
    del bench.run["data"]["inputs"]
    refused(bench, "UnsupportedColumn", "column 'label' has the name of an output of the model", "data.inputs: Matrix")
