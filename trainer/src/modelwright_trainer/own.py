"""Code of a user's own: in goes where it is, out comes its exit code, with a word where it left no model.

It runs as a process of its own under the contract of own images, in this image: `/modelwright/run.json` says what is to
be done, and `output` is where the model goes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .failure import Reason, RunError, listed
from .log import log
from .process import EXIT_BAD_INPUT, RUN_FILE, TERMINATION_LOG
from .report import build_failure, write_termination

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

CODE_ENV: Final = "MODELWRIGHT_CODE"
"""The code itself, where no file is named."""
EXPECTED: Final = ("model.onnx", "evaluation.npz")
SIGNALLED: Final = 128
"""Added to a signal's number, as shells do."""


def main(arguments: Sequence[str]) -> int:
    """Run the code, explain its end, and return the exit code."""
    parser = argparse.ArgumentParser(prog="modelwright_trainer own", description="Runs Python of your own.")
    parser.add_argument("file", type=Path, nargs="?", help=f"the code; without it, what {CODE_ENV} holds")
    parser.add_argument("--sha256", help="what the digest of the code must be")
    parser.add_argument("--run", type=Path, default=RUN_FILE, help="the run (%(default)s)")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            code = _run(_find_code(given.file, given.sha256, Path(folder)))
        if code == 0:
            _refuse_no_model(given.run)
        elif code < 0:
            return _explain_signal(-code, given.termination_log)
    except RunError as error:
        log("own code failed", reason=str(error.reason), error=error.message)
        write_termination(build_failure(error.reason, error.message), given.termination_log)
        return EXIT_BAD_INPUT
    return code


def _find_code(file: Path | None, sha256: str | None, folder: Path) -> Path:
    """Return a file with the code that was meant: bytes that are read once are checked, and run."""
    if file is None:
        code = os.environ.pop(CODE_ENV, "").encode()
    else:
        try:
            code = file.read_bytes()
        except OSError as error:
            raise RunError(Reason.CODE_MISMATCH, f"the code at {file} cannot be read: {error}") from error
    found = hashlib.sha256(code).hexdigest()
    if sha256 is not None and found != sha256:
        message = (
            f"the code has the SHA-256 {found}, and spec.training.trainer.python.sha256 is {sha256}: the ConfigMap was "
            "changed, or another one was meant; set sha256 to what is meant, or the ConfigMap back"
        )
        raise RunError(Reason.CODE_MISMATCH, message)
    path = folder / "main.py"
    path.write_bytes(code)
    log("own code", sha256=found, bytes=len(code))
    return path


def _run(path: Path) -> int:
    process = subprocess.Popen([sys.executable, "-IB", str(path)])  # noqa: S603 - it is what was asked for

    def end(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    signal.signal(signal.SIGTERM, end)
    return process.wait()


def _refuse_no_model(run: Path) -> None:
    """End the run where the code ended well and left nothing."""
    try:
        output = Path(json.loads(run.read_text(encoding="utf-8"))["output"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(Reason.INVALID_RUN, f"{run} cannot be read: {error}") from error
    missing = [name for name in EXPECTED if not (output / name).is_file()]
    if missing:
        there = sorted(map(_describe, output.iterdir())) if output.is_dir() else []
        message = (
            f"the code ended well (exit code 0) and left no {' and no '.join(missing)} in {output}, where there is "
            f"{listed(there) or 'nothing'}: write both there (the folder is `output` of {run}; docs: own image)"
        )
        raise RunError(Reason.NO_MODEL, message)


def _describe(path: Path) -> str:
    """Return a name, and what it is where that is no file with something in it."""
    if path.is_dir():
        return f"{path.name} (a folder)"
    return path.name if path.is_file() else f"{path.name} (no file)"


def _explain_signal(number: int, termination_log: Path) -> int:
    name = signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"
    if number == signal.SIGKILL:
        reason = Reason.OUT_OF_MEMORY
        message = f"the code was ended by {name}, as by a lack of memory: give spec.training.resources more"
    else:
        reason = Reason.INTERNAL
        message = f"the code was ended by {name}; its log says more"
    log("own code ended by a signal", signal=name)
    if number != signal.SIGTERM and not _is_written(termination_log):
        write_termination(build_failure(reason, message), termination_log)
    return SIGNALLED + number


def _is_written(termination_log: Path) -> bool:
    try:
        return termination_log.stat().st_size > 0
    except OSError:
        return False
