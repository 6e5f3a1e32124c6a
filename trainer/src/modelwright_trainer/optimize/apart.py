"""Another process: in go a few lines of Python and words for them, out comes how it ended, be it by a signal."""

from __future__ import annotations

import subprocess
import sys


def run_apart(code: str, *words: str) -> tuple[int, str]:
    """Return the exit code, which is below 0 for a signal, and what was printed."""
    command = [sys.executable, "-IBc", code, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")  # noqa: S603 - ours
    return done.returncode, done.stdout.strip()
