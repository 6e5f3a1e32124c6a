"""Reading: the same data in each format is the same to the trainer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Bench, agrees, refused
from modelwright_trainer.data import read_data
from modelwright_trainer.failure import Reason
from modelwright_trainer.table import Table
from sklearn.datasets import load_wine

SPELLINGS = ["1", "+1", "1.0", "1e0", " 1 ", "01", "1.", ".1e1"]


@pytest.mark.parametrize("kind", ["CSV", "NPZ", "Parquet"])
def test_each_format_makes_the_same_model(bench: Bench, kind: str) -> None:
    wine = load_wine()
    names = [f"x{index}" for index in range(wine.data.shape[1])]
    folder = bench.folder / "data"
    bench.run["data"]["format"] = kind
    if kind != "NPZ":
        bench.matrix()
    if kind == "CSV":
        bench.write_csv([*names, "target"], np.column_stack([wine.data, wine.target]).tolist())
    elif kind == "NPZ":
        np.savez(folder / "data.npz", features=wine.data, target=wine.target)
    else:
        columns = {name: wine.data[:, index] for index, name in enumerate(names)}
        pq.write_table(pa.table(columns | {"target": wine.target}), folder / "data.parquet")
    bench.candidate("RandomForest", n_estimators=5).train()
    agrees(bench)
    model = (bench.out / "model.onnx").read_bytes()
    bench.matrix().run["data"]["format"] = "CSV"
    for file in folder.iterdir():
        file.unlink()
    bench.write_csv([*names, "target"], np.column_stack([wine.data, wine.target]).tolist()).train()
    assert (bench.out / "model.onnx").read_bytes() == model


def test_numbers_are_read_however_they_are_written(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[one, index % 2] for index, one in enumerate(SPELLINGS)])
    table = read_data(bench.parse())
    assert table.columns[0].values.tolist() == [1.0] * len(SPELLINGS)


@pytest.mark.parametrize("word", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "  "])
def test_a_missing_number_is_missing_however_it_is_written(bench: Bench, word: str) -> None:
    bench.write_csv(["a", "target"], [[word, 0], ["1.5", 1]])
    assert read_data(bench.parse()).columns[0].missing.tolist() == [True, False]


def test_words_for_missing_are_words_among_text(bench: Bench) -> None:
    bench.write_csv(["country", "target"], [["NA", 0], ["DE", 1], ["", 1]])
    column = read_data(bench.parse()).columns[0]
    assert column.values.tolist() == ["NA", "DE", ""]
    assert column.missing.tolist() == [False, False, True]


def test_quotes_line_breaks_commas_and_a_byte_order_mark_are_read(bench: Bench) -> None:
    bench.write('\ufeff"a ""name""",b,target\r\n"1,\n2",x,0\r\n\r\n"say ""hi""",ü,1\r\n')
    table = read_data(bench.parse())
    assert [column.name for column in table.columns] == ['a "name"', "b"]
    assert table.columns[0].values.tolist() == ["1,\n2", 'say "hi"']
    assert table.rows == 2


def test_an_inch_mark_in_a_value_is_no_open_quote(bench: Bench) -> None:
    bench.write('size,target\n5",0\n6",1\n7",1\n')
    assert read_data(bench.parse()).columns[0].values.tolist() == ['5"', '6"', '7"']


def test_files_are_read_by_name_and_columns_by_name(bench: Bench) -> None:
    bench.write("a,target\n1,0\n", "1.csv").write("target,a\n1,2\n", "2.csv")
    table = read_data(bench.parse())
    assert table.columns[0].values.tolist() == [1.0, 2.0]
    assert table.labels.tolist() == [0, 1]
    assert table.files == (("1.csv", 1), ("2.csv", 1))


def test_types_of_parquet_become_numbers_and_text(bench: Bench) -> None:
    columns = {
        "flag": pa.array([True, None, False]),
        "whole": pa.array([1, None, 3], pa.int8()),
        "exact": pa.array([1, None, 3], pa.decimal128(6, 2)),
        "words": pa.array(["a", None, "b"]).dictionary_encode(),
        "target": pa.array(["x", "y", None]),
    }
    pq.write_table(pa.table(columns), bench.folder / "data" / "data.parquet")
    bench.run["data"]["format"] = "Parquet"
    table = read_data(bench.parse())
    flag, whole, exact, words = (column.values for column in table.columns)
    np.testing.assert_array_equal(flag, [1, np.nan, 0])
    np.testing.assert_array_equal(whole, [1, np.nan, 3])
    np.testing.assert_array_equal(exact, [1, np.nan, 3])
    assert words.tolist() == ["a", "", "b"]
    assert table.unlabelled.tolist() == [False, False, True]


def frame(columns: dict[str, Any], index: list[Any]) -> pa.Table:
    """Return a table as pandas writes a data frame with this index."""
    words = json.dumps({"index_columns": index, "columns": [{"name": name} for name in columns]})
    return pa.table(columns).replace_schema_metadata({"pandas": words})


def write_parquet(bench: Bench, table: pa.Table, file: str = "data.parquet") -> None:
    pq.write_table(table, bench.folder / "data" / file)
    bench.run["data"]["format"] = "Parquet"


NOISE: dict[str, Any] = {"a": [0.5, 0.25, 0.75, 1.0] * 6, "target": [0] * 12 + [1] * 12}
ROWS = list(range(24))
RANGE = {"kind": "range", "name": None, "start": 0, "stop": 24, "step": 1}


@pytest.mark.parametrize(
    ("columns", "index", "left_out"),
    [
        (NOISE, [RANGE], ()),
        (NOISE | {"__index_level_0__": ROWS}, ["__index_level_0__"], ("__index_level_0__",)),
        (NOISE | {"id": ROWS}, ["id"], ("id",)),
        (NOISE | {"id": ROWS, "__index_level_1__": ROWS}, ["id", "__index_level_1__"], ("id", "__index_level_1__")),
        ({"when": ROWS} | NOISE, ["when"], ("when",)),
        # What was written from a file that was written with its index.
        ({"Unnamed: 0": ROWS} | NOISE, [RANGE], ("Unnamed: 0",)),
        # What lost pandas' words on its way.
        (NOISE | {"__index_level_0__": ROWS}, None, ("__index_level_0__",)),
        # What only looks like one.
        (NOISE | {"Unnamed: 0": ROWS}, [RANGE], ()),
        (NOISE | {"index": ROWS}, [RANGE], ()),
        (NOISE | {"id": ROWS}, "no list", ()),
    ],
)
def test_the_index_of_a_data_frame_is_no_feature(
    bench: Bench, columns: dict[str, Any], index: Any, left_out: tuple[str, ...]
) -> None:
    write_parquet(bench, pa.table(columns) if index is None else frame(columns, index))
    table = read_data(bench.parse())
    assert table.left_out == left_out
    assert [column.name for column in table.columns] == [
        name for name in columns if name != "target" and name not in left_out
    ]
    outcome = bench.train()
    told = [words for words in outcome.warnings if words.startswith("left out as an index: ")]
    assert len(told) == bool(left_out)
    assert all(repr(name) in told[0] for name in left_out)


@pytest.mark.parametrize("words", [b"{", b"[]", b"\xff", b'{"index_columns": null}', b'{"index_columns": {"a": 1}}'])
def test_words_of_pandas_that_are_none_are_no_index(bench: Bench, words: bytes) -> None:
    write_parquet(bench, pa.table(NOISE).replace_schema_metadata({b"pandas": words}))
    assert read_data(bench.parse()).left_out == ()


def test_an_index_that_the_run_names_is_data(bench: Bench) -> None:
    columns = NOISE | {"id": ROWS, "level": ROWS}
    write_parquet(bench, frame(columns, ["id", "level", "target"]))
    bench.run["preprocess"] = [{"scale": {"method": "Standard", "columns": ["level"]}}]
    bench.run["checks"] = {"columns": [{"name": "id", "type": "Integer"}]}
    table = read_data(bench.parse())
    assert ([column.name for column in table.columns], table.left_out) == (["a", "id", "level"], ())
    assert table.labels.tolist() == NOISE["target"]
    del bench.run["preprocess"], bench.run["checks"]
    assert read_data(bench.parse()).left_out == ("id", "level")


def test_a_part_with_an_index_goes_with_one_without(bench: Bench) -> None:
    write_parquet(bench, frame(NOISE, [RANGE]), "1.parquet")
    write_parquet(bench, frame(NOISE | {"__index_level_0__": ROWS}, ["__index_level_0__"]), "2.parquet")
    table = read_data(bench.parse())
    assert ([column.name for column in table.columns], table.rows) == (["a"], 48)


def test_nothing_but_an_index_is_refused_with_its_name(bench: Bench) -> None:
    write_parquet(bench, frame({"id": ROWS, "target": NOISE["target"]}, ["id"]))
    refusal = bench.refusal()
    assert refusal.reason is Reason.NO_FEATURES
    assert "left out as an index: id" in refusal.message


@pytest.mark.parametrize("names", ["", '""', "Unnamed: 0", "Unnamed: 0.1,Unnamed: 0", ",Unnamed: 0", ","])
def test_first_columns_without_a_name_are_an_index(bench: Bench, names: str) -> None:
    count = names.count(",") + 1
    rows = [f"{','.join([str(row)] * count)},{row % 3},{int(row > 11)}" for row in ROWS]
    bench.write(f"{names},a,target\n" + "\n".join(rows) + "\n")
    table = read_data(bench.parse())
    assert [column.name for column in table.columns] == ["a"]
    assert table.columns[0].values.tolist() == [row % 3 for row in ROWS]
    assert table.left_out
    assert any(words.startswith("left out as an index: ") for words in bench.train().warnings)


def test_a_first_column_that_the_run_names_is_data(bench: Bench) -> None:
    bench.write("Unnamed: 0,a,target\n7,1,0\n8,2,1\n")
    bench.run["checks"] = {"columns": [{"name": "Unnamed: 0", "min": "0"}]}
    assert [column.name for column in read_data(bench.parse()).columns] == ["Unnamed: 0", "a"]


EMPTY = pa.array([None] * 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["x", None, "z"]), ["", "", "", "x", "", "z"]),
        (pa.array(["x", None, "z"], pa.string_view()), ["", "", "", "x", "", "z"]),
        (pa.array(["x", None, "z"]).dictionary_encode(), ["", "", "", "x", "", "z"]),
        (pa.array([1, None, 3]), [None, None, None, 1, None, 3]),
        (pa.array([1.5, None, 3], pa.float32()), [None, None, None, 1.5, None, 3]),
        (pa.array([True, None, False]), [None, None, None, 1, None, 0]),
        (pa.array([1, None, 3], pa.decimal128(6, 2)), [None, None, None, 1, None, 3]),
        (EMPTY, [None] * 6),
    ],
)
def test_a_part_without_values_has_the_type_of_the_others(bench: Bench, values: pa.Array, expected: list[Any]) -> None:
    target = pa.array([0, 1, 0])
    write_parquet(bench, pa.table({"c": EMPTY, "target": target}), "1.parquet")
    write_parquet(bench, pa.table({"c": values, "target": target}), "2.parquet")
    column = read_data(bench.parse()).columns[0]
    found = column.values.tolist()
    assert [None if one != one else one for one in found] == expected  # noqa: PLR0124 - NaN is not itself


def test_a_column_of_text_in_one_part_and_numbers_in_another_is_refused(bench: Bench) -> None:
    for file, values in (("1", [None, None]), ("2", ["x", None]), ("3", [1, 2])):
        write_parquet(bench, pa.table({"c": pa.array(values), "target": [0, 1]}), f"{file}.parquet")
    refusal = bench.refusal()
    assert "column 'c' is text in 2.parquet and numbers in 3.parquet" in refusal.message


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.list_(pa.int64())])
def test_what_is_neither_a_number_nor_text_is_refused_by_its_name(bench: Bench, kind: pa.DataType) -> None:
    write_parquet(bench, pa.table({"when": pa.array([None, None], kind), "target": [0, 1]}))
    refusal = bench.refusal()
    assert refusal.reason is Reason.UNSUPPORTED_COLUMN
    assert f"column 'when' is of type {str(kind)[:4]}" in refusal.message


@pytest.mark.parametrize("kind", ["CSV", "Parquet", "NPZ"])
@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "nan", "null", "NULL", " NA ", "  ", ""])
def test_what_marks_a_missing_number_marks_a_missing_label(bench: Bench, kind: str, word: str) -> None:
    labels = [word, "yes", "no", "yes"] * 5
    if kind == "CSV":
        bench.write_csv(["a", "target"], [[index, label] for index, label in enumerate(labels)])
    elif kind == "Parquet":
        write_parquet(bench, pa.table({"a": ROWS[:20], "target": labels}))
    else:
        np.savez(bench.folder / "data" / "data.npz", a=np.ones((20, 1)), target=np.array(labels))
        bench.run["data"]["format"] = "NPZ"
    refusal = bench.refusal()
    assert refusal.reason is Reason.MISSING_LABEL
    assert "is missing in 5 of 20 rows, in rows 1, 5, 9, 13, 17" in refusal.message
    assert "NA, N/A, NaN" in refusal.message


def test_a_label_that_a_check_says_is_text_may_be_called_na(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[index % 2, ("NA", "EU")[index % 2]] for index in range(40)])
    bench.run["checks"] = {"columns": [{"name": "target", "type": "Text"}]}
    bench.train()
    assert set(bench.evaluation()["labels"].tolist()) == {"NA", "EU"}


@pytest.mark.parametrize("kind", ["CSV", "Parquet", "NPZ"])
def test_labels_beyond_the_digits_of_fp64_stay_apart(bench: Bench, kind: str) -> None:
    labels = [2**53 + 1 + index % 2 for index in range(40)]
    if kind == "CSV":
        bench.write_csv(["a", "target"], [[index % 2, label] for index, label in enumerate(labels)])
    elif kind == "Parquet":
        write_parquet(bench, pa.table({"a": [index % 2 for index in range(40)], "target": labels}))
    else:
        np.savez(bench.folder / "data" / "data.npz", a=np.arange(40).reshape(40, 1) % 2, target=np.array(labels))
        bench.run["data"]["format"] = "NPZ"
    bench.train()
    agrees(bench)
    assert set(bench.served()["label"].tolist()) == {2**53 + 1, 2**53 + 2}


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_a_missing_label_among_large_ones_is_missing(bench: Bench, kind: str) -> None:
    labels = [2**60 + 1, None, 2**60 + 3]
    if kind == "CSV":
        bench.write_csv(["a", "target"], [[1, "" if label is None else label] for label in labels])
    else:
        write_parquet(bench, pa.table({"a": [1, 1, 1], "target": pa.array(labels)}))
    table = read_data(bench.parse())
    assert table.unlabelled.tolist() == [False, True, False]
    assert table.labels[[0, 2]].tolist() == [2**60 + 1, 2**60 + 3]


def test_labels_that_int64_does_not_hold_are_refused(bench: Bench) -> None:
    write_parquet(bench, pa.table({"a": [1, 2], "target": pa.array([1, 2**64 - 1], pa.uint64())}))
    refusal = bench.refusal()
    assert refusal.reason is Reason.INVALID_LABEL
    assert "such as 18446744073709551615 in row 2" in refusal.message


def test_features_of_an_npz_are_flattened(bench: Bench) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    np.savez(bench.folder / "data" / "data.npz", images=images, target=np.array(["a", "b", "a"]))
    bench.run["data"]["format"] = "NPZ"
    table = read_data(bench.parse())
    assert [column.name for column in table.columns][:2] == ["x0", "x1"]
    np.testing.assert_array_equal([column.values[2] for column in table.columns], images[2].ravel())
    assert table.labels.tolist() == ["a", "b", "a"]
    assert isinstance(table, Table)
    assert table.single_input


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_empty_line_is_a_gap_where_there_is_one_column_and_no_row_at_the_end(bench: Bench, end: str) -> None:
    """A series that closes its gaps is another one."""
    bench.regression().candidate("LinearRegression").run["data"]["window"] = {"past": 2}
    steps = [str(step % 7) for step in range(40)]
    bench.write(end.join(["target", *steps, *[""] * 3]))
    assert sum(bench.train().rows.values()) == 40 - 3 * 2
    steps[20] = ""
    bench.write(end.join(["target", *steps, *[""] * 3]))
    refused(bench, "MissingValues", "column 'target' misses 1 of 40 values, in row 21")
