"""Checks of the data: each tells what, where and how many, and all that fail are told together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Bench

NAMES = ["age", "city", "target"]
ROWS: list[list[Any]] = [[20 + index, ["Bonn", "Ulm"][index % 2], index % 2] for index in range(40)]


def with_values(changes: dict[tuple[int, int], Any]) -> list[list[Any]]:
    return [[changes.get((at, column), value) for column, value in enumerate(row)] for at, row in enumerate(ROWS)]


ONE_COLUMN = {"name": "age"}
FAILING: list[tuple[dict[str, Any], list[list[Any]], str]] = [
    ({"minRows": 41}, ROWS, "checks.minRows is 41, and there are 40 rows"),
    ({"maxRows": 39}, ROWS, "checks.maxRows is 39, and there are 40 rows"),
    (
        {"maxMissingFraction": "0.04"},
        with_values({(0, 0): "", (39, 0): ""}),
        "checks.maxMissingFraction is 0.04, and column 'age' misses 2 of 40 rows (0.05), in rows 1, 40",
    ),
    (
        {"columns": [{"name": "city", "maxMissingFraction": "0"}]},
        with_values({(4, 1): ""}),
        "checks.columns[0].maxMissingFraction is 0, and column 'city' misses 1 of 40 rows (0.025), in row 5",
    ),
    (
        {"maxDuplicateFraction": "0.05"},
        [*ROWS, ROWS[3], ROWS[3], ROWS[5]],
        "checks.maxDuplicateFraction is 0.05, and 3 of 43 rows (0.06977) repeat an earlier row, in rows 41, 42, 43",
    ),
    (
        {"minClassFraction": "0.1"},
        with_values({(0, 2): 2, (1, 2): 2, (2, 2): 2}),
        "checks.minClassFraction is 0.1, and label 2 has 3 of 40 rows (0.075)",
    ),
    (
        {"columns": [{"name": "aeg"}]},
        ROWS,
        "checks.columns[0].name is 'aeg', and there is no such column; did you mean 'age'?",
    ),
    (
        {"columns": [{"name": "age", "type": "Number"}]},
        with_values({(6, 0): "old", (7, 0): ""}),
        "checks.columns[0].type is Number, and column 'age' holds 1 other values, such as 'old', in row 7",
    ),
    (
        {"columns": [{"name": "age", "type": "Integer"}]},
        with_values({(6, 0): 1.5, (7, 0): ""}),
        "checks.columns[0].type is Integer, and column 'age' holds 1 other values, such as 1.5, in row 7",
    ),
    (
        {"columns": [{"name": "age", "min": "21"}]},
        with_values({(8, 0): -3}),
        "checks.columns[0].min is 21, and column 'age' has 2 values below, as far as -3, in rows 1, 9",
    ),
    (
        {"columns": [{"name": "age", "max": "58.5"}]},
        ROWS,
        "checks.columns[0].max is 58.5, and column 'age' has 1 values above, as far as 59, in row 40",
    ),
    (
        {"columns": [{"name": "city", "allowed": ["Bonn", "Ulm"]}]},
        with_values({(3, 1): "Rom", (4, 1): "", (5, 1): "ulm"}),
        "checks.columns[0].allowed is Bonn, Ulm, and column 'city' has 2 other values, 'Rom', 'ulm', in rows 4, 6",
    ),
    (
        {"columns": [{"name": "target", "allowed": ["0"]}]},
        with_values({(at, 2): 0 for at in range(2, 40)}),
        "checks.columns[0].allowed is 0, and column 'target' has 1 other values, 1, in row 2",
    ),
    (
        {"columns": [{"name": "city", "min": "1"}]},
        ROWS,
        "checks.columns[0] has bounds, and column 'city' is text: a text has no bounds",
    ),
]


@pytest.mark.parametrize(("checks", "rows", "message"), FAILING)
def test_a_check_that_fails_tells_what_where_and_how_many(
    bench: Bench, checks: dict[str, Any], rows: list[list[Any]], message: str
) -> None:
    bench.run["checks"] = checks
    bench.write_csv(NAMES, rows)
    error = bench.refusal()
    assert error.reason == "ChecksFailed"
    assert error.message == f"the data fails 1 check: {message}"


def test_all_checks_that_fail_are_told_together(bench: Bench) -> None:
    bench.run["checks"] = {
        "minRows": 100,
        "columns": [{"name": "age", "max": "50"}, {"name": "city", "allowed": ["Bonn"]}, {"name": "none"}],
    }
    message = bench.write_csv(NAMES, ROWS).refusal().message
    assert message.startswith("the data fails 4 checks: checks.minRows is 100")
    for path in (
        "checks.columns[0].max is 50",
        "checks.columns[1].allowed is Bonn",
        "checks.columns[2].name is 'none'",
    ):
        assert path in message


def test_checks_that_hold_are_silent(bench: Bench) -> None:
    bench.run["checks"] = {
        "minRows": 40,
        "maxRows": 40,
        "maxMissingFraction": "0",
        "maxDuplicateFraction": "0",
        "minClassFraction": "0.5",
        "columns": [
            {"name": "age", "type": "Integer", "min": "20", "max": "59", "maxMissingFraction": "0"},
            {"name": "city", "type": "Text", "allowed": ["Bonn", "Ulm"]},
            {"name": "target", "type": "Integer", "min": "0", "max": "1"},
        ],
    }
    bench.run["preprocess"] = [{"oneHot": {}}]
    bench.write_csv(NAMES, ROWS).train()


def test_a_bound_is_rounded_as_values_are(bench: Bench) -> None:
    bench.run["checks"] = {"columns": [{"name": "a", "min": "0.1", "max": "0.3", "allowed": ["0.1", "0.2", "0.3"]}]}
    bench.write_csv(["a", "target"], [[[0.1, 0.2, 0.3][index % 3], index % 2] for index in range(30)]).train()


def test_a_column_declared_as_text_is_text(bench: Bench) -> None:
    bench.run["checks"] = {"columns": [{"name": "zip", "type": "Text", "allowed": ["01067", "89073"]}]}
    bench.run["preprocess"] = [{"oneHot": {}}]
    bench.write_csv(["zip", "target"], [[["01067", "89073"][index % 2], index % 2] for index in range(30)]).train()
    assert bench.session().get_inputs()[0].type == "tensor(string)"


def test_missing_values_are_equal_when_rows_are_compared(bench: Bench) -> None:
    bench.run["checks"] = {"maxDuplicateFraction": "0"}
    rows = with_values({(0, 0): "", (2, 0): ""})
    assert "1 of 40 rows (0.025) repeat an earlier row, in row 3" in bench.write_csv(NAMES, rows).refusal().message


def test_values_are_judged_as_they_are_written(bench: Bench) -> None:
    # FP32 has no number between 16777216 and 16777218, and none between 1700000000000 and 1700000131072.
    data = [["16777217.5", 16777217, 1700000000124, index % 2] for index in range(20)]
    bench.write_csv(["half", "whole", "milliseconds", "target"], data)
    bench.run["checks"] = {
        "columns": [
            {"name": "half", "type": "Integer"},
            {"name": "whole", "type": "Integer", "min": "16777217", "max": "16777217", "allowed": ["16777217"]},
            {"name": "milliseconds", "max": "1700000000123", "allowed": ["1700000000123"]},
        ]
    }
    rows, half = "in rows 1, 2, 3, 4, 5 and 15 more", "such as 16777217.5"
    path, most = "checks.columns", "1700000000123"
    assert bench.refusal().message.split("; ") == [
        f"the data fails 3 checks: {path}[0].type is Integer, and column 'half' holds 20 other values, {half}, {rows}",
        f"{path}[2].max is {most}, and column 'milliseconds' has 20 values above, as far as 1700000000124, {rows}",
        f"{path}[2].allowed is {most}, and column 'milliseconds' has 20 other values, 1700000000124, {rows}",
    ]


def test_integers_beyond_fp64_are_judged_exactly(bench: Bench) -> None:
    large = 2**60
    bench.write_csv(["id", "target"], [[large + 1 + index % 2, index % 2] for index in range(20)])
    check = {"name": "id", "type": "Integer", "min": f"{large}.5", "max": f"{large + 2}", "allowed": [str(large + 1)]}
    bench.run["checks"] = {"columns": [check]}
    message = bench.refusal().message
    assert "fails 1 check" in message
    assert f"has 10 other values, {large + 2}, in rows 2, 4" in message
    check |= {"allowed": [], "min": f"{large + 1}.5", "max": "1e30"}
    assert (
        f"min is {large + 1}.5, and column 'id' has 10 values below, as far as {large + 1}," in bench.refusal().message
    )


def test_rows_that_only_fp32_makes_equal_are_not_repeated(bench: Bench) -> None:
    bench.write_csv(["t", "target"], [[1_700_000_000_000 + index, 0 if index < 10 else 1] for index in range(20)])
    bench.run["checks"] = {"maxDuplicateFraction": "0"}
    bench.train()


def test_fp32_is_judged_as_fp32(bench: Bench) -> None:
    values = pa.array([0.1, 0.7] * 10, pa.float32())
    table = pa.table({"a": values, "target": [0, 1] * 10})
    pq.write_table(table, bench.folder / "data" / "data.parquet")
    bench.run["data"]["format"] = "Parquet"
    bench.run["checks"] = {"columns": [{"name": "a", "min": "0.1", "max": "0.7", "allowed": ["0.1", "0.7"]}]}
    bench.train()
