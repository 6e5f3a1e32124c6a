"""What is to be reached, each as a ratio in every round, so that a machine that is faster or slower changes nothing.

Targets that are known as microseconds are held against work of the same machine in the same rounds: "23 µs where the
floor is 19 µs" is a ratio of 23/19 to the floor, which is the echo and ONNX Runtime by itself.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix import CONNECTIONS, ECHO, NATIVE, OURS, PARSE, PYTHON, RAW
from rounds import Cell, Results

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUCTIONS = 1.15
# Microseconds of a processor, and the work of the same machine that they were found beside.
FLOOR, BINARY, JSON = 19, 23, 30
SERDE, LARGE_JSON = 1.77, 1.0


@dataclass(frozen=True)
class Limit:
    """What a ratio may be at most, or at least."""

    value: float
    is_least: bool = False

    def holds(self, ratio: float) -> bool:
        """Whether a ratio keeps to it."""
        return ratio >= self.value if self.is_least else ratio <= self.value

    def __str__(self) -> str:
        """Render it."""
        return f"{'≥' if self.is_least else '≤'} {self.value:.3g}"


@dataclass(frozen=True)
class Target:
    """A ratio that is to be reached."""

    title: str
    limit: Limit
    # In every round; empty if it is not shown.
    ratios: list[float]
    why_not: str = ""

    @property
    def median(self) -> float | None:
        """The ratio of the round in the middle."""
        return statistics.median(self.ratios) if self.ratios and not self.why_not else None

    @property
    def is_missed(self) -> bool:
        """Whether it is shown, and not reached."""
        return self.median is not None and not self.limit.holds(self.median)

    def row(self) -> str:
        """Render it as a line of a table."""
        if self.median is None:
            return f"| {self.title} | | {self.limit} | not shown: {self.why_not} |"
        spread = f" ({min(self.ratios):.3g} to {max(self.ratios):.3g})" if len(self.ratios) > 1 else ""
        return (
            f"| {self.title} | {self.median:.3g}{spread} | {self.limit} | {'**missed**' if self.is_missed else 'met'} |"
        )


class Judge:
    """Makes targets of what was measured."""

    def __init__(self, results: Results, missing: Mapping[str, str]) -> None:
        """Judge these results; `missing` says why a server has none."""
        self.results = results
        self.missing = missing

    def _series(self, cell: Cell, figure: str) -> list[float]:
        return self.results.series(cell, figure) or []

    def ratio(self, title: str, limit: Limit, figure: str, above: Cell, *below: Cell) -> Target:
        """Divide a cell's figure by the sum of those of others, round by round."""
        series = [self._series(cell, figure) for cell in (above, *below)]
        for cell, values in zip((above, *below), series, strict=True):
            if not values:
                why = self.missing.get(cell.server, f"{cell.server} was not measured")
                return Target(title, limit, [], self.results.failed.get(cell, why))
        kept = self.results.kept.get(_rounds_of(above), 0)
        if kept * 2 <= self.results.wanted:
            return Target(title, limit, [], f"only {kept} of {self.results.wanted} rounds were steady")
        return Target(title, limit, [top / sum(bottoms) for top, *bottoms in zip(*series, strict=True)])

    def slowest_native(self) -> str | None:
        """Name the native peer that can do the fewest requests."""
        capacity = {
            server: statistics.median(rates)
            for server in NATIVE
            if (rates := self._series(Cell("mlp", "binary", server, CONNECTIONS), "rate"))
        }
        return min(capacity, key=lambda server: capacity[server]) if capacity else None


def _rounds_of(cell: Cell) -> str:
    return cell.workload if cell.share is None else f"{cell.workload}, at a rate"


def judge(results: Results, missing: Mapping[str, str], instructions: float | None, why_not: str) -> list[Target]:
    """List every target."""
    by = Judge(results, missing)

    def cell(workload: str, protocol: str, server: str = OURS, share: float | None = None) -> Cell:
        return Cell(workload, protocol, server, CONNECTIONS, share)

    def cpu(title: str, limit: float, above: Cell, *below: Cell) -> Target:
        return by.ratio(title, Limit(limit), "microseconds", above, *below)

    mlp, echo = cell("mlp", "binary"), cell("mlp", "binary", ECHO)
    raw = results.raw.get("mlp") or Cell("mlp", "", RAW, 1)
    bert = results.raw.get("bert-mini") or Cell("bert-mini", "", RAW, 1)
    parse = Cell("image", "json", PARSE, 1)
    found = [
        Target(
            "MLP binary: instructions over the floor's",
            Limit(INSTRUCTIONS),
            [] if instructions is None else [instructions],
            why_not,
        ),
        cpu(f"MLP binary: CPU over the floor's ({BINARY} µs where that is {FLOOR})", BINARY / FLOOR, mlp, echo, raw),
        cpu(f"MLP JSON: CPU over that floor's ({JSON} µs)", JSON / FLOOR, cell("mlp", "json"), echo, raw),
        cpu("602 KB in, binary: CPU over the echo's", 1.3, cell("image", "binary"), cell("image", "binary", ECHO)),
        cpu(
            "602 KB in and out, binary: CPU over the echo's",
            1.3,
            cell("image-through", "binary"),
            cell("image-through", "binary", ECHO),
        ),
        cpu(
            f"1 MB of JSON: CPU over that of serde's parse ({LARGE_JSON:g} ms where that is {SERDE})",
            LARGE_JSON / SERDE,
            cell("image", "json"),
            parse,
        ),
        by.ratio(
            "BERT-mini: requests/s over runs/s of ONNX Runtime by itself",
            Limit(0.95, is_least=True),
            "rate",
            cell("bert-mini", "binary"),
            bert,
        ),
        cpu("MLP: CPU over gRPC over that of REST binary", 1.5, cell("mlp", "grpc"), mlp),
    ]
    slowest = by.slowest_native() or NATIVE[0]
    found.append(
        by.ratio(
            f"MLP binary, half of what {slowest} can do: p99 over {slowest}'s",
            Limit(0.5),
            "p99",
            cell("mlp", "binary", share=0.5),
            cell("mlp", "binary", slowest, share=0.5),
        )
    )
    for limit, server, protocols in ((2.5, "mosec", ("binary", "json")), *((10, name, ("json",)) for name in PYTHON)):
        found += [
            by.ratio(
                f"MLP {protocol if protocol == 'binary' else 'JSON'}: requests/s over those of {server}",
                Limit(limit, is_least=True),
                "rate",
                cell("mlp", protocol),
                cell("mlp", protocol, server),
            )
            for protocol in protocols
        ]
    return found
