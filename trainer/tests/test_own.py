"""Code of a user's own in the built-in image: what runs, what is refused, and how its end is explained."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
import json, pathlib
run = json.loads(pathlib.Path({run!r}).read_text())
output = pathlib.Path(run["output"])
output.mkdir()
(output / "model.onnx").write_bytes(b"model")
(output / "evaluation.npz").write_bytes(b"rows")
"""


class Own:
    """A run of code of one's own, in a folder."""

    def __init__(self, folder: Path) -> None:
        """Write the run."""
        self.folder = folder
        self.run = folder / "run.json"
        self.log = folder / "termination-log"
        self.log.touch()
        self.output = folder / "out"
        self.run.write_text(json.dumps({"model": "m", "output": str(self.output)}))

    def command(self, *more: str) -> list[str]:
        """Return the command of the container, as its entrypoint has it."""
        given = ["--run", str(self.run), "--termination-log", str(self.log)]
        return [sys.executable, "-B", "-m", "modelwright_trainer", "own", *given, *more]

    def inline(self, code: str) -> tuple[int, dict[str, Any] | None]:
        """Run code of the spec."""
        return self._end(subprocess.run(self.command(), env=os.environ | {"MODELWRIGHT_CODE": code}, check=False))  # noqa: S603

    def file(self, code: str, sha256: str) -> tuple[int, dict[str, Any] | None]:
        """Run code of a ConfigMap."""
        path = self.folder / "code.py"
        path.write_text(code)
        return self._end(subprocess.run(self.command("--sha256", sha256, str(path)), check=False))  # noqa: S603

    def _end(self, process: subprocess.CompletedProcess[bytes]) -> tuple[int, dict[str, Any] | None]:
        told = self.log.read_text()
        return process.returncode, json.loads(told)["failed"] if told else None


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Return a run."""
    return Own(tmp_path)


def test_code_that_leaves_a_model_ends_well(own: Own) -> None:
    """The files are there, and nothing is told: `prove` judges them."""
    assert own.inline(GOOD.format(run=str(own.run))) == (0, None)
    assert (own.output / "model.onnx").read_bytes() == b"model"


def test_pinned_code_runs_and_other_code_does_not(own: Own) -> None:
    """The digest is that of the bytes that run."""
    code = GOOD.format(run=str(own.run))
    digest = hashlib.sha256(code.encode()).hexdigest()
    code_changed, told = own.file(code + "#", digest)
    assert (code_changed, (told or {})["reason"]) == (64, "CodeMismatch")
    assert digest in (told or {})["message"]
    assert not own.output.exists()
    own.log.write_text("")
    assert own.file(code, digest) == (0, None)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("pass", ["exit code 0", "no model.onnx and no evaluation.npz", "nothing"]),
        ("import pathlib; pathlib.Path({out!r}).mkdir(); pathlib.Path({out!r}, 'model.pkl').touch()", ["model.pkl"]),
        (
            "import pathlib; pathlib.Path({out!r}).mkdir(); pathlib.Path({out!r}, 'model.onnx').touch()",
            ["left no evaluation.npz in", "model.onnx"],
        ),
        ("import os; os.makedirs({out!r} + '/model.onnx')", ["left no model.onnx", "there is model.onnx (a folder)"]),
    ],
)
def test_code_that_ends_well_without_a_model_is_explained(own: Own, code: str, parts: list[str]) -> None:
    """No retry mends it."""
    status, told = own.inline(code.format(out=str(own.output)))
    assert told is not None
    assert (status, told["reason"]) == (64, "NoModel")
    assert all(part in told["message"] for part in parts), told["message"]


def test_an_exit_code_of_its_own_and_its_own_words_stay(own: Own) -> None:
    """What the contract says of own images holds."""
    assert own.inline("raise SystemExit(75)") == (75, None)
    words = json.dumps({"failed": {"reason": "BadLabels", "message": "column 'age'"}})
    status, told = own.inline(f"open({str(own.log)!r}, 'w').write({words!r}); raise SystemExit(64)")
    assert (status, told) == (64, {"reason": "BadLabels", "message": "column 'age'"})


def test_an_end_by_a_signal_is_explained(own: Own) -> None:
    """A lack of memory looks like this."""
    status, told = own.inline("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert told is not None
    assert (status, told["reason"]) == (137, "OutOfMemory")
    assert "spec.training.resources" in told["message"]


def test_the_end_of_the_pod_is_that_of_the_code(own: Own) -> None:
    """SIGTERM reaches it."""
    started = own.folder / "started"
    code = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(300)"
    with subprocess.Popen(own.command(), env=os.environ | {"MODELWRIGHT_CODE": code}) as process:  # noqa: S603
        deadline = time.monotonic() + 60
        while not started.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not own.log.read_text()
