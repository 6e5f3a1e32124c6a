"""Programs that send requests, and what they report.

wrk waits for an answer before it sends the next request, and so finds out how much a server can do. vegeta sends at a
given rate, whatever comes back, and counts from the time a request was due: what a user sees of a busy server. ghz does
over gRPC what wrk does over HTTP.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def at_rate(vegeta: str, address: str, body: Body, place: Path, rate: float, seconds: float) -> Load:
    """Send so many requests a second, over as many connections as it takes."""
    place.write_bytes(body.content)
    headers = [f"{name}: {value}" for name, value in body.headers.items()]
    target = "\n".join([f"POST http://{address}{body.path}", *headers, f"@{place}"]) + "\n"
    command = [vegeta, "attack", f"-rate={round(rate)}/1s", f"-duration={seconds:g}s", "-timeout=10s"]
    results = place.with_suffix(".vegeta")
    _run([*command, "-connections=64", "-max-workers=512", f"-output={results}"], seconds, target)
    found: dict[str, Any] = json.loads(_run([vegeta, "report", "-type=json", str(results)], seconds))
    failed = found["requests"] - found["status_codes"].get("200", 0)
    latencies = found["latencies"]
    return _judge(found["requests"], found["duration"] / 1e9, failed, latencies["50th"] / 1e6, latencies["99th"] / 1e6)


def saturate_grpc(ghz: str, protocol: Path, address: str, message: Path, connections: int, seconds: float) -> Load:
    """Send one message over connections of their own that are never idle."""
    command = [ghz, "--insecure", f"--proto={protocol}", "--call=inference.GRPCInferenceService.ModelInfer"]
    command += [f"--concurrency={connections}", f"--connections={connections}", f"--duration={seconds:g}s"]
    command += ["--duration-stop=wait", f"--binary-file={message}", "--format=json", "--count-errors", address]
    found: dict[str, Any] = json.loads(_run(command, seconds))
    failed = found["count"] - found["statusCodeDistribution"].get("OK", 0)
    latency = {entry["percentage"]: entry["latency"] / 1e6 for entry in found["latencyDistribution"] or []}
    return _judge(found["count"], found["total"] / 1e9, failed, latency.get(50, 0), latency.get(99, 0))
