"""Rows that are no rows of a table: sequences, texts and windows are read as they are, and served alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrays import parts_of, rows_of, save
from conftest import Bench, agrees
from modelwright_trainer.data import read_data
from modelwright_trainer.keep import choose_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANDOM = np.random.default_rng(11)


def series(count: int = 40) -> Iterator[tuple[int, list[list[float]]]]:
    """Give labels and sequences of 2 channels and 2 to 6 steps."""
    for index in range(count):
        label = index % 2
        yield label, (RANDOM.normal(size=(2 + index % 5, 2)) + label).round(3).tolist()


def padded(rows: list[list[list[float]]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    lengths = np.array([len(one) for one in rows])
    found = np.zeros((len(rows), max(lengths), 2), dtype=np.float32)
    for index, one in enumerate(rows):
        found[index, : len(one)] = one
    return found, lengths


@pytest.mark.parametrize("kind", ["NPZ", "lists", "nested", "long CSV", "long Parquet"])
def test_sequences_are_the_same_however_they_are_written(bench: Bench, kind: str) -> None:
    labels, rows = zip(*series(), strict=True)
    values, lengths = padded(list(rows))
    folder, data = bench.folder / "data", bench.run["data"]
    data["sequences"] = {}
    if kind == "NPZ":
        noise = values.copy()
        # What is behind the end means nothing, whatever it is.
        noise[np.arange(6)[np.newaxis, :] >= lengths[:, np.newaxis]] = np.nan
        save(bench, steps=noise, lengths=lengths, target=labels)
    elif kind in ("lists", "nested"):
        data["format"] = "Parquet"
        columns = {"a": [[step[0] for step in one] for one in rows], "b": [[step[1] for step in one] for one in rows]}
        table = pa.table(({"steps": list(rows)} if kind == "nested" else columns) | {"target": list(labels)})
        pq.write_table(table, folder / "data.parquet")
    else:
        data["sequences"] = {"id": "series", "order": "step"}
        lines = [
            [f"s{index}", 5 + place, *step, label]
            for index, (label, one) in enumerate(zip(labels, rows, strict=True))
            for place, step in enumerate(one)
        ]
        # Steps may come in any order, and those of one sequence apart; a sequence stands where it begins.
        firsts = [next(line for line in lines if line[0] == f"s{index}") for index in range(len(rows))]
        rest = [line for line in lines if line not in firsts]
        order = [*firsts, *(rest[index] for index in RANDOM.permutation(len(rest)))]
        names = ["series", "step", "a", "b", "target"]
        if kind == "long CSV":
            bench.write_csv(names, order)
        else:
            data["format"] = "Parquet"
            columns = {name: list(values) for name, values in zip(names, zip(*order, strict=True), strict=True)}
            pq.write_table(pa.table(columns), folder / "data.parquet")
    found = rows_of(bench)
    np.testing.assert_array_equal(found.arrays["sequences"], values)
    np.testing.assert_array_equal(found.arrays["lengths"], lengths)
    assert found.arrays["lengths"].dtype == np.int64
    assert found.labels.tolist() == list(labels)
    assert found.dimensions("sequences") == ("time", 2)
    assert found.dimensions("lengths") == ()
    data["sequences"]["maxLength"] = 9
    assert rows_of(bench).arrays["sequences"].shape == (40, 9, 2)


def test_sequences_of_one_length_have_no_lengths(bench: Bench) -> None:
    values = RANDOM.normal(size=(60, 5, 2)).astype(np.float32)
    save(bench, steps=values, target=(values[:, 0, 0] > 0).astype(int)).run["data"]["sequences"] = {}
    assert list(rows_of(bench).arrays) == ["sequences"]
    bench.candidate("LogisticRegression").train()
    agrees(bench)
    (only,) = bench.session().get_inputs()
    assert (only.name, only.shape) == ("sequences", ["rows", 5, 2])
    bench.run["data"]["sequences"] = {"maxLength": 8}
    more = rows_of(bench)
    assert more.arrays["sequences"].shape == (60, 8, 2)
    assert set(more.arrays["lengths"].tolist()) == {5}


def test_algorithms_refuse_rows_without_a_fixed_number_of_features(bench: Bench) -> None:
    labels, rows = zip(*series(), strict=True)
    values, lengths = padded(list(rows))
    save(bench, steps=values, lengths=lengths, target=labels).run["data"]["sequences"] = {}
    refusal = bench.refusal()
    assert refusal.reason == "UnsuitableData"
    assert "sequences of different lengths: give the candidate layers" in refusal.message


@pytest.mark.parametrize(("lengths", "more"), [(5, {}), (3, {}), (None, {"maxLength": 8})])
def test_lengths_that_are_all_equal_are_said_to_be_so(bench: Bench, lengths: int | None, more: dict[str, int]) -> None:
    arrays = {} if lengths is None else {"lengths": np.full(40, lengths)}
    save(bench, steps=RANDOM.normal(size=(40, 5, 1)), target=np.arange(40) % 2, **arrays)
    bench.run["data"]["sequences"] = more
    found = rows_of(bench)
    assert list(found.arrays) == ["sequences", "lengths"]
    (note,) = found.notes
    assert f"all 40 sequences have {lengths or 5} steps, and the model takes `lengths` all the same" in note
    field = "the array 'lengths'" if lengths else "data.sequences.maxLength"
    # With room behind them, steps are to be cut as well.
    cut = "cut the steps behind them and " if lengths == 3 else ""
    assert f"{cut}leave out {field} for one that takes none" in note
    refusal = bench.refusal()
    assert refusal.reason == "UnsuitableData"
    assert f"all have {lengths or 5} steps" in refusal.message
    assert "different lengths" not in refusal.message
    assert "data.sequences.maxLength" in refusal.message


@pytest.mark.parametrize("kind", ["NPZ", "lists"])
def test_rows_without_a_step_are_told(bench: Bench, kind: str) -> None:
    bench.run["data"]["sequences"] = {}
    lengths, labels = np.where(np.arange(40) % 20 == 6, 0, 1 + np.arange(40) % 3), np.arange(40) % 2
    if kind == "NPZ":
        save(bench, steps=RANDOM.normal(size=(40, 3, 1)), lengths=lengths, target=labels)
    else:
        bench.run["data"]["format"] = "Parquet"
        table = pa.table({"a": [[1.0] * length for length in lengths], "target": labels})
        pq.write_table(table, bench.folder / "data" / "data.parquet")
    assert "2 sequences have no step, in rows 7, 27: each counts as one step of zeros" in rows_of(bench).notes[0]


def test_texts_are_one_column(bench: Bench) -> None:
    rows = [[index, f'say "{index}", friend', "ab"[index % 2]] for index in range(30)]
    bench.write_csv(["number", "sentence", "target"], rows).run["data"]["text"] = {"column": "sentence"}
    found = rows_of(bench)
    assert found.arrays["text"].shape == (30, 1)
    assert found.arrays["text"][3, 0] == 'say "3", friend'
    assert found.notes == ("data.text takes column 'sentence' only; not learned from: number",)
    bench.write_csv(["sentence", "target"], [row[1:] for row in rows]).run["data"]["text"] = {}
    assert rows_of(bench).features == ("sentence",)
    # An index is no text.
    bench.write_csv(["", "sentence", "target"], rows)
    assert rows_of(bench).features == ("sentence",)
    # What looks like numbers is text, since it was called so.
    bench.write_csv(["sentence", "target"], [[row[0], row[2]] for row in rows])
    assert rows_of(bench).arrays["text"][7, 0] == "7"


def sunspots(bench: Bench, rows: int = 120, past: int = 4, horizon: int = 2) -> np.ndarray[Any, Any]:
    """Write a series whose values are the numbers of its steps, beside one that counts down."""
    table = np.column_stack([np.arange(rows), 1000.0 - np.arange(rows)])
    bench.regression().write_csv(["target", "other", "year"], [[*row, f"y{row[0]}"] for row in table.tolist()])
    bench.run["data"]["window"] = {"past": past, "horizon": horizon}
    return table


def test_no_window_lies_in_two_parts(bench: Bench) -> None:
    table = sunspots(bench)
    data, parts = parts_of(bench)
    np.testing.assert_array_equal(data.arrays["past"][7], table[7:11])
    # The label is its own column's value, 2 steps after the last that is seen.
    assert data.labels[7] == table[12, 0]
    assert data.features == ("target", "other")
    assert data.notes == ("data.window takes columns of numbers; not learned from: year",)
    # Of 120 steps the last 36 test, and the 24 before validate; a window with its target takes 6.
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [55, 19, 31]
    seen = []
    for part in (parts.train, parts.validation, parts.test):
        steps = set(data.arrays["past"][part][:, :, 0].ravel().tolist()) | set(data.labels[part].tolist())
        seen.append(steps)
    assert max(seen[0]) < 60 <= min(seen[1])
    assert max(seen[1]) < 84 <= min(seen[2])
    bench.candidate("LinearRegression").train()
    agrees(bench)
    (only,) = bench.session().get_inputs()
    assert (only.name, only.shape) == ("past", ["rows", 4, 2])


def test_a_series_alone_is_forecast_from_its_own_past(bench: Bench) -> None:
    bench.regression().write_csv(["target"], [[float(index % 9)] for index in range(120)])
    bench.run["data"]["window"] = {"past": 9}
    bench.candidate("LinearRegression").train()
    agrees(bench)
    (only,) = bench.session().get_inputs()
    assert (only.name, only.shape) == ("past", ["rows", 9, 1])


def test_rows_are_parted_by_time_in_their_order(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[index, index % 2] for index in range(50)])
    bench.run["split"] |= {"by": "Time", "stratify": False}
    bench.train()
    assert bench.evaluation()["inputs/a"].ravel().tolist() == list(range(35, 50))
    with np.load(bench.out / "calibration.npz") as archive:
        assert archive["inputs/a"].ravel().tolist() == list(range(25))


def test_a_long_text_leaves_fewer_rows_to_calibrate_by(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each text takes the room of the longest, so that one of a megabyte makes a gigabyte of all.
    monkeypatch.setattr("modelwright_trainer.keep.MOST_BYTES", 4 * 20 * 10)
    bench.write_csv(["a", "target"], [["x" * 20 if index == 3 else f"{index % 5}", index % 2] for index in range(60)])
    bench.run["preprocess"] = [{"oneHot": {}}]
    bench.run["split"] |= {"by": "Time", "stratify": False}
    bench.train()
    with np.load(bench.out / "calibration.npz") as archive:
        assert len(archive["inputs/a"]) == 10


@pytest.mark.parametrize("by", ["window", "time"])
def test_files_of_a_series_say_their_order_by_letters_and_by_numbers(bench: Bench, by: str) -> None:
    folder = bench.folder / "data"
    if by == "window":
        sunspots(bench)
    else:
        bench.regression().run["split"] |= {"by": "Time", "stratify": False}
    (folder / "data.csv").unlink(missing_ok=True)
    for number in range(1, 12):
        rows = "".join(f"{number * 100 + step},{step}\n" for step in range(20))
        (folder / f"{number}.csv").write_text("target,other\n" + rows)
    refusal = bench.refusal()
    assert refusal.reason == "UnreadableData"
    assert "10.csv comes before 2.csv by its letters and behind it by its number" in refusal.message
    assert "as many digits (01, 02)" in refusal.message
    for path in [*folder.iterdir()]:
        path.rename(folder / path.name.rjust(6, "0"))
    labels = read_data(bench.parse()).labels.tolist()
    assert labels == sorted(labels)
    # Where rows are drawn, order means nothing.
    for path in [*folder.iterdir()]:
        path.rename(folder / path.name.lstrip("0"))
    bench.run["data"].pop("window", None)
    bench.run["split"]["by"] = "Random"
    assert read_data(bench.parse()).rows == len(labels) == 220


def own_test(bench: Bench) -> Path:
    bench.run["data"]["test"] = {"directory": str(bench.folder / "test")}
    del bench.run["split"]["test"]
    (bench.folder / "test").mkdir()
    return bench.folder / "test"


def test_a_test_set_of_ones_own_is_the_test_part(bench: Bench) -> None:
    folder = own_test(bench)
    bench.write_csv(["a", "b", "target"], [[index, "xy"[index % 2], index % 2] for index in range(40)])
    (folder / "data.csv").write_text("b,target,a\ny,1,100\nx,0,101\nz,0,102\n")
    bench.run["preprocess"] = [{"oneHot": {}}]
    outcome = bench.train()
    agrees(bench)
    evaluation = bench.evaluation()
    assert evaluation["inputs/a"].ravel().tolist() == [100, 101, 102]
    assert evaluation["inputs/b"].ravel().tolist() == ["y", "x", "z"]
    assert outcome.rows == {"train": 32, "validation": 8, "test": 3}


def test_a_test_set_of_ones_own_of_other_kinds_is_the_test_part(bench: Bench) -> None:
    folder = own_test(bench)
    images = RANDOM.integers(0, 256, (40, 3, 3)).astype(np.uint8)
    save(bench, images=images, target=np.arange(40) % 2).run["data"]["images"] = {}
    np.savez(folder / "other.npz", images=images[:5] // 2, target=np.ones(5, dtype=int))
    bench.train()
    np.testing.assert_array_equal(bench.evaluation()["inputs/images"][..., 0], images[:5] // 2)
    (bench.folder / "data" / "data.npz").unlink()
    sunspots(bench)
    (folder / "other.npz").unlink()
    (folder / "later.csv").write_text("target,other,year\n" + "".join(f"{500 + one},{one},y\n" for one in range(9)))
    bench.run["data"] = bench.run["data"] | {"format": "CSV"}
    del bench.run["data"]["images"]
    bench.candidate("LinearRegression").train()
    assert bench.evaluation()["labels"].tolist() == [505, 506, 507, 508]
    assert bench.evaluation()["inputs/past"][0, :, 0].tolist() == [500, 501, 502, 503]


def test_a_test_set_of_longer_sequences_is_taken(bench: Bench) -> None:
    folder = own_test(bench)
    save(bench, steps=np.ones((40, 4, 1)), lengths=np.full(40, 3), target=np.arange(40) % 2).run["data"][
        "sequences"
    ] = {}
    np.savez(folder / "other.npz", steps=np.ones((5, 6, 1)), lengths=np.full(5, 6), target=np.arange(5) % 2)
    found, parts = parts_of(bench)
    assert found.arrays["sequences"].shape == (45, 6, 1)
    assert found.arrays["sequences"].sum(axis=(1, 2)).tolist() == [3] * 40 + [6] * 5
    assert parts.test.tolist() == list(range(40, 45))
    # A length is judged by the room of its own file.
    save(bench, steps=np.ones((40, 4, 1)), lengths=np.full(40, 5), target=np.arange(40) % 2)
    assert "has 40 values outside 0 to 4, the T of 'steps', such as 5 in rows 1 of data.npz" in bench.refusal().message


def test_a_large_test_part_is_scored_whole_and_kept_as_a_sample(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright_trainer.keep.MOST_ROWS", 20)
    rows = [[value, int(value > 0) if index % 9 else index % 2] for index, value in enumerate(RANDOM.normal(size=300))]
    bench.write_csv(["a", "target"], rows).candidate("DecisionTree", max_depth=3)
    outcome = bench.train()
    assert outcome.rows["test"] == 90
    kept = bench.evaluation()
    assert len(kept["labels"]) == len(kept["inputs/a"]) == len(kept["outputs/label"]) == 20
    agrees(bench)
    assert outcome.warnings[-1].startswith("the test part has 90 rows, and 20 of them, drawn by split.seed, are kept")
    monkeypatch.setattr("modelwright_trainer.keep.MOST_ROWS", 1000)
    whole = bench.train()
    # All rows are scored, however few are kept.
    assert whole.metrics == outcome.metrics
    places = np.flatnonzero(np.isin(bench.evaluation()["inputs/a"].ravel(), kept["inputs/a"].ravel()))
    assert len(places) == 20
    assert places.max() > 60
    monkeypatch.setattr("modelwright_trainer.keep.MOST_BYTES", 40)
    bench.train()
    assert len(bench.evaluation()["labels"]) == 10


def test_texts_are_kept_as_far_as_the_longest_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright_trainer.keep.MOST_BYTES", 4000)
    texts = np.array([["a" * 100]] + [["b"]] * 99, dtype=object)
    kept = choose_kept({"text": texts}, 7)
    assert len(kept) == 10
    assert texts[kept].astype(str).nbytes <= 4000
    assert len(choose_kept({"text": texts[1:]}, 7)) == 99


@pytest.mark.parametrize("algorithm", ["RandomForest", "LogisticRegression"])
def test_answers_in_batches_are_the_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    bench.write_bundled("iris").candidate(algorithm).train()
    whole = {name: (bench.out / name).read_bytes() for name in ("model.onnx", "evaluation.npz")}
    monkeypatch.setattr("modelwright_trainer.evaluate.BYTES_AT_ONCE", 64)
    monkeypatch.setattr("modelwright_trainer.export.BYTES_AT_ONCE", 64)
    bench.train()
    for name, content in whole.items():
        if name == "model.onnx":
            assert (bench.out / name).read_bytes() == content
    agrees(bench)
