"""In go the curves of candidates, out comes a picture of them: SVG, with nothing but lines and text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH: Final = 640
HEIGHT: Final = 260
LEFT: Final = 64
RIGHT: Final = 16
TOP: Final = 34
BOTTOM: Final = 36
COLOURS: Final = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
TICKS: Final = 5
MOST_POINTS: Final = 2000
"""Of a line, so that the picture of a long training stays small."""
NEAREST: Final = 1e-9
"""Values that are as near to each other, by their size, differ by rounding: no axis has marks between them."""


def draw_curves(candidates: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a panel for each candidate and metric: the training part, and dashed the validation part."""
    panels: list[str] = []
    for name, curve in candidates.items():
        metrics = (
            [metric for metric in curve[0] if metric != "epoch" and not metric.startswith("val_")] if curve else []
        )
        for metric in metrics:
            lines = {one: _points(curve, one) for one in (metric, f"val_{metric}")}
            panels.append(_draw_panel(f"{name}: {metric}", {one: points for one, points in lines.items() if points}))
    height = HEIGHT * len(panels)
    placed = [f'<g transform="translate(0 {HEIGHT * index})">{panel}</g>' for index, panel in enumerate(panels)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *placed, "</svg>", ""])


def _points(curve: Sequence[Mapping[str, float]], metric: str) -> list[tuple[float, float]]:
    points = [(one["epoch"], one[metric]) for one in curve if metric in one and math.isfinite(one[metric])]
    every = -(-len(points) // MOST_POINTS) or 1
    # The last one is always there.
    return points[::-1][::every][::-1]


def _draw_panel(title: str, lines: Mapping[str, list[tuple[float, float]]]) -> str:
    points = [point for line in lines.values() for point in line]
    if not points:
        return f'<text x="{LEFT}" y="20" fill="#24292f">{escape(title)}: no finite value</text>'
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high, step = _axis(min(y for _, y in points), max(y for _, y in points))

    def across(x: float) -> float:
        share = (x - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold" fill="#24292f">{escape(title)}</text>']
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}" stroke="#d0d7de"/>'
            f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end" fill="#57606a">{value:.4g}</text>'
        )
    parts += [
        f'<text x="{across(epoch):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" fill="#57606a">{epoch}</text>'
        for epoch in _epochs(int(first), int(last))
    ]
    for index, (name, line) in enumerate(lines.items()):
        colour, dashes = COLOURS[index % len(COLOURS)], ' stroke-dasharray="5 3"' if name.startswith("val_") else ""
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        x, y = line[-1]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>'
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5" fill="{colour}"/>'
            f'<text x="{WIDTH - RIGHT}" y="{16 + 12 * index}" text-anchor="end" fill="{colour}">'
            f"{escape(name)} {y:.4g}</text>"
        )
    return "".join(parts)


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Return round bounds around the values, and a round step between."""
    size = max(abs(low), abs(high))
    if high - low <= size * NEAREST:
        high = low + (size or 1.0) * 0.1
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step: Any = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _epochs(first: int, last: int) -> list[int]:
    every = max(1, -(-(last - first) // 10))
    return list(range(first, last + 1, every))
