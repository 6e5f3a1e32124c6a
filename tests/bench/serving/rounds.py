"""Rounds: every server is loaded once in each, one after another, between two runs of ONNX Runtime by itself.

A round in which ONNX Runtime by itself took another time than usual says more about the machine than about the servers:
it is thrown away, and another one is made in its place, up to a third as many.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Part by which ONNX Runtime by itself may differ from its median.
STEADY = 0.15


@dataclass(frozen=True, order=True)
class Cell:
    """What one line of a table is about."""

    workload: str
    protocol: str
    server: str
    connections: int
    # Requests a second as a part of what the slowest native peer can do; none where all is sent that can be.
    share: float | None = None

    @property
    def name(self) -> str:
        """Name it for people."""
        rate = "" if self.share is None else f", at {self.share:.0%}"
        return f"{self.server}, {self.workload} over {self.protocol}, {self.connections} connections{rate}"


@dataclass(frozen=True)
class Sample:
    """One run: requests a second, microseconds of a processor a request, in all and in the kernel, latencies in ms."""

    rate: float
    microseconds: float
    kernel: float | None = None
    p50: float | None = None
    p99: float | None = None


@dataclass
class Results:
    """Samples of the rounds that were kept, in the same order for every cell."""

    wanted: int = 0
    samples: dict[Cell, list[Sample]] = field(default_factory=dict)
    # ONNX Runtime by itself, by workload.
    raw: dict[str, Cell] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    thrown: dict[str, int] = field(default_factory=dict)
    # Why a cell was given up.
    failed: dict[Cell, str] = field(default_factory=dict)

    def series(self, cell: Cell, figure: str) -> list[float] | None:
        """Give a figure of a cell in every round, or nothing where it was not measured."""
        if cell not in self.samples:
            return None
        values = [getattr(sample, figure) for sample in self.samples[cell]]
        return None if None in values else values


def by_itself(command: list[str]) -> Sample:
    """Run a program of the floor, which measures itself."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        sys.exit(f"{Path(command[0]).name} ended with {result.returncode}: {result.stderr.strip()[-500:]}")
    taken: dict[str, Any] = json.loads(result.stdout)
    return Sample(taken["runs"] / taken["seconds"], taken["processor_seconds"] / taken["runs"] * 1e6)


def _moved(raw: list[tuple[Sample, Sample]]) -> list[bool]:
    usual = statistics.median(sample.microseconds for pair in raw for sample in pair)
    return [any(abs(sample.microseconds / usual - 1) > STEADY for sample in pair) for pair in raw]


def _round(results: Results, cells: Mapping[Cell, Callable[[], Sample]], order: list[Cell]) -> dict[Cell, Sample]:
    """Measure every cell; one that fails is left out from then on, and the others go on."""
    taken = {}
    for cell in order:
        if cell in results.failed:
            continue
        try:
            taken[cell] = cells[cell]()
        except LoadError as error:
            results.failed[cell] = str(error)
            print(f"NOT SHOWN: {cell.name}: {error}", file=sys.stderr, flush=True)
    return taken


def make(
    results: Results, name: str, measure_raw: Callable[[], Sample], cells: Mapping[Cell, Callable[[], Sample]]
) -> list[Sample]:
    """Make rounds until enough are steady, keep those, and give ONNX Runtime by itself in each of them."""
    raw: list[tuple[Sample, Sample]] = []
    rounds: list[dict[Cell, Sample]] = []
    most = results.wanted + results.wanted // 3
    moved: list[bool] = []
    while moved.count(False) < results.wanted and len(rounds) < most:
        begun = time.monotonic()
        # There and back: whoever comes first in one round comes last in the next.
        order = list(cells)[:: -1 if len(rounds) % 2 else 1]
        before = measure_raw()
        rounds.append(_round(results, cells, order))
        raw.append((before, measure_raw()))
        moved = _moved(raw)
        state = f"{moved.count(True)} to be thrown away"
        print(f"{name}: round {len(rounds)}, {time.monotonic() - begun:.0f} s, {state}", file=sys.stderr, flush=True)
    kept = [place for place, is_moved in enumerate(moved) if not is_moved]
    results.kept[name] = len(kept)
    results.thrown[name] = len(rounds) - len(kept)
    for cell in [cell for cell in cells if cell not in results.failed]:
        results.samples[cell] = [rounds[place][cell] for place in kept]
    return [
        Sample(
            statistics.mean(sample.rate for sample in raw[place]),
            statistics.mean(sample.microseconds for sample in raw[place]),
        )
        for place in kept
    ]
