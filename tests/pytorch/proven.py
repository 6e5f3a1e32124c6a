"""Train examples/pytorch in its image, have its model proven by the real `prove`, serve it and ask it.

In: a program that runs the image's entrypoint with a folder at /modelwright, and the image's size in MiB;
MODELWRIGHT_RUNS, MODELWRIGHT_JOBS, MODELWRIGHT_SERVE and MODELWRIGHT_DATA. Out: the metric, or why there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

import numpy as np

TOP: Final = Path(__file__).parents[2]
EXAMPLE: Final = TOP / "examples" / "pytorch"
ROUNDING: Final = 1e-5
WORK: Final = "/modelwright"
"""Where the image finds everything."""
NOBODY: Final = 65532
"""Whom the image runs as."""
JOBS: Final = os.environ.get("MODELWRIGHT_JOBS", "")
SERVE: Final = os.environ.get("MODELWRIGHT_SERVE", "")


def ran(command: list[str | Path], log: Path, expected: int = 0, **more: str) -> str:
    """Return what a container's command leaves in its termination message."""
    log.write_text("")
    environment = os.environ | more
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)  # noqa: S603
    said = log.read_text()
    if done.returncode != expected:
        message = f"{command[:2]} ended with {done.returncode}, expected {expected}: {said or done.stderr[-2000:]}"
        raise SystemExit(message)
    return said


def train(program: str, run: dict[str, Any], work: Path, expected: int = 0) -> str:
    """Run the image as a run's pod does; only the kubelet's file is elsewhere."""
    (work / "run.json").write_text(json.dumps(run))
    log = work / "termination"
    return ran([program, work, "--termination-log", f"{WORK}/termination"], log, expected)


def ask(folder: Path, images: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the probabilities of the served model, and what the server says of its output."""
    anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    command: list[str | Path] = [SERVE, "--model", folder, "--name", "mnist", *anywhere]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:  # noqa: S603
        try:
            address = find_address(serving)
            with urllib.request.urlopen(f"http://{address}/v2/models/mnist", timeout=60) as answer:
                told = json.load(answer)["outputs"][0]
            asked = {"name": "images", "datatype": "UINT8", "shape": images.shape, "data": images.ravel().tolist()}
            body = json.dumps({"inputs": [asked]}).encode()
            request = urllib.request.Request(f"http://{address}/v2/models/mnist/infer", body)
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                output = json.load(answer)["outputs"][0]
        finally:
            serving.terminate()
            # What it still says must not fill the pipe.
            serving.communicate(timeout=60)
    return np.reshape(output["data"], output["shape"]), told


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
    """Do all of it."""
    program, size = sys.argv[1:]
    made = subprocess.run(  # noqa: S603
        [os.environ["MODELWRIGHT_RUNS"], EXAMPLE / "model.yaml"], check=True, capture_output=True, text=True
    )
    told = json.loads(made.stdout)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "data").mkdir()
        shutil.copy(find_data(), work / "data")
        run = told["run"]
        assert (run["data"]["directory"], run["output"]) == (f"{WORK}/data", f"{WORK}/out"), run
        (work / "termination").touch()
        for path in (work, work / "termination"):
            os.chown(path, NOBODY, NOBODY)
        said = json.loads(train(program, run, work))["succeeded"]
        assert (work / "out" / "model.onnx").stat().st_uid == NOBODY
        first = (work / "out" / "model.onnx").read_bytes()
        config = {"directory": str(work / "out"), "proof": str(work / "proof"), "goldenSamples": 8, "goldenSeed": 7}
        config |= {"deadlineSeconds": 600, "judgement": told["judgement"]}
        command: list[str | Path] = [JOBS, "prove", "--termination-log", work / "termination"]
        ran(command, work / "termination", MODELWRIGHT_PROVE=json.dumps(config))
        proven = work / "proof" / "files"
        description = json.loads((proven / "modelwright" / "description.json").read_text())
        accuracy = float(description["metrics"]["Accuracy"])
        with np.load(work / "out" / "evaluation.npz") as part:
            answers, output = ask(proven, part["inputs/images"][:20])
            difference = float(np.abs(answers - part["outputs/probabilities"][:20]).max())
        assert difference < ROUNDING, f"the server's answers are {difference} from PyTorch's"
        labels = output["parameters"]["classes"]["labels"]
        assert labels == [str(digit) for digit in range(10)], labels
        train(program, run, work)
        assert (work / "out" / "model.onnx").read_bytes() == first, "the same run makes other bytes"
        run["candidates"] = [{"name": "odd", "parameters": {"chanels": 3}}]
        refused = json.loads(train(program, run, work, expected=64))["failed"]
        assert refused["reason"] == "UnknownParameter", refused
    words = f"{said['chosen']}, accuracy {accuracy}, the server within {difference:.1e} of PyTorch"
    print(f"ok  pytorch: an image of {size} MiB, {words}")


def find_data() -> Path:
    """Return the images."""
    for folder in os.environ["MODELWRIGHT_DATA"].split(":"):
        if (path := Path(folder) / "mnist.npz").exists():
            return path
    message = f"there is no mnist.npz in {os.environ['MODELWRIGHT_DATA']}"
    raise SystemExit(message)


if __name__ == "__main__":
    main()
