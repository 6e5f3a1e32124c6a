"""The operator as a process of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

LONGEST_SECONDS = 60
# The images are only named: no kubelet is there that would pull them.
ARGUMENTS = (
    "run",
    "--runtime-image=r:1",
    "--trainer-image=t:1",
    "--store-uri=oci://store.example:5000/models",
    "--admin-address=127.0.0.1:0",
)


# As the chart sets it.
ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_TOP_PAD_": "65536",
}


class Operator:
    """Starts and ends it, and reads what it used."""

    def __init__(self, executable: str, log: Path) -> None:
        """Write what it says to a file, from the start."""
        self.executable = executable
        self.log = log
        self.log.unlink(missing_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [self.executable, *ARGUMENTS], stdout=log, stderr=log, env=os.environ | ENVIRONMENT
            )

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LONGEST_SECONDS)
        self.process = None

    def check(self) -> None:
        """End the measurement when it has ended by itself."""
        if self.process is None or self.process.poll() is not None:
            sys.exit(f"the operator does not run; see {self.log}")

    def processor_seconds(self) -> float:
        """Give the time of a processor that it has used since its start."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_megabytes(self) -> float:
        """Give the most memory that it has had."""
        return self._memory("VmHWM:")

    def resident_megabytes(self) -> float:
        """Give the memory that it has."""
        return self._memory("VmRSS:")

    def _memory(self, name: str) -> float:
        lines = self._read("status").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6

    def _read(self, name: str) -> str:
        self.check()
        assert self.process is not None  # noqa: S101
        return Path(f"/proc/{self.process.pid}/{name}").read_text()
