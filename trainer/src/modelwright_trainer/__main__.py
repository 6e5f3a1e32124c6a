"""The process: in go paths, out comes an exit code and a report where the kubelet reads it."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from typing import Final

from . import own
from .config import parse_run
from .failure import Reason, RunError
from .log import log
from .progress import Progress, serve_progress
from .report import build_failure, build_success, write_success, write_termination

RUN_FILE: Final = Path("/modelwright/run.json")
TERMINATION_LOG: Final = Path("/dev/termination-log")
METRICS_PORT: Final = 9090
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 64
EXIT_TRANSIENT: Final = 75
EXIT_TERMINATED: Final = 128 + signal.SIGTERM
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


def main() -> int:
    """Run, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="modelwright_trainer", description="Trains the model that a run describes.")
    parser.add_argument("--run", type=Path, default=RUN_FILE, help="the run (%(default)s)")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    parser.add_argument("--port", type=int, default=METRICS_PORT, help="where progress is served (%(default)s)")
    arguments = parser.parse_args()
    _end_on_sigterm()
    progress = Progress()
    serve_progress(progress, arguments.port)
    reason, message, code = Reason.INTERNAL, "", EXIT_BAD_INPUT
    try:
        run = parse_run(_read_run(arguments.run))
        # Code of a user's own has the memory that its libraries would take.
        outcome = import_module(".run", __package__).run_training(run, progress)
        # For the report of the run in the store, which outlives the pod and its termination message.
        write_success(outcome, Path(run.output))
    except RunError as error:
        reason, message = error.reason, error.message
    except MemoryError as error:
        reason = Reason.OUT_OF_MEMORY
        message = f"the memory does not suffice{f' ({error})' if str(error) else ''}: give spec.training.resources more"
    except OSError as error:
        if error.errno in NO_SPACE:
            reason = Reason.NO_SPACE
            message = f"there is no space left ({error}): the volume of a run is bounded; give less data"
        else:
            reason, message, code = Reason.FILE_ERROR, f"a file could not be read or written: {error}", EXIT_TRANSIENT
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must learn of it
        message, code = (
            f"{type(error).__name__}: {error}; this is a fault of the trainer, its log says more",
            EXIT_FAILED,
        )
        log("internal error", traceback=traceback.format_exc())
    else:
        log("run succeeded", chosen=outcome.chosen.candidate.name, rows=outcome.rows)
        write_termination(build_success(outcome), arguments.termination_log)
        return 0
    log("run failed", reason=str(reason), error=message, code=code)
    write_termination(build_failure(reason, message), arguments.termination_log)
    return code


def _read_run(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise RunError(Reason.INVALID_RUN, f"{path} cannot be read: {error}") from error


def _end_on_sigterm() -> None:
    """End at once.

    The first process of a container has no default for the signal, and a handler of Python's would wait for the end of
    whatever library is at work: so the handler does nothing, and a thread waits for the byte that the signal writes.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)

    def wait() -> None:
        while signal.SIGTERM not in os.read(reader, 64):
            pass
        log("terminated")
        os._exit(EXIT_TERMINATED)

    threading.Thread(target=wait, daemon=True, name="sigterm").start()


if __name__ == "__main__":
    # Code of a user's own runs in this image, too.
    sys.exit(own.main(sys.argv[2:]) if sys.argv[1:2] == ["own"] else main())
