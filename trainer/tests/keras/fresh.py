"""Programs in processes of their own where TensorFlow has computed nothing yet: forks of one that has imported it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SECONDS = 300
"""Longest that a program may take."""


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it said."""

    returncode: int | None
    stdout: str
    stderr: str


@cache
def _forks() -> Any:
    """Return what makes such processes; the first one starts the process that they are forks of."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["imported"])
    here = Path(__file__).parent
    # Of our environment that process has what is set when it starts, and of our path nothing else.
    paths = [str(here), str(here.parent), str(here.parents[1] / "src"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return context


def _execute(program: str, arguments: tuple[str, ...], folder: Path) -> None:
    for name, stream in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    assert "keras" in sys.modules, "it was imported before"
    sys.argv = ["-c", *arguments]
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test has written it


def run(program: str, *arguments: str, folder: Path) -> Finished:
    """Run a program; what it says is left in a folder."""
    process = _forks().Process(target=_execute, args=(program, arguments, folder))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    said = [(folder / name).read_text() for name in ("stdout", "stderr")]
    return Finished(process.exitcode, *said)
