"""Count the instructions of a request with valgrind's callgrind: of ours, and of the floor.

In: the programs, and the protocol's description. Out: instructions a request, held against the expected ones or written
as JSON. A process is counted once it has started and is warm, so that its start counts nothing, in a few sections of
requests. The section in the middle counts: threads meet otherwise from one to the next, by half a percent. Of three
processes of ours the least counts: where the allocator finds its blocks differs from one to the next, by 0.8 percent.

Under valgrind a processor has AVX2 and no more, and a run takes a thousand times longer. The runtime is told to call
that quick, so that it makes the run where the request was read, as it does with this model in production.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import platform
import re
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from calls import Calls
from clients import http_text
from compared import Echo, Modelwright
from matrix import ECHO, OURS, OVER_GRPC, RAW
from parts import share_out
from payloads import METHOD, Body, binary_body, json_body, workload, write_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from servers import Server

EXPECTED = Path(__file__).parent / "instructions.json"
REQUESTS, SECTIONS, WARM, PROCESSES = 100, 5, 50, 3
# What is shared out to parts beside the MLP over binary: the same over gRPC, and, without a floor, requests of another
# model, in one section of a few, since each takes far longer.
OTHERS = (("image", "binary"), ("image", "JSON"))
FEW = 4
TOLERANCE = 0.01
VALGRIND = ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no")
QUICK = ("--quick=100000000",)
# ONNX Runtime takes seconds to load under valgrind, minutes on a machine that is busy.
LONGEST_SECONDS = 300


class CountError(Exception):
    """A count that means nothing."""


@dataclass(frozen=True)
class Counted:
    """Instructions a request."""

    modelwright: float
    echo: float
    onnxruntime: float

    @property
    def ratio(self) -> float:
        """Of ours over the floor's."""
        return self.modelwright / (self.echo + self.onnxruntime)


def conditions(library: Path) -> dict[str, str]:
    """Give what the numbers depend on, beside the code."""

    def version(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]  # noqa: S603

    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")).split()
    return {
        "rustc": version("rustc", "--version"),
        "onnxruntime": re.sub(r"^libonnxruntime\.so\.", "", library.name),
        "valgrind": version("valgrind", "--version"),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        # Whatever is wider is hidden by valgrind.
        "processor": " ".join(name for name in ("avx", "avx2", "fma", "bmi2", "f16c") if name in flags),
    }


def _control(process: int, *command: str) -> None:
    result = subprocess.run(  # noqa: S603
        ["vgdb", f"--pid={process}", *command],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )
    if result.returncode != 0:
        message = f"valgrind's process does not listen to vgdb {' '.join(command)}: {result.stderr.strip()[-300:]}"
        raise CountError(message)


def count(
    process: int, dumps: Path, ask: Callable[[int], None], requests: int = REQUESTS, sections: int = SECTIONS
) -> float:
    """Count a request of a process that `ask` sends some to, in so many sections of so many."""
    _control(process, "instrumentation", "on")
    ask(min(WARM, requests))
    _control(process, "dump")
    totals = []
    # The first file is that of the warm-up.
    for number in range(2, sections + 2):
        ask(requests)
        _control(process, "dump")
        totals.append(_total(dumps.with_name(f"{dumps.name}.{number}")))
    return statistics.median(totals) / requests


def parts_of(dump: Path, requests: int) -> dict[str, float]:
    """Share a request out to parts, by one section."""
    return {part: n / requests for part, n in share_out(dump).items()}


def _total(dump: Path) -> int:
    begun = time.monotonic()
    # vgdb answers before the file is there.
    while True:
        lines = dump.read_text().splitlines() if dump.exists() else []
        totals = [int(line.split()[1]) for line in lines if line.startswith("totals:")]
        if totals:
            return totals[0]
        if time.monotonic() - begun > LONGEST_SECONDS:
            message = f"valgrind wrote no totals to {dump}"
            raise CountError(message)
        time.sleep(0.01)


def _dumps(work: Path, name: str) -> Path:
    for place in work.glob(f"{name}.callgrind*"):
        place.unlink()
    return work / f"{name}.callgrind"


@contextlib.contextmanager
def over_http(server: Server, body: Body) -> Iterator[Callable[[], None]]:
    """Connect over HTTP, and give what sends a request and reads its answer."""
    text = http_text(body)
    with socket.create_connection(("127.0.0.1", server.http), LONGEST_SECONDS) as connection:

        def ask() -> None:
            # At once: in two parts it would be read once or twice, by chance.
            connection.sendall(text)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            if answer.status != http.client.OK:
                message = f"{server.name} answered with {answer.status}"
                raise CountError(message)

        yield ask


@contextlib.contextmanager
def over_grpc(server: Server, message: bytes) -> Iterator[Callable[[], None]]:
    """Connect over gRPC, and give what makes a call."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary(METHOD)
        yield lambda: call(message, timeout=LONGEST_SECONDS, wait_for_ready=True)


def count_server(
    server: Server,
    connect: Callable[[Server], AbstractContextManager[Callable[[], None]]],
    work: Path,
    requests: int = REQUESTS,
    sections: int = SECTIONS,
) -> float:
    """Count a server's work, with requests one after another over one connection."""
    dumps = _dumps(work, server.name)
    server.wrapper = (*VALGRIND, f"--callgrind-out-file={dumps}")
    server.longest_seconds = LONGEST_SECONDS
    server.start()
    try:
        with connect(server) as ask:

            def ask_all(requests: int) -> None:
                for _ in range(requests):
                    ask()

            return count(server.root, dumps, ask_all, requests, sections)
    finally:
        server.stop()


def other_parts(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Share out what other requests cost us."""
    found = {}
    for name, protocol in OTHERS:
        other = workload(name)
        body = {"binary": binary_body, "JSON": json_body}[protocol](other.model, other.requests[0])
        model = given.work / "models" / f"{other.model}.onnx"
        ours = Modelwright(OURS, model, given.work, given.runtime, body, flags=QUICK)
        count_server(ours, partial(over_http, body=body), given.work, FEW, sections=1)
        found[f"{name}, {protocol}"] = parts_of(given.work / f"{OURS}.callgrind.2", FEW)
    return found


def grpc_parts(given: argparse.Namespace) -> dict[str, float]:
    """Share out what the MLP costs us over gRPC, by the last section as over binary."""
    mlp = workload("mlp")
    model = given.work / "models" / f"{mlp.model}.onnx"
    message = Calls(given.protocol, given.work).write(mlp.model, mlp.requests[0])
    body = binary_body(mlp.model, mlp.requests[0])
    ours = Modelwright(OVER_GRPC, model, given.work, given.runtime, body, flags=QUICK)
    count_server(ours, partial(over_grpc, message=message), given.work)
    return parts_of(given.work / f"{OVER_GRPC}.callgrind.{SECTIONS + 1}", REQUESTS)


def count_raw(floor: Path, library: Path, model: Path, requests: Path, work: Path) -> float:
    """Count ONNX Runtime by itself."""
    dumps = _dumps(work, "raw")
    command = [*VALGRIND, f"--callgrind-out-file={dumps}", str(floor / "raw"), f"--library={library}"]
    command += [f"--model={model}", f"--requests={requests}"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        write, read = process.stdin, process.stdout

        def ask(runs: int) -> None:
            write.write(f"{runs}\n")
            write.flush()
            if not read.readline():
                message = f"{RAW} ended"
                raise CountError(message)

        try:
            ask(1)
            return count(process.pid, dumps, ask)
        finally:
            process.kill()


def measure(given: argparse.Namespace) -> Counted:
    """Count all three."""
    work = Path(given.work)
    mlp = workload("mlp")
    model = work / "models" / f"{mlp.model}.onnx"
    body = binary_body(mlp.model, mlp.requests[0])
    requests = write_raw(mlp, work / "requests")

    def ours() -> Modelwright:
        return Modelwright(OURS, model, work, given.runtime, body, flags=QUICK)

    # The answer of ours is 40 bytes of tensor behind 192 of JSON, more or less.
    echo = Echo(ECHO, model, work, str(given.floor / "echo"), Body("/0", {}, b""), answer_bytes=232)
    return Counted(
        min(count_server(ours(), partial(over_http, body=body), work) for _ in range(PROCESSES)),
        count_server(echo, partial(over_http, body=echo.write("binary", mlp.model, mlp.requests[0])), work),
        count_raw(given.floor, given.library, model, requests, work),
    )


def check(found: Counted, here: dict[str, str]) -> bool:
    """Hold the numbers against the expected ones; say so where they cannot be compared."""
    expected = json.loads(EXPECTED.read_text())
    different = [
        f"{name} {here[name]} instead of {value}"
        for name, value in expected["conditions"].items()
        if here[name] != value
    ]
    is_right = True
    for name, value in asdict(found).items():
        wanted = expected["instructions"][name]
        line = f"{name}: {value:,.0f} instructions a request, {wanted:,.0f} expected ({value / wanted - 1:+.2%})"
        if different:
            print(f"NOT SHOWN {line}: here is {', '.join(different)}")
        elif abs(value / wanted - 1) <= TOLERANCE:
            print(f"ok      {line}")
        else:
            is_right = False
            print(f"FAILED  {line}; if that is meant: tests/bench/serving/instructions accept")
    return is_right


def main() -> None:
    """Count, and do what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--floor", required=True, type=Path)
    parser.add_argument("--library", required=True, type=Path)
    parser.add_argument("--protocol", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("what", nargs="?", choices=("check", "measure", "accept"), default="check")
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args()
    try:
        found = measure(given)
    except CountError as error:
        sys.exit(str(error))
    here = conditions(given.library)
    print(f"{found.modelwright:,.0f} instructions a request, {found.ratio:.3f} of the floor's", file=sys.stderr)
    if given.what == "measure":
        # Of the last section, which differs from the one that counts by half a percent at most.
        last = {OURS: OURS, ECHO: ECHO, RAW: "raw"}
        parts = {
            name: parts_of(given.work / f"{dump}.callgrind.{SECTIONS + 1}", REQUESTS) for name, dump in last.items()
        }
        parts[OVER_GRPC] = grpc_parts(given)
        measured = {"ratio": found.ratio, "instructions": asdict(found), "parts": parts, "others": other_parts(given)}
        given.file.write_text(json.dumps(measured) + "\n")
    elif given.what == "accept":
        numbers = {name: round(value) for name, value in asdict(found).items()}
        EXPECTED.write_text(json.dumps({"conditions": here, "instructions": numbers}, indent=2) + "\n")
    elif not check(found, here):
        sys.exit(1)


if __name__ == "__main__":
    main()
