"""Measure servers of models side by side.

In: the programs that are compared, a folder to work in, and how long to measure. Out: a report in Markdown and its
plot. Ends with 1 where a target is missed or a peer is not shown that was asked for.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import answers
import clients
import plot
import processes
import report
import rounds
import steps
import targets
from answers import AnswerError
from calls import Calls, framed
from compared import CORES, Echo, make_server
from matrix import CONNECTIONS, ECHO, GROUPS, NATIVE, OURS, PARSE, RAW, Group
from payloads import Body, Workload, workload, write_raw
from rounds import Cell, Results, Sample
from servers import Server, ServerError
from steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

GRPC = "grpc"
STARTS = 3


class Bench:
    """The programs, the folder, and what was found."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Begin with nothing found."""
        self.arguments = arguments
        self.work = Path(arguments.work)
        self.requests = self.work / "requests"
        self.requests.mkdir(parents=True, exist_ok=True)
        self.calls = Calls(arguments.protocol, self.work)
        self.results = Results(wanted=arguments.rounds)
        # A server's name and why it is not shown.
        self.missing: dict[str, str] = dict(entry.split("=", 1) for entry in arguments.missing)
        self.started: dict[str, list[Server]] = {}
        # What the loads of ours added to its own statistics.
        self.steps: dict[Cell, Steps] = {}
        self.environments: dict[str, str] = dict(entry.split("=", 1) for entry in arguments.peer)

    def model(self, work: Workload) -> Path:
        """Give the file of a workload's model."""
        return self.work / "models" / f"{work.model}.onnx"

    def start(self, name: str, work: Workload, starts: int) -> Server | None:
        """Start a server of a workload's model, and again; nothing if it is a peer that cannot be started."""
        if name != OURS and name not in self.environments:
            return None
        executable = self.arguments.runtime if name == OURS else self.environments[name]
        server = make_server(name, work, self.work, executable)
        try:
            server.start()
            for _ in range(starts - 1):
                server.stop()
                server.start()
        except (ServerError, OSError) as error:
            if name == OURS:
                raise
            # Without the path, since the report is for everybody.
            self.miss(name, str(error.strerror if isinstance(error, OSError) else error))
            return None
        return server

    def miss(self, name: str, why: str) -> None:
        """Leave a server out, and say so."""
        self.missing.setdefault(name, why)
        self.environments.pop(name, None)
        print(f"NOT SHOWN: {name}: {why}", file=sys.stderr, flush=True)

    def bodies(self, server: Server, work: Workload, protocol: str) -> list[Body]:
        """Write a workload's requests as a server takes them."""
        return [server.write(protocol, work.model, inputs) for inputs in work.requests]

    def saturate(self, server: Server, work: Workload, cell: Cell, seconds: int) -> Sample:
        """Load a server with all that it can do."""
        if cell.protocol == GRPC:
            place = self.requests / f"{work.name}.message"
            place.write_bytes(framed(self.calls.write(work.model, work.requests[0])))
            send = partial(clients.saturate_grpc, f"127.0.0.1:{server.grpc}", place, server.grpc_answer_bytes)
        else:
            texts = []
            for number, body in enumerate(self.bodies(server, work, cell.protocol)):
                texts.append(self.requests / f"{server.name}-{work.name}-{cell.protocol}-{number}")
                texts[-1].write_bytes(clients.http_text(body))
            send = partial(clients.saturate, server.address, texts)
        if server.name != OURS:
            return self._sample(server, partial(send, cell.connections, seconds))
        before = steps.read(server.http, work.model)
        sample = self._sample(server, partial(send, cell.connections, seconds))
        added = steps.read(server.http, work.model).since(before)
        self.steps[cell] = self.steps.get(cell, Steps()) + added
        return sample

    def at_rate(self, server: Server, work: Workload, cell: Cell, capacity: float) -> Sample:
        """Load a server with a part of what the slowest native peer can do."""
        body = self.bodies(server, work, cell.protocol)[0]
        place = self.requests / f"{server.name}-{work.name}-{cell.protocol}.body"
        send = partial(clients.at_rate, server.address, body, place)
        return self._sample(server, partial(send, capacity * (cell.share or 1), self.arguments.seconds))

    def _sample(self, server: Server, send: Callable[[], clients.Load]) -> Sample:
        before = processes.processor_seconds(server.root)
        taken = send()
        if server.has_ended():
            message = f"{server.name} ended while it was loaded"
            raise clients.LoadError(message)
        used, in_kernel = (
            (now - then) / taken.requests * 1e6
            for now, then in zip(processes.processor_seconds(server.root), before, strict=True)
        )
        return Sample(taken.requests / taken.seconds, used, in_kernel, taken.p50, taken.p99)

    def check(self, server: Server, work: Workload, protocols: tuple[str, ...]) -> int:
        """Compare a server's answers with those of ONNX Runtime by itself; give the size of the last one."""
        size = 0
        wanted = answers.expected(self.model(work), work)
        for protocol in protocols:
            who = f"{server.name}, {work.name} over {protocol}"
            for number, inputs in enumerate(work.requests):
                if protocol == GRPC:
                    message = self.calls.write(work.model, inputs)
                    found, server.grpc_answer_bytes = self.calls.ask(f"127.0.0.1:{server.grpc}", message)
                else:
                    headers, content = server.ask(server.write(protocol, work.model, inputs))
                    found, size = server.protocols[protocol].read(headers, content), len(content)
                answers.compare(who, found, wanted[number])
        return size

    def by_itself(self, group: Group, work: Workload, seconds: float) -> Sample:
        """Run the model without a server."""
        threads = CORES if group.on_all_cores else 1
        place = write_raw(work, self.requests)
        command = [f"{self.arguments.floor}/raw", f"--library={self.arguments.library}", f"--threads={threads}"]
        return rounds.by_itself(
            [*command, f"--model={self.model(work)}", f"--requests={place}", f"--seconds={seconds:g}"]
        )

    def parse(self, work: Workload, server: Server) -> Sample:
        """Parse a request's JSON with serde."""
        place = self.requests / f"{work.name}.json-body"
        place.write_bytes(self.bodies(server, work, "json")[0].content)
        return rounds.by_itself(
            [f"{self.arguments.floor}/parse", str(place), f"--seconds={self.arguments.seconds / 2:g}"]
        )


def measure(bench: Bench, group: Group) -> None:
    """Start the servers of a group, compare their answers, and make the rounds."""
    work = workload(group.workload)
    with ExitStack() as stack:
        running: dict[str, Server] = {}
        for name in (OURS, *group.servers):
            server = bench.start(name, work, STARTS if group.shows_start else 1)
            if server is not None:
                stack.callback(server.stop)
                running[name] = server
        offered = {
            name: tuple(protocol for protocol in group.protocols if protocol in server.offers)
            for name, server in running.items()
        }
        sizes = {
            protocol: bench.check(running[OURS], work, (protocol,)) for protocol in group.protocols if protocol != GRPC
        }
        for name, server in running.items():
            bench.check(server, work, offered[name])
        bench.started[group.workload] = list(running.values())
        for server in running.values():
            server.idle_megabytes = processes.megabytes(server.root)
        seconds = bench.arguments.seconds * group.stretch
        cells: dict[Cell, Callable[[], Sample]] = {
            cell: partial(bench.saturate, running[cell.server], work, cell, seconds) for cell in group.cells(offered)
        }
        for protocol, size in sizes.items():
            program, probe = f"{bench.arguments.floor}/echo", Body("/0", {}, b"")
            echo = Echo(ECHO, bench.model(work), bench.work, program, probe, answer_bytes=size)
            echo.start()
            stack.callback(echo.stop)
            cell = Cell(group.workload, protocol, ECHO, CONNECTIONS)
            cells[cell] = partial(bench.saturate, echo, work, cell, seconds)
        if group.has_parse:
            cells[Cell(group.workload, "json", PARSE, 1)] = partial(bench.parse, work, running[OURS])
        measure_raw = partial(bench.by_itself, group, work, bench.arguments.seconds * group.stretch**2 / 4)
        raw = Cell(group.workload, "", RAW, CORES if group.on_all_cores else 1)
        bench.results.raw[group.workload] = raw
        bench.results.samples[raw] = rounds.make(bench.results, group.workload, measure_raw, cells)
        rates = rates_of(bench, group, running, offered)
        if rates:
            rounds.make(bench.results, f"{group.workload}, at a rate", measure_raw, rates)


def rates_of(
    bench: Bench, group: Group, running: dict[str, Server], offered: dict[str, tuple[str, ...]]
) -> dict[Cell, Callable[[], Sample]]:
    """Load the native servers at parts of what the slowest of the peers can do, once that is known."""
    work = workload(group.workload)
    capacities = [
        statistics.median(rates)
        for cell in group.cells(offered)
        if cell.server in NATIVE and cell.protocol == group.protocols[0] and cell.connections == CONNECTIONS
        if (rates := bench.results.series(cell, "rate"))
    ]
    if not capacities:
        return {}
    capacity = min(capacities)
    return {cell: partial(bench.at_rate, running[cell.server], work, cell, capacity) for cell in group.rates(offered)}


def machine() -> str:
    """Describe this machine, without its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no AVX")
    return f"{CORES} cores of {processor} ({widest})"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", required=True, help="modelwright-serve")
    parser.add_argument("--floor", required=True, help="folder of echo, raw and parse")
    parser.add_argument("--library", required=True, help="ONNX Runtime's shared library")
    parser.add_argument("--protocol", required=True, type=Path, help="the protocol's description for gRPC")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FOLDER", help="a peer's executables")
    parser.add_argument("--asked", default="", help="peers that must be shown, separated by commas")
    parser.add_argument("--missing", action="append", default=[], metavar="NAME=WHY", help="why a peer is not there")
    parser.add_argument("--instructions", type=Path, help="what the command `instructions` wrote")
    parser.add_argument("--workloads", default="", help="some of them, separated by commas")
    parser.add_argument("--rounds", required=True, type=int)
    parser.add_argument("--seconds", required=True, type=int, help="for which a server is loaded in a round")
    parser.add_argument("--versions", required=True, help="of what is compared")
    parser.add_argument("--work", required=True, help="folder to work in, with models in models/")
    parser.add_argument("--report", required=True, type=Path, help="Markdown to write; its plot lies beside it")
    return parser.parse_args()


def main() -> None:
    """Measure all, write the report, and say what is missed."""
    # Servers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given = arguments()
    bench = Bench(given)
    chosen = given.workloads.split(",") if given.workloads else [group.workload for group in GROUPS]
    begun = time.monotonic()
    for group in GROUPS:
        if group.workload in chosen:
            try:
                measure(bench, group)
            except (AnswerError, ServerError) as error:
                sys.exit(f"{group.workload}: {error}")
    instructions = json.loads(given.instructions.read_text()) if given.instructions else {}
    why_not = instructions.get("why_not", "" if instructions else "the command instructions was not run")
    found = targets.judge(bench.results, bench.missing, instructions.get("ratio"), why_not)
    conditions = report.Conditions(machine(), given.versions, given.rounds, given.seconds, time.monotonic() - begun)
    text = report.render(conditions, bench.results, bench.started, bench.missing, found)
    text += report.where(bench.results, bench.steps)
    if "parts" in instructions:
        text += report.profile(instructions["parts"], instructions["others"])
    given.report.write_text(text)
    given.report.with_suffix(".svg").write_text(plot.draw(bench.results))
    print(text)
    missed = [target.title for target in found if target.is_missed]
    for title in missed:
        print(f"missed: {title}", file=sys.stderr)
    for name, why in bench.missing.items():
        print(f"NOT SHOWN: {name}: {why}", file=sys.stderr)
    for cell, why in bench.results.failed.items():
        print(f"NOT SHOWN: {cell.name}: {why}", file=sys.stderr)
    if missed or bench.results.failed or any(name in given.asked.split(",") for name in bench.missing):
        sys.exit(1)


if __name__ == "__main__":
    main()
