"""Reading: the same data in each format is the same to the trainer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Bench, agrees
from modelwright_trainer.read import read_table
from sklearn.datasets import load_wine

SPELLINGS = ["1", "+1", "1.0", "1e0", " 1 ", "01", "1.", ".1e1"]


@pytest.mark.parametrize("kind", ["CSV", "NPZ", "Parquet"])
def test_each_format_makes_the_same_model(bench: Bench, kind: str) -> None:
    wine = load_wine()
    names = [f"x{index}" for index in range(wine.data.shape[1])]
    folder = bench.folder / "data"
    bench.run["data"]["format"] = kind
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
    bench.run["data"]["format"] = "CSV"
    for file in folder.iterdir():
        file.unlink()
    bench.write_csv([*names, "target"], np.column_stack([wine.data, wine.target]).tolist()).train()
    assert (bench.out / "model.onnx").read_bytes() == model


def test_numbers_are_read_however_they_are_written(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[one, index % 2] for index, one in enumerate(SPELLINGS)])
    table = read_table(bench.parse())
    assert table.columns[0].values.tolist() == [1.0] * len(SPELLINGS)


@pytest.mark.parametrize("word", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "  "])
def test_a_missing_number_is_missing_however_it_is_written(bench: Bench, word: str) -> None:
    bench.write_csv(["a", "target"], [[word, 0], ["1.5", 1]])
    assert read_table(bench.parse()).columns[0].missing.tolist() == [True, False]


def test_words_for_missing_are_words_among_text(bench: Bench) -> None:
    bench.write_csv(["country", "target"], [["NA", 0], ["DE", 1], ["", 1]])
    column = read_table(bench.parse()).columns[0]
    assert column.values.tolist() == ["NA", "DE", ""]
    assert column.missing.tolist() == [False, False, True]


def test_quotes_line_breaks_commas_and_a_byte_order_mark_are_read(bench: Bench) -> None:
    bench.write('\ufeff"a ""name""",b,target\r\n"1,\n2",x,0\r\n\r\n"say ""hi""",ü,1\r\n')
    table = read_table(bench.parse())
    assert [column.name for column in table.columns] == ['a "name"', "b"]
    assert table.columns[0].values.tolist() == ["1,\n2", 'say "hi"']
    assert table.rows == 2


def test_an_inch_mark_in_a_value_is_no_open_quote(bench: Bench) -> None:
    bench.write('size,target\n5",0\n6",1\n7",1\n')
    assert read_table(bench.parse()).columns[0].values.tolist() == ['5"', '6"', '7"']


def test_files_are_read_by_name_and_columns_by_name(bench: Bench) -> None:
    bench.write("a,target\n1,0\n", "1.csv").write("target,a\n1,2\n", "2.csv")
    table = read_table(bench.parse())
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
    table = read_table(bench.parse())
    flag, whole, exact, words = (column.values for column in table.columns)
    np.testing.assert_array_equal(flag, [1, np.nan, 0])
    np.testing.assert_array_equal(whole, [1, np.nan, 3])
    np.testing.assert_array_equal(exact, [1, np.nan, 3])
    assert words.tolist() == ["a", "", "b"]
    assert table.unlabelled.tolist() == [False, False, True]


def test_features_of_an_npz_are_flattened(bench: Bench) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    np.savez(bench.folder / "data" / "data.npz", images=images, target=np.array(["a", "b", "a"]))
    bench.run["data"]["format"] = "NPZ"
    table = read_table(bench.parse())
    assert [column.name for column in table.columns][:2] == ["x0", "x1"]
    np.testing.assert_array_equal([column.values[2] for column in table.columns], images[2].ravel())
    assert table.labels.tolist() == ["a", "b", "a"]
    assert table.single_input
