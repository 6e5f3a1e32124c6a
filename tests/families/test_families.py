"""The article's network and a recurrent one whole, and the page of all: `tests/families/run` trains the others, too."""

from __future__ import annotations

import re

import pytest
from families import EXAMPLES, TOP, begin, name_of, told_by_operator, try_example

REACHED = re.compile(r"(\d+\.\d{3})(?: \(median of (\d) seeds, (\d+\.\d{3}) to (\d+\.\d{3})\))?")
BESIDE = re.compile(r"(\*\*)?[^,*]+ (\d+\.\d{3})(\*\*)?")
GATE = re.compile(r"([≥≤]) (\d[\d.]*)")


@pytest.mark.parametrize("name", ["mnist-keras", "vowels-gru"])
def test_an_example_of_a_network_is_trained_proven_and_passes_its_gate(name: str) -> None:
    (example,) = [one for one in EXAMPLES if name_of(one) == name]
    (told,) = told_by_operator([example])
    result = try_example(example, told, seeds=1)
    assert not result.problem
    assert result.values


def test_the_page_says_of_each_example_what_these_tests_hold() -> None:
    page = (TOP / "docs/families.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    rows = [[cell.strip() for cell in row] for row in rows]
    assert len(rows) == len(EXAMPLES)
    for row, example, told in zip(rows, EXAMPLES, told_by_operator(EXAMPLES), strict=True):
        result = begin(example, told)
        link = f"[{name_of(example)}](../examples/{example.manifest})"
        assert row[:3] == [example.family, link, result.metric]
        assert row[4].strip(" |") == result.gate
        found, gate = REACHED.fullmatch(row[3]), GATE.fullmatch(result.gate)
        assert found, row
        assert gate, row
        median, seeds, low, high = found.groups()
        assert int(seeds or 0) == len(example.seeds)
        for value in filter(None, (median, low, high)):
            assert float(value) >= float(gate[2]) if gate[1] == "≥" else float(value) <= float(gate[2]), row
        result.values = [float(median)]
        simpler = BESIDE.findall(row[5]) if len(row) > 5 else []
        assert bool(simpler) == bool(example.beside), row
        for bold, value, _ in simpler:
            assert bool(bold) == result.is_beaten_by(float(value)), row
            assert not (bold and example.better), row


def test_no_other_page_states_what_was_reached() -> None:
    page = (TOP / "examples/mnist-keras/README.md").read_text(encoding="utf-8")
    assert "docs/families.md" in page
    # What articles state is of other images.
    assert re.findall(r"0\.9\d+", page.partition("</table>")[2]) == ["0.98"]
