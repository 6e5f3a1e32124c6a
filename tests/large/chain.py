"""Take a model of 2.5 GB the way of an import: fetch, optimize, prove, publish, fetch to serve, serve, ask.

Each step is a process in a control group of its own, whose limit is what its container would be given. In: the
programs MODELWRIGHT_JOBS, MODELWRIGHT_SERVE and MODELWRIGHT_REGISTRY. Out: a line for each step, and `ok`, or the first
thing that is wrong; with `--page` the table of docs/variants.md, too.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP: Final = Path(__file__).parents[2]
JOBS: Final = os.environ["MODELWRIGHT_JOBS"]
SERVE: Final = os.environ["MODELWRIGHT_SERVE"]
GB: Final = 10**9
MIB: Final = 2**20
PAGE: Final = TOP / "docs" / "variants.md"
BEGIN: Final = "| step | limit of memory | most memory | seconds |\n"
VARIANTS: Final = [
    {"name": "int8", "quantize": "Dynamic", "for": "Latency"},
    {"name": "static", "quantize": "Static", "for": "Size"},
    {"name": "fp16", "for": "Size"},
]
JUDGED: Final = {"metric": "Accuracy", "maxMetricDrop": "0.15", "maxDisagreement": "0.15"}
"""Of a random network, whose classes lie near to each other. What counts here is that they are judged."""
OPTIMIZE: Final = ("OPTIMIZE", [sys.executable, "-m", "modelwright_trainer.optimize"])


@dataclass
class Steps:
    """What was done, and what each took."""

    work: Path
    done: list[tuple[str, int, int, float]] = field(default_factory=list)

    def run(self, name: str, what: tuple[str, list[str]], config: dict[str, Any], limit: int) -> dict[str, Any]:
        """Run one container's command, and return what it reports."""
        variable, command = what
        log = self.work / "termination"
        log.write_text("")
        environment = os.environ | {f"MODELWRIGHT_{variable}": json.dumps(config), "TMPDIR": str(self.work / "tmp")}
        with Group(limit) as group, (self.work / "words").open("w+") as words:
            begun = time.monotonic()
            line = group.command([*command, "--termination-log", str(log)])
            process = subprocess.Popen(line, env=environment, stdout=words, stderr=words)  # noqa: S603
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.add(name, limit, usage.ru_maxrss * 1024, time.monotonic() - begun)
            words.seek(0)
            told = log.read_text() or words.read()[-2000:]
            assert process.returncode == 0, f"{name} ended with {process.returncode}: {told}"
            assert not group.killed(), f"{name}: a process was killed for want of memory"
        assert not list((self.work / "tmp").iterdir()), f"{name} leaves something in /tmp"
        report: dict[str, Any] = json.loads(log.read_text())["succeeded"]
        return report

    def add(self, name: str, limit: int, most: int, seconds: float) -> None:
        """Note a step, and say so."""
        self.done.append((name, limit, most, seconds))
        print(f"{name}: {most / GB:.2f} GB of {limit // MIB} MiB, {seconds:.0f} s", flush=True)


class Group:
    """A control group that bounds memory, of either version."""

    def __init__(self, limit: int) -> None:
        """Make it."""
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        old = next((path for _, names, path in lines if "memory" in names.split(",")), None)
        root = Path("/sys/fs/cgroup/memory" if old else "/sys/fs/cgroup")
        own = old or next(path for _, names, path in lines if not names)
        self.folder = root / own.lstrip("/") / f"modelwright-large-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(limit))
        self.events = self.folder / ("memory.oom_control" if old else "memory.events")

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove it, behind its processes."""
        self.folder.rmdir()

    def command(self, command: list[str]) -> list[str]:
        """Return a command that runs in it."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]

    def killed(self) -> int:
        """Return how many of its processes the system ended."""
        lines = self.events.read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("oom_kill ")))


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run a registry, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": host},
    }
    (folder / "registry.yaml").write_text(json.dumps(config))
    command = [os.environ["MODELWRIGHT_REGISTRY"], "serve", str(folder / "registry.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:  # noqa: S603
        try:
            for _ in range(400):
                with socket.socket() as connection:
                    if not connection.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))):
                        break
                time.sleep(0.025)
            yield host
        finally:
            program.terminate()


def ask(steps: Steps, name: str, folder: Path, rows: np.ndarray, limit: int) -> np.ndarray:
    """Return the classes that a served model answers."""
    anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    command = [SERVE, "--model", str(folder), "--name", "large", *anywhere]
    with Group(limit) as group:
        begun = time.monotonic()
        with subprocess.Popen(group.command(command), stderr=subprocess.PIPE, text=True) as serving:  # noqa: S603
            try:
                address = find_address(serving)
                seconds = time.monotonic() - begun
                asked = {"name": "x", "datatype": "FP32", "shape": rows.shape, "data": rows.ravel().tolist()}
                body = json.dumps({"inputs": [asked]}).encode()
                request = urllib.request.Request(f"http://{address}/v2/models/large/infer", body)
                with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                    output = json.load(answer)["outputs"][0]
                status = Path(f"/proc/{serving.pid}/status").read_text()
                most = int(status.partition("VmHWM:")[2].split()[0]) * 1024
            finally:
                serving.terminate()
                serving.communicate(timeout=60)
        assert not group.killed()
    steps.add(name, limit, most, seconds)
    probabilities: np.ndarray = np.reshape(output["data"], output["shape"])
    return probabilities.argmax(axis=1)


def find_address(serving: subprocess.Popen[str]) -> str:
    """Return where it listens, once it is ready."""
    address = ""
    for line in serving.stderr or ():
        said = json.loads(line) if line.startswith("{") else {}
        address = str(said.get("http", address))
        if said.get("outcome") == "ready":
            return address
    message = f"it ended with {serving.wait()} before it was ready"
    raise SystemExit(message)


def main() -> None:
    """Do all of it, with as little on the disk at a time as a run has."""
    with tempfile.TemporaryDirectory(prefix="modelwright-large-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:  # noqa: S108
        work = Path(folder)
        for name in ("claim/large", "beside", "tmp"):
            (work / name).mkdir(parents=True)
        make = [sys.executable, "-B", str(TOP / "tests" / "large" / "graph.py"), str(work / "claim" / "large")]
        subprocess.run(make, check=True)  # noqa: S603
        for name in ("evaluation.npz", "calibration.npz"):
            # They are the user's data, and come by another container.
            (work / "claim" / "large" / name).rename(work / "beside" / name)
        with registry(work) as host:
            take(Steps(work), host)


def take(steps: Steps, host: str) -> None:
    """Go the way of an import."""
    work = steps.work
    source = work / "source"
    variants = [{**variant, **JUDGED} for variant in VARIANTS]
    fetched = {"maxBytes": 4 * GB, "allowPrivateNetworks": False, "plainHttp": True}
    fetch = ("FETCH", [JOBS, "fetch", "--allow-loopback"])
    config = {"kind": "Source", "uri": "pvc://claim/large/", "claimDirectory": str(work / "claim"), **fetched}
    report = steps.run("`fetch`, from a claim", fetch, {**config, "destination": str(source)}, 512 * MIB)
    size = report["sizeBytes"]
    assert size > 2.5 * GB, size
    shutil.rmtree(work / "claim")
    with np.load(work / "beside" / "evaluation.npz") as part:
        rows, labels = part["inputs/x"], part["labels"]
    for path in (work / "beside").iterdir():
        path.rename(source / path.name)
    # Each by itself, since each is said by itself.
    for variant, limit in zip(variants, (2048, 3584, 3584), strict=True):
        order = {"directory": str(source), "variants": [variant]}
        steps.run(f"`optimize`, {variant['name']}", OPTIMIZE, order, limit * MIB)
        (source / "variants" / variant["name"]).rename(work / "beside" / variant["name"])
    (work / "beside").rename(source / "variants")
    evaluation = {"task": "Classification", "gates": [{"metric": "Accuracy", "min": "0.95"}]}
    config = {"directory": str(source), "proof": str(work / "proof"), "goldenSamples": 4, "goldenSeed": 7}
    config |= {"deadlineSeconds": 600, "evaluation": evaluation, "variants": variants}
    prove = ("PROVE", [JOBS, "prove"])
    steps.run("`prove`, with all of these", prove, config, 6656 * MIB)
    shutil.rmtree(source)
    store = {"uri": f"oci://{host}/models", "plainHttp": True}
    config = {"namespace": "team", "model": "large", "proof": str(work / "proof"), "storeRetrySeconds": 5}
    publish = ("PUBLISH", [JOBS, "publish", "--allow-loopback"])
    published = steps.run("`publish`, to a registry", publish, {**config, "store": store}, 512 * MIB)
    shutil.rmtree(work / "proof")
    assert published["metrics"]["Accuracy"] == "1", published["metrics"]
    config = {"kind": "Artifact", "uri": published["artifactUri"], "sha256": published["artifactSha256"]}
    destination = {"destination": str(work / "model")}
    steps.run("`fetch` of the artifact", fetch, {**config, **fetched, "maxBytes": 6 * GB, **destination}, 512 * MIB)
    for name, limit in (("", 3584), *((variant["name"], 3584) for variant in variants)):
        model = work / "model" / (f"modelwright/variants/{name}" if name else "")
        answers = ask(steps, f"`serve`{', ' if name else ''}{name}", model, rows[:32], limit * MIB)
        same = float((answers == labels[:32]).mean())
        assert same >= (0.85 if name else 1), f"{name or 'the model'} answers {same} of the rows as it should"
        if name:
            report = json.loads((model / "modelwright" / "variant.json").read_text())
            figures = report["figures"]
            print(f"{name}: {report['sizeBytes'] / size:.3f} of the bytes, {json.dumps(figures)}", flush=True)
    print(f"ok  large: {size / GB:.2f} GB imported, {len(variants)} variants, proven, stored, fetched and served")
    if sys.argv[1:] == ["--page"]:
        write(steps)


def write(steps: Steps) -> None:
    """Put the figures in the place of those that the page has."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    assert rest, f"{PAGE} has no table that begins with {BEGIN!r}"
    after = rest[rest.index("\n\n") :]
    lines = [
        f"| {name} | {limit // MIB} MiB | {most / GB:.2f} GB | {took:.0f} |" for name, limit, most, took in steps.done
    ]
    PAGE.write_text(f"{before}{BEGIN}| --- | --- | --- | --- |\n" + "\n".join(lines) + after)


if __name__ == "__main__":
    main()
