"""The process: in go paths, out comes an exit code and a report where the kubelet reads it."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from . import own
from .config import parse_run
from .log import log
from .process import RUN_FILE, TERMINATION_LOG, end_on_sigterm, read_run, run_process
from .progress import Progress, serve_progress
from .report import build_success, write_success

METRICS_PORT: Final = 9090


def main() -> int:
    """Run, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="modelwright_trainer", description="Trains the model that a run describes.")
    parser.add_argument("--run", type=Path, default=RUN_FILE, help="the run (%(default)s)")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    parser.add_argument("--port", type=int, default=METRICS_PORT, help="where progress is served (%(default)s)")
    arguments = parser.parse_args()
    end_on_sigterm()
    progress = Progress()
    serve_progress(progress, arguments.port)

    def train() -> dict[str, Any]:
        run = parse_run(read_run(arguments.run))
        # Code of a user's own has the memory that its libraries would take.
        outcome = import_module(".run", __package__).run_training(run, progress)
        # For the report of the run in the store, which outlives the pod and its termination message.
        write_success(outcome, Path(run.output))
        log("run succeeded", chosen=outcome.chosen.candidate.name, rows=outcome.rows)
        report: dict[str, Any] = build_success(outcome)["succeeded"]
        return report

    return run_process(train, arguments.termination_log, "spec.training.resources")


def choose() -> int:
    """Do what the first argument says: train, where it is none of the others."""
    if sys.argv[1:2] == ["own"]:
        # Code of a user's own runs in this image, too.
        return own.main(sys.argv[2:])
    if sys.argv[1:2] == ["prepare"]:
        code: int = import_module(".again", __package__).main(sys.argv[2:])
        return code
    if sys.argv[1:2] == ["prepare-import"]:
        imported: int = import_module(".imported.process", __package__).main(sys.argv[2:])
        return imported
    if sys.argv[1:2] == ["convert-keras"]:
        converted: int = import_module(".backends.keras.brought.process", __package__).main(sys.argv[2:])
        return converted
    return main()


if __name__ == "__main__":
    sys.exit(choose())
