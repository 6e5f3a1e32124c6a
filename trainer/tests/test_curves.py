"""The picture of a training's curves: what it shows is what was told."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np
from modelwright_trainer.curves import draw_curves

SVG = "{http://www.w3.org/2000/svg}"


def parse(curves: dict[str, list[dict[str, float]]]) -> ET.Element:
    return ET.fromstring(draw_curves(curves))  # noqa: S314 - it is our own


def lines_of(root: ET.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in root.iter(f"{SVG}polyline")
    ]


def test_each_candidate_and_metric_has_a_panel_with_both_parts() -> None:
    curve = [
        {"epoch": epoch, "loss": 1 / epoch, "accuracy": epoch / 10, "val_loss": 2 / epoch, "val_accuracy": epoch / 20}
        for epoch in (1, 2, 3, 4, 5)
    ]
    root = parse({"net <1>": curve, "other": curve[:2]})
    titles = [text.text for text in root.iter(f"{SVG}text") if text.get("font-weight") == "bold"]
    assert titles == ["net <1>: loss", "net <1>: accuracy", "other: loss", "other: accuracy"]
    lines = lines_of(root)
    assert [len(line) for line in lines] == [5] * 4 + [2] * 4
    dashed = [line.get("stroke-dasharray") is not None for line in root.iter(f"{SVG}polyline")]
    assert dashed == [False, True] * 4
    # A loss that falls goes down in the picture, and up is less in SVG; an accuracy that grows goes up.
    assert all(
        before[1] < after[1] and before[0] < after[0] for before, after in zip(lines[0], lines[0][1:], strict=False)
    )
    assert all(before[1] > after[1] for before, after in zip(lines[2], lines[2][1:], strict=False))
    height = float(root.attrib["height"])
    assert height == 4 * 260
    for line in lines:
        assert all(64 <= x <= 640 - 16 and 34 <= y <= 260 - 36 for x, y in line)
    assert any(text.text == "val_loss 0.4" for text in root.iter(f"{SVG}text"))


def test_values_stand_where_the_axis_says() -> None:
    root = parse({"net": [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 1.0}]})
    marks = {
        text.text: float(text.attrib["y"]) - 4 for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"
    }
    (line,) = lines_of(root)
    assert line[0][1] == marks["0"]
    assert line[1][1] == marks["1"]
    assert marks["0.4"] == line[0][1] + 0.4 * (line[1][1] - line[0][1])


def test_curves_of_one_epoch_of_equal_values_and_of_none_are_drawn() -> None:
    assert len(lines_of(parse({"one": [{"epoch": 1, "loss": 0.5}]}))) == 1
    flat = lines_of(parse({"flat": [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 0.0}]}))
    assert all(math.isfinite(value) for point in flat[0] for value in point)
    assert not lines_of(parse({"none": []}))
    root = parse({"nan": [{"epoch": 1, "loss": math.nan}]})
    assert "no finite value" in ET.tostring(root, encoding="unicode")


def test_values_that_differ_by_rounding_only_are_drawn() -> None:
    random = np.random.default_rng(1)
    for _ in range(2000):
        low = float(10 ** random.uniform(-30, 30))
        high = float(np.nextafter(low, math.inf))
        (line,) = lines_of(parse({"same": [{"epoch": 1, "loss": low}, {"epoch": 2, "loss": high}]}))
        assert all(34 <= y <= 260 - 36 for _, y in line)


def test_a_long_training_has_a_small_picture_that_ends_with_its_last_epoch() -> None:
    curve = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 50_001)]
    (line,) = lines_of(parse({"long": curve}))
    assert len(line) <= 2000
    assert line[-1][0] == 640 - 16
