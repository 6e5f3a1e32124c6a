"""What a run says of its data without stopping: in the log, in the report, and to the operator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from modelwright_trainer.progress import Progress
from modelwright_trainer.report import build_success, build_training_report
from modelwright_trainer.run import part_data

if TYPE_CHECKING:
    from conftest import Bench
    from modelwright_trainer.train import Outcome


def over(bench: Bench, values: list[Any], kind: str = "CSV") -> Outcome:
    """Train over this column, beside one that tells nothing."""
    labels = [int(index * 2 > len(values)) for index in range(len(values))]
    noise = [index % 3 for index in range(len(values))]
    if kind == "CSV":
        cells = ["" if one is None else one for one in values]
        bench.write_csv(["t", "b", "target"], [list(row) for row in zip(cells, noise, labels, strict=True)])
    elif kind == "Parquet":
        table = pa.table({"t": pa.array(values), "b": noise, "target": labels})
        pq.write_table(table, bench.folder / "data" / "data.parquet")
        bench.run["data"]["format"] = "Parquet"
    else:
        features = np.column_stack([np.array(values), np.array(noise)])
        np.savez(bench.folder / "data" / "data.npz", features=features, target=np.array(labels))
        bench.run["data"]["format"] = "NPZ"
    return bench.train()


@pytest.mark.parametrize("kind", ["CSV", "Parquet", "NPZ"])
@pytest.mark.parametrize(
    ("start", "left"),
    [
        (1_700_000_000, 2),
        (1_700_000_000_123, 1),
        (10**15, 1),
        (2**24, 61),
        # Beyond what FP64 holds, too.
        (2**60 + 1, 1),
    ],
)
def test_numbers_that_fp32_does_not_tell_apart_are_told(bench: Bench, kind: str, start: int, left: int) -> None:
    outcome = over(bench, [start + index for index in range(120)], kind)
    only = [words for words in outcome.warnings if "FP32" in words]
    name = "x0" if kind == "NPZ" else "t"
    assert len(only) == 1
    words = f"{name!r} has 120 different values and {left} in FP32, where {start} and {start + 1} are one"
    assert words in only[0]


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_missing_values_do_not_hide_large_numbers(bench: Bench, kind: str) -> None:
    values = [2**60 + 1 + index if index % 2 else None for index in range(120)]
    outcome = over(bench, values, kind)
    assert "'t' has 60 different values and 1 in FP32" in outcome.warnings[0]


@pytest.mark.parametrize(
    "values",
    [
        [1_700_000_000 + 128 * index for index in range(120)],
        [index / 100 for index in range(120)],
        # Rounding, and no other number.
        [0.1 + 0.2 if index % 2 else 0.3 for index in range(120)],
        [2.0**-140 * (index % 2) for index in range(120)],
    ],
)
def test_numbers_that_stay_apart_are_not_told(bench: Bench, values: list[Any]) -> None:
    assert over(bench, values).warnings == []


def test_many_columns_are_told_in_one_sentence_the_worst_first(bench: Bench) -> None:
    names = [f"t{index}" for index in range(40)]
    rows = [[2**24 + index * (1 if name < 39 else 8) // 8 for name in range(40)] for index in range(120)]
    for row in rows:
        row[7] = 10**12 + row[7]
    bench.write_csv([*names, "target"], [[*row, index % 2] for index, row in enumerate(rows)])
    outcome = bench.train()
    assert len(outcome.warnings) == 1
    assert "'t7' has 15 different values and 1 in FP32" in outcome.warnings[0].split(";")[0]
    assert "more columns" in outcome.warnings[0]
    assert len(outcome.warnings[0]) < 700


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ([0, 1], [0, 1]),
        ([7.5, -1], [0, 1]),
        (["n", "y"], ["no", "yes"]),
        (["", "y"], [3, 4]),
        ([1, ""], ["a", "b"]),
    ],
)
def test_a_column_that_tells_the_label_is_told(bench: Bench, column: list[Any], labels: list[Any]) -> None:
    bench.write_csv(
        ["noise", "leak", "target"],
        [[index % 7, column[index % 2], labels[index % 2]] for index in range(60)],
    )
    bench.run["preprocess"] = [{"impute": {"strategy": "Constant", "fillValue": "none"}}, {"oneHot": {}}]
    words = "column 'leak' tells the label 'target' one to one: take it out if it is not known when the model is asked"
    assert bench.train().warnings == [words]
    # One row that is otherwise is enough.
    bench.write_csv(
        ["noise", "leak", "target"],
        [[index % 7, column[index % 2 if index else 1], labels[index % 2]] for index in range(60)],
    )
    assert bench.train().warnings == []


def test_a_column_that_is_the_number_to_predict_is_told(bench: Bench) -> None:
    numbers = np.random.default_rng(1).normal(size=(60, 2))
    bench.regression().write_csv(
        ["a", "copy", "double", "target"],
        [[one, other, other * 2, other] for one, other in numbers.tolist()],
    )
    words = "column 'copy' tells the label 'target' one to one"
    assert [one.startswith(words) for one in bench.train().warnings] == [True]


def test_a_number_to_predict_that_fp32_does_not_hold_is_told(bench: Bench) -> None:
    numbers = [[index % 7, 1_700_000_000_000 + 1000 * index] for index in range(60)]
    words = bench.regression().write_csv(["a", "target"], numbers).train().warnings
    assert len(words) == 1
    assert "'target' has 60 different values and 1 in FP32" in words[0]


def test_what_is_found_is_in_the_log_the_report_and_the_message(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = over(bench, [10**15 + index for index in range(120)])
    assert outcome.warnings
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["warning"] for line in lines if line["message"] == "warning"] == outcome.warnings
    report = json.loads((bench.out / "report.json").read_text())
    assert report == build_training_report(outcome)
    assert report["warnings"] == outcome.warnings
    told = build_success(outcome)["succeeded"]
    assert told["warnings"] == outcome.warnings
    assert "warningsTruncated" not in told


@pytest.mark.parametrize("letter", ["a", "ü", "漢", "🎉", '"'])
@pytest.mark.parametrize(("count", "length"), [(1, 4000), (8, 300), (40, 20), (40, 4000)])
def test_warnings_leave_room_for_candidates(bench: Bench, letter: str, count: int, length: int) -> None:
    bench.write_bundled("iris")
    outcome = bench.train()
    outcome.warnings.extend([f"{index} " + letter * length for index in range(count)])
    outcome.ranked.extend(outcome.ranked * 60)
    report = build_success(outcome)
    assert len(json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()) <= 1500
    told = report["succeeded"]
    assert told["warningsTruncated"] is True
    assert len(told["candidates"]) > 10
    assert len(told["warnings"]) == min(count, 8)
    assert all(one.startswith(f"{index} ") for index, one in enumerate(told["warnings"]))


def test_labels_that_begin_with_zeros_are_told_where_they_become_numbers(bench: Bench) -> None:
    labels = ["007" if index % 3 else "8" for index in range(60)]
    rows = [[index % 7, label] for index, label in enumerate(labels)]
    bench.write_csv(["a", "target"], rows)
    outcome = bench.train()
    (told,) = [words for words in outcome.warnings if "begin with 0" in words]
    assert told.startswith(
        "data.label 'target' is read as numbers, and 40 of its values begin with 0, such as '007' in "
    )
    assert "the model answers 7" in told
    assert "a column check of type Text keeps them as they are written" in told
    assert outcome.classes == ["7", "8"]
    bench.run["checks"] = {"columns": [{"name": "target", "type": "Text"}]}
    outcome = bench.train()
    assert (outcome.classes, [words for words in outcome.warnings if "begin with 0" in words]) == (["007", "8"], [])
    # A number of its own is no label, nor is what only looks so.
    del bench.run["checks"]
    bench.write_csv(
        ["a", "target"], [[f"0{index % 7}", ["0", "-0", "0.5"][0] if index % 2 else 1] for index in range(60)]
    )
    assert not [words for words in bench.train().warnings if "begin with 0" in words]


def series(bench: Bench, rows: int = 90) -> Bench:
    """Write steps with an index and milliseconds, which FP32 does not tell apart."""
    cells = [[step, step // 3, step % 3, 1_700_000_000_000 + step, step // 3 % 2] for step in range(rows)]
    return bench.write_csv(["Unnamed: 0", "id", "order", "ms", "target"], cells)


MERGED = "'ms' has 90 different values and 1 in FP32, where 1700000000000 and 1700000000001 are one"
LEFT = "left out as an index: 'Unnamed: 0'; to learn from it, name it in checks"


def test_windows_say_what_fp32_merges_and_what_is_left_out(bench: Bench) -> None:
    series(bench).regression().candidate("LinearRegression").run["data"]["window"] = {"past": 2}
    warnings = bench.train().warnings
    assert any(MERGED in one for one in warnings), warnings
    assert LEFT in warnings


def test_sequences_of_a_long_table_say_what_fp32_merges_and_what_is_left_out(bench: Bench) -> None:
    series(bench).candidate("DecisionTree").run["data"]["sequences"] = {"id": "id", "order": "order"}
    warnings = bench.train().warnings
    assert any(MERGED in one for one in warnings), warnings
    assert LEFT in warnings


@pytest.mark.parametrize("kind", ["NPZ", "Parquet"])
def test_sequences_of_arrays_say_what_fp32_merges_in_their_own_steps(bench: Bench, kind: str) -> None:
    steps = 1_700_000_000_000 + np.arange(90.0).reshape(30, 3, 1)
    labels = np.arange(30) % 2
    if kind == "NPZ":
        # What is behind a row's length is not learned from.
        far = np.concatenate([steps, 2.0**60 + 1024 * np.arange(30.0).reshape(30, 1, 1)], axis=1)
        np.savez(bench.folder / "data" / "data.npz", steps=far, lengths=np.full(30, 3), target=labels)
    else:
        table = pa.table({"ms": pa.array(steps[:, :, 0].tolist()), "target": labels})
        pq.write_table(table, bench.folder / "data" / "data.parquet")
    bench.run["data"] |= {"format": kind, "sequences": {}}
    name = "x0" if kind == "NPZ" else "ms0"
    merged = MERGED.replace("'ms'", f"{name!r}")
    # Of rows with lengths, no algorithm learns; what is said of them is said before.
    warnings = part_data(bench.parse(), Progress()).warnings
    assert any(merged in one for one in warnings), warnings
