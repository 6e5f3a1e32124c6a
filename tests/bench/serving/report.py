"""Writes the report: what it was measured on, the targets, and a table for each model."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix import CONNECTIONS, ECHO, GROUPS, OURS, OVER_GRPC, PARSE, RAW, Group
from parts import PARTS
from steps import INFER, INPUT, OUTPUT, QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rounds import Cell, Results
    from servers import Server
    from steps import Steps
    from targets import Target

PROTOCOLS = {"binary": "binary", "json": "JSON", "grpc": "gRPC", "": ""}

WRITTEN = "Written by `make bench`; [tests/bench/README.md](../tests/bench/README.md) says how it measures."
FIELDS = ("rate", "microseconds", "kernel", "p50", "p99")
PARTS_OF = """The instructions of a request, shared out to where each was written, wherever the compiler put it. The
kernel's are not among them: the tables above have its time."""
WHERE = """What the runtime says of itself, in µs a request, over all rounds with 16 connections: how long a request
waited, was read and put together with others, was run, and its answer taken apart and written; a run that requests
share counts for each of them. Beside it, how long a run takes in a process that does nothing else."""
FIGURES = """Figures are medians ± half of what lies between the highest and the lowest round. CPU is that of a server's
whole tree of processes. Compare CPU before requests/s: clients share the cores."""


@dataclass(frozen=True)
class Conditions:
    """How it was measured."""

    machine: str
    versions: str
    rounds: int
    seconds: int
    took: float


def _figure(values: list[float] | None, digits: int = 3) -> str:
    """Give the median and how far the rounds are from each other."""
    if not values:
        return ""
    median = statistics.median(values)
    half = (max(values) - min(values)) / 2
    return f"{_short(median, digits)} ± {_short(half, 2)}"


def _short(value: float, digits: int) -> str:
    """Round to so many digits, without an exponent."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e" in text or abs(value) >= 10 ** (digits - 1) else text


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(results: Results, cell: Cell, first: list[str]) -> list[str]:
    series = [results.series(cell, figure) for figure in FIELDS]
    return [*first, *map(_figure, series)]


def _group(results: Results, group: Group) -> str:
    cells = sorted(
        (cell for cell in results.samples if cell.workload == group.workload and cell.share is None),
        key=lambda cell: (
            list(PROTOCOLS).index(cell.protocol),
            cell.connections,
            _place(cell.server),
        ),
    )
    figures = ["requests/s", "CPU µs a request", "of it in the kernel", "p50 ms", "p99 ms"]
    rows = (_row(results, cell, [cell.server, PROTOCOLS[cell.protocol], str(cell.connections)]) for cell in cells)
    kept, thrown = results.kept[group.workload], results.thrown[group.workload]
    parts = [
        f"## {group.title[0].upper()}{group.title[1:]}",
        f"{kept} rounds; {thrown} thrown away.",
        _table(["server", "protocol", "connections", *figures], rows),
    ]
    rated = [cell for cell in results.samples if cell.workload == group.workload and cell.share is not None]
    if rated:
        name = f"{group.workload}, at a rate"
        parts += [
            f"At a given rate, whatever comes back. {results.kept[name]} rounds; {results.thrown[name]} thrown away.",
            _table(
                ["server", "of the slowest native peer's requests/s", *figures],
                (_row(results, cell, [cell.server, f"{cell.share:.0%}"]) for cell in rated),
            ),
        ]
    return "\n\n".join(parts)


def _place(server: str) -> int:
    order = [OURS, "Triton", "mosec", "MLServer", "KServe", ECHO, RAW, PARSE]
    return order.index(server)


def _starts(servers: list[Server]) -> str:
    rows = ([s.name, _figure(s.ready_seconds), f"{s.idle_megabytes:.0f}"] for s in servers)
    return _table(["server", "first answer, s after it was executed", "memory then, MB"], rows)


def where(results: Results, steps: Mapping[Cell, Steps]) -> str:
    """Tell what the time of a request goes to inside the runtime."""
    head = ["model", "protocol", "waited", "input", "run", "output", "requests a run", "run by itself"]
    rows = []
    for group in GROUPS:
        raw = results.raw.get(group.workload)
        rates = results.series(raw, "rate") if raw else None
        # As many runs at a time as it has threads.
        alone = f"{raw.connections / statistics.median(rates) * 1e6:,.1f}" if raw and rates else ""
        rows += [
            [
                group.workload,
                PROTOCOLS[cell.protocol],
                *(f"{taken.microseconds(step):,.1f}" for step in (QUEUE, INPUT, INFER, OUTPUT)),
                f"{taken.requests / max(1, taken.runs):.1f}",
                alone,
            ]
            for cell, taken in steps.items()
            if cell.workload == group.workload and cell.connections == CONNECTIONS
        ]
    return "\n\n".join(["\n## Where a request's time goes", WHERE, _table(head, rows)]) + "\n"


def _spent(part: str, counts: Mapping[str, float]) -> list[str]:
    ours, called = counts[OURS], counts[OVER_GRPC]
    over = ours - counts[ECHO] - counts[RAW]
    floor = (f"{counts[server]:,.0f}" for server in (ECHO, RAW))
    return [part, f"{ours:,.0f}", *floor, f"{over:+,.0f}", f"{called:,.0f}", f"{called - ours:+,.0f}"]


def profile(parts: Mapping[str, Mapping[str, float]], others: Mapping[str, Mapping[str, float]]) -> str:
    """Tell what a request's instructions are spent on: beside the floor, over gRPC, and those of other requests."""
    rows = [_spent(part, {server: of.get(part, 0) for server, of in parts.items()}) for part in PARTS]
    total = _spent("all", {server: sum(of.values()) for server, of in parts.items()})
    table = _table(["part", OURS, ECHO, RAW, "over the floor", OVER_GRPC, "over binary"], [*rows, total])
    all_of = {request: sum(of.values()) for request, of in others.items()}
    shares = ([part, *(f"{of.get(part, 0) / all_of[request]:.1%}" for request, of in others.items())] for part in PARTS)
    sizes = ["all, in thousands", *(f"{count / 1000:,.0f}" for count in all_of.values())]
    return "\n\n".join(
        [
            "\n## What the MLP's instructions are spent on, over binary and over gRPC",
            PARTS_OF,
            table,
            "## What those of other requests are spent on",
            _table(["part", *others], [*shares, sizes]) + "\n",
        ]
    )


def render(
    conditions: Conditions,
    results: Results,
    started: Mapping[str, list[Server]],
    missing: Mapping[str, str],
    found: list[Target],
) -> str:
    """Write the report."""
    targets = "\n".join(["| target | measured | to reach | |", "| --- | --- | --- | --- |", *(t.row() for t in found)])
    reasons = {**missing, **{cell.name: why for cell, why in results.failed.items()}}
    not_shown = "\n".join(f"- **Not shown**: {name}: {why}" for name, why in reasons.items())
    parts = [
        "# Benchmarks of serving",
        WRITTEN,
        (
            f"On {conditions.machine}, clients on the same cores; {conditions.versions}. Each server is loaded for "
            f"{conditions.seconds} s in each of {conditions.rounds} rounds; {conditions.took / 60:.0f} minutes in all."
        ),
        FIGURES,
        not_shown,
        "![CPU a request](benchmarks.svg)",
        "## Targets",
        targets,
        *(_group(results, group) for group in GROUPS if group.workload in results.kept),
    ]
    if "mlp" in started:
        parts += ["## Start and idle memory, with the MLP", _starts(started["mlp"])]
    return "\n\n".join(part for part in parts if part) + "\n"
