"""Programs that send requests, and what they report.

wrk waits for an answer before it sends the next request, and so finds out how much a server can do. vegeta sends at a
given rate, whatever comes back, and counts from the time a request was due: what a user sees of a busy server.
h2load does over gRPC what wrk does over HTTP, and costs as little: a client that takes more of the cores than the
server leaves it idle, and an idle server wakes up for every request.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payloads import METHOD

if TYPE_CHECKING:
    from payloads import Body

POST = Path(__file__).parent / "post.lua"
# Beyond what a program was told to take.
PATIENCE_SECONDS = 60


class LoadError(Exception):
    """A run whose figures mean nothing."""


@dataclass(frozen=True)
class Load:
    """What came back: latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float


def _run(command: list[str], seconds: float, standard_input: str | None = None) -> str:
    result = subprocess.run(  # noqa: S603
        command, input=standard_input, capture_output=True, text=True, timeout=seconds + PATIENCE_SECONDS, check=False
    )
    if result.returncode != 0:
        message = f"{Path(command[0]).name} ended with {result.returncode}: {result.stderr.strip()[-500:]}"
        raise LoadError(message)
    return result.stdout


def _judge(requests: int, seconds: float, errors: int, p50: float, p99: float) -> Load:
    if errors or not requests:
        message = f"{errors} of {requests} requests failed; expected none: look at the server's log"
        raise LoadError(message)
    return Load(requests, seconds, p50, p99)


def http_text(body: Body) -> bytes:
    """Write a request as it goes over the connection."""
    headers = {"Host": "127.0.0.1", **body.headers, "Content-Length": str(len(body.content))}
    lines = [f"POST {body.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body.content


def saturate(address: str, requests: list[Path], connections: int, seconds: float) -> Load:
    """Send texts of HTTP over connections that are never idle, from one thread."""
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds:g}s", "--timeout=10s"]
    files = [str(place) for place in requests]
    output = _run([*command, f"--script={POST}", f"http://{address}/", "--", *files], seconds)
    found = json.loads(output.splitlines()[-1])
    return _judge(found["requests"], found["seconds"], found["errors"], found["p50"], found["p99"])


def at_rate(address: str, body: Body, place: Path, rate: float, seconds: float) -> Load:
    """Send so many requests a second, over as many connections as it takes."""
    place.write_bytes(body.content)
    headers = [f"{name}: {value}" for name, value in body.headers.items()]
    target = "\n".join([f"POST http://{address}{body.path}", *headers, f"@{place}"]) + "\n"
    command = ["vegeta", "attack", f"-rate={round(rate)}/1s", f"-duration={seconds:g}s", "-timeout=10s"]
    results = place.with_suffix(".vegeta")
    # As many connections stay open as there are workers: a server that falls behind would else have one made and closed
    # for nearly every request, until this machine has no port left.
    _run([*command, "-connections=512", "-max-workers=512", f"-output={results}"], seconds, target)
    found: dict[str, Any] = json.loads(_run(["vegeta", "report", "-type=json", str(results)], seconds))
    failed = found["requests"] - found["status_codes"].get("200", 0)
    latencies = found["latencies"]
    if failed and found["errors"]:
        reasons = "; ".join(found["errors"][:3])
        message = f"{failed} of {found['requests']} requests failed: {reasons}"
        raise LoadError(message)
    return _judge(found["requests"], found["duration"] / 1e9, failed, latencies["50th"] / 1e6, latencies["99th"] / 1e6)


def saturate_grpc(address: str, message: Path, answer_bytes: int, connections: int, seconds: float) -> Load:
    """Send one call again and again over connections that are never idle, from one thread.

    h2load knows no gRPC: a call that fails has the HTTP status 200 too, but no message, so the bytes are counted.
    """
    log = message.with_suffix(".h2load")
    log.unlink(missing_ok=True)
    command = ["h2load", f"--clients={connections}", "--max-concurrent-streams=1", "--threads=1"]
    command += [f"--duration={seconds:g}", f"--data={message}", f"--log-file={log}", f"http://{address}{METHOD}"]
    output = _run([*command, "--header=content-type: application/grpc", "--header=te: trailers"], seconds)
    latencies = sorted(int(line.split("\t")[2]) / 1e3 for line in log.read_text().splitlines())
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    sent = re.search(r"\((\d+)\) data", output)
    took = re.search(r"finished in ([0-9.]+)s", output)
    if counts is None or sent is None or took is None:
        message_of_error = f"h2load reports in another way than expected: {output[-500:]}"
        raise LoadError(message_of_error)
    succeeded, *failed = map(int, counts.groups())
    if int(sent[1]) < succeeded * answer_bytes:
        failed.append(succeeded - int(sent[1]) // answer_bytes)
    places = [min(len(latencies) - 1, int(len(latencies) * part)) for part in (0.5, 0.99)]
    p50, p99 = (latencies[place] for place in places) if latencies else (0.0, 0.0)
    return _judge(succeeded, float(took[1]), sum(failed), p50, p99)
