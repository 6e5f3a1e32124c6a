"""What every process here has: in goes work to do, out comes an exit code and a report where the kubelet reads it."""

from __future__ import annotations

import errno
import os
import signal
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .failure import Reason, RunError
from .log import log
from .report import build_failure, write_termination

if TYPE_CHECKING:
    from collections.abc import Callable

RUN_FILE: Final = Path("/modelwright/run.json")
TERMINATION_LOG: Final = Path("/dev/termination-log")
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 64
EXIT_TRANSIENT: Final = 75
EXIT_TERMINATED: Final = 128 + signal.SIGTERM
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


def run_process(
    work: Callable[[], dict[str, Any]],
    termination_log: Path,
    resources: str,
    name: str = "run",
    smaller: str = "give less data",
) -> int:
    """Do the work, report what it returns or why it failed, and return the exit code.

    `resources` is the field of the spec that gives this process its memory; `name` is what the log calls it, and
    `smaller` what makes it take less room on the disk.
    """
    reason, message, code = Reason.INTERNAL, "", EXIT_BAD_INPUT
    try:
        report = work()
    except RunError as error:
        reason, message = error.reason, error.message
    except MemoryError as error:
        reason = Reason.OUT_OF_MEMORY
        message = f"the memory does not suffice{f' ({error})' if str(error) else ''}: give {resources} more"
    except OSError as error:
        if error.errno in NO_SPACE:
            reason = Reason.NO_SPACE
            message = f"there is no space left ({error}): the volume of a run is bounded; {smaller}"
        else:
            reason, message, code = Reason.FILE_ERROR, f"a file could not be read or written: {error}", EXIT_TRANSIENT
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must learn of it
        message, code = (
            f"{type(error).__name__}: {error}; this is a fault of the trainer, its log says more",
            EXIT_FAILED,
        )
        log("internal error", traceback=traceback.format_exc())
    else:
        write_termination({"succeeded": report}, termination_log)
        return 0
    log(f"{name} failed", reason=str(reason), error=message, code=code)
    write_termination(build_failure(reason, message), termination_log)
    return code


def read_run(path: Path) -> str:
    """Return the text of a run."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise RunError(Reason.INVALID_RUN, f"{path} cannot be read: {error}") from error


def end_on_sigterm() -> None:
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
