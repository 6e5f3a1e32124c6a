"""Measure the runtime on a GPU beside ONNX Runtime by itself there, and beside the runtime on the processors.

In: the executables, and a folder for models and logs. Out: a table on standard output. Every answer is first compared
with that of ONNX Runtime on a processor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import answers
import payloads
import steps
from clients import Load, http_text, saturate
from compared import Modelwright
from processes import megabytes

WORKLOADS = ("mlp", "cnn", "image", "bert-mini")
CONNECTIONS = (1, 16, 64)
# CUDA sums in another order and by other kernels: what the runtime lets pass between devices.
TOLERANCE = 1e-3
WARM_SECONDS = 1.0
ON_CUDA = ("--execution-provider=CUDA",)


@dataclass
class Served:
    """A server and what it did in each round, by connections."""

    server: Modelwright
    loads: dict[int, list[Load]]
    runs: dict[int, float]


def raw(executable: Path, model: Path, requests: Path, seconds: float) -> float:
    """Run ONNX Runtime by itself on the GPU, in one thread, and give its runs a second."""
    command = [str(executable), f"--model={model}", f"--requests={requests}", f"--seconds={seconds:g}", "--cuda"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    return float(found["runs"]) / float(found["seconds"])


def check(server: Modelwright, work: payloads.Workload, wanted: list[payloads.Inputs]) -> None:
    """Compare each answer with ONNX Runtime's on a processor."""
    for inputs, expected in zip(work.requests, wanted, strict=True):
        body = server.write("binary", work.model, inputs)
        answers.compare(server.name, payloads.read_answer(*server.ask(body)), expected, TOLERANCE)


def measure(served: Served, work: payloads.Workload, files: list[Path], seconds: float) -> None:
    """Load a server over each number of connections."""
    for connections in CONNECTIONS:
        before = steps.read(served.server.http, work.model)
        served.loads[connections].append(saturate(served.server.address, files, connections, seconds))
        since = steps.read(served.server.http, work.model).since(before)
        served.runs[connections] = since.requests / max(1, since.runs)


def spread(values: list[float]) -> str:
    """Write a median with the extremes."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def compare(arguments: argparse.Namespace, name: str) -> None:
    """Measure one workload in rounds, and print its rows."""
    work = payloads.workload(name)
    model = arguments.work / "models" / f"{work.model}.onnx"
    requests = payloads.write_raw(work, arguments.work / "raw")
    wanted = answers.expected(model, work)
    bodies = [payloads.binary_body(work.model, inputs) for inputs in work.requests]
    files = []
    for number, body in enumerate(bodies):
        files.append(arguments.work / f"{name}-{number}.http")
        files[-1].write_bytes(http_text(body))
    flags = {"CUDA": ON_CUDA, "CUDA, 2 ms": (*ON_CUDA, "--max-delay=2000"), "CPU": ()}
    table = {
        title: Served(
            Modelwright(title, model, arguments.work, str(arguments.runtime), bodies[0], flags=more),
            {connections: [] for connections in CONNECTIONS},
            {},
        )
        for title, more in flags.items()
    }
    alone: list[float] = []
    try:
        for served in table.values():
            served.server.start()
            check(served.server, work, wanted)
            saturate(served.server.address, files, CONNECTIONS[-1], WARM_SECONDS)
        for _ in range(arguments.rounds):
            alone.append(raw(arguments.raw, model, requests, arguments.seconds))
            for served in table.values():
                measure(served, work, files, arguments.seconds)
        print(f"| {name} | by itself on CUDA | 1 | {spread(alone)} | | {1e3 / statistics.median(alone):.3f} | | |")
        for title, served in table.items():
            for connections, loads in served.loads.items():
                rates = [load.requests / load.seconds for load in loads]
                ratio = spread([rate / runs for rate, runs in zip(rates, alone, strict=True)])
                p50, p99 = (statistics.median(getattr(load, which) for load in loads) for which in ("p50", "p99"))
                print(
                    f"| {name} | served, {title} | {connections} | {spread(rates)} | {ratio} | {p50:.3f} | {p99:.3f} |"
                    f" {served.runs[connections]:.1f} |",
                    flush=True,
                )
            memory = megabytes(served.server.root)
            ready = served.server.ready_seconds[0]
            print(f"{name}, {title}: first answer after {ready:.2f} s, {memory:.0f} MB", file=sys.stderr)
    finally:
        for served in table.values():
            served.server.stop()


def main() -> None:
    """Measure each workload."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors")
    print("| model | where | connections | requests/s | over by itself | p50, ms | p99, ms | requests a run |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.workloads.split(","):
        compare(arguments, name)


if __name__ == "__main__":
    main()
