"""The servers that are compared, each as processes on loopback with the best settings that it has for this work.

A server starts with one model, says when it is ready, and tells how it is asked. All run ONNX Runtime with one intra-op
thread.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import payloads
from payloads import Body, Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LONGEST_SECONDS = 60
POLL_SECONDS = 0.002


class ServerError(Exception):
    """A server that does not start."""


def free_port() -> int:
    """Give a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Protocol:
    """How a server is asked over HTTP."""

    write: Callable[[str, Inputs], Body]
    read: Callable[[Mapping[str, str], bytes], Inputs]


JSON = Protocol(payloads.json_body, payloads.read_answer)
BINARY = Protocol(payloads.binary_body, payloads.read_answer)


@dataclass
class Server:
    """A server of one model, and its processes once it is started."""

    name: str
    model: Path
    work: Path
    # What it is made of: a program, or the folder of the executables of a Python environment.
    executable: str
    # It is ready once this is answered.
    probe: Body
    protocols: ClassVar[Mapping[str, Protocol]] = {"json": JSON, "binary": BINARY}
    has_grpc: ClassVar[bool] = True
    # What it is run under, if anything, and how long it may take to be ready.
    wrapper: tuple[str, ...] = ()
    longest_seconds: float = LONGEST_SECONDS
    http: int = field(default_factory=free_port)
    grpc: int = field(default_factory=free_port)
    # From when it was executed to its first answer, of every start.
    ready_seconds: list[float] = field(default_factory=list)
    idle_megabytes: float = 0
    # Of the answer to the measured call, once it was asked.
    grpc_answer_bytes: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def offers(self) -> tuple[str, ...]:
        """The protocols that it can be asked over."""
        return (*self.protocols, "grpc") if self.has_grpc else tuple(self.protocols)

    @property
    def root(self) -> int:
        """The process that all others of it descend from."""
        if self.process is None:
            message = f"{self.name} is not started"
            raise ServerError(message)
        return self.process.pid

    def command(self) -> list[str]:
        """Give what is executed."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Give what is set beside this process's environment."""
        return {}

    @property
    def address(self) -> str:
        """Where it is asked over HTTP."""
        return f"127.0.0.1:{self.http}"

    @property
    def log(self) -> Path:
        """Where it writes what it says."""
        return self.work / f"{self.name.replace(' ', '-')}-{self.model.stem}.log"

    @property
    def _hint(self) -> str:
        return f"see {os.path.relpath(self.log)}"

    def write(self, protocol: str, model: str, inputs: Inputs) -> Body:
        """Write a request as it takes it over HTTP."""
        return self.protocols[protocol].write(model, inputs)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command, environment = [*self.wrapper, *self.command()], os.environ | self.environment()
        with self.log.open("wb") as log:
            begun = time.monotonic()
            # A session of its own: whatever it starts ends with it.
            self.process = subprocess.Popen(  # noqa: S603
                command, stdout=log, stderr=log, env=environment, cwd=self.work, start_new_session=True
            )
        while not self._is_ready():
            if self.process.poll() is not None:
                message = f"{self.name} ended with {self.process.returncode} before it was ready; {self._hint}"
                raise ServerError(message)
            if time.monotonic() - begun > self.longest_seconds:
                self.stop()
                message = f"{self.name} is not ready after {self.longest_seconds:g} s; {self._hint}"
                raise ServerError(message)
            # No server announces it to somebody outside.
            time.sleep(POLL_SECONDS)
        self.ready_seconds.append(time.monotonic() - begun)

    def has_ended(self) -> bool:
        """Whether its first process has ended by itself."""
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LONGEST_SECONDS)
        self.process = None
        # The ports may not be free at once.
        self.http, self.grpc = free_port(), free_port()

    def _is_ready(self) -> bool:
        try:
            self.ask(self.probe)
        except (OSError, http.client.HTTPException, ServerError):
            return False
        return True

    def ask(self, body: Body) -> tuple[Mapping[str, str], bytes]:
        """Send one request, and give headers and content of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=LONGEST_SECONDS)
        try:
            connection.request("POST", body.path, body.content, dict(body.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            message = f"{self.name} answered {body.path} with {answer.status}: {content[:300]!r}"
            raise ServerError(message)
        return {name.lower(): value for name, value in answer.getheaders()}, content
