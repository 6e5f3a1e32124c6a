"""The servers that are compared, each with the settings that are best for it on this work.

mosec and Triton run together what waits; mosec waits for a millisecond at least, which costs latency and saves more
than half of the CPU.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx
from matrix import OURS
from payloads import Body, Inputs, Workload, bare_body, json_body, read_answer, read_bare
from servers import JSON, Protocol, Server

PEERS = Path(__file__).parent / "peers"
CORES = os.cpu_count() or 1
STUB = "triton_python_backend_stub"
TRITON_TYPES = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.INT64: "TYPE_INT64"}


@dataclass
class Modelwright(Server):
    """Ours; ORT_DYLIB_PATH names the library."""

    flags: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Give what is executed."""
        command = [self.executable, f"--model={self.model}", f"--name={self.model.stem}"]
        # As many may wait as mosec lets; Triton has no bound. Others are answered with 503, which is no latency.
        return [*command, *self.flags, "--queue=1024", f"--http={self.address}", f"--grpc=127.0.0.1:{self.grpc}"]

    def environment(self) -> dict[str, str]:
        """Keep it from starting itself anew to set this, and so from leaving valgrind."""
        return {"GLIBC_TUNABLES": ""} if self.wrapper else {}


@dataclass
class Echo(Server):
    """The floor's transport, which answers with so many bytes of the request."""

    answer_bytes: int = 0
    has_grpc: ClassVar[bool] = False

    def command(self) -> list[str]:
        """Give what is executed."""
        return [self.executable, f"--http={self.address}"]

    def write(self, protocol: str, model: str, inputs: Inputs) -> Body:
        """Write what ours is sent."""
        return Body(f"/{self.answer_bytes}", {}, super().write(protocol, model, inputs).content)


class Mosec(Server):
    """Its workers are Python, what is before them is Rust."""

    protocols: ClassVar = {
        "json": Protocol(lambda model, inputs: Body("/inference", {}, json_body(model, inputs).content), read_answer),
        "binary": Protocol(bare_body, read_bare),
    }
    has_grpc: ClassVar[bool] = False

    def command(self) -> list[str]:
        """Give what is executed."""
        command = [f"{self.executable}/python", str(PEERS / "mosec_server.py"), "--address=127.0.0.1"]
        return [*command, f"--port={self.http}", "--timeout=10000", "--log-level=warning"]

    def environment(self) -> dict[str, str]:
        """Name the model, and say whether the number of rows is all that is free in it."""
        inputs = onnx.load(str(self.model)).graph.input
        free = [size for tensor in inputs for size in tensor.type.tensor_type.shape.dim if size.dim_param]
        return {"BENCH_MODEL": str(self.model), "BENCH_ROWS": "together" if len(free) == len(inputs) else "alone"}


class MLServer(Server):
    """All Python, with uvicorn before it."""

    protocols: ClassVar = {"json": JSON}

    def command(self) -> list[str]:
        """Give what is executed, and write its settings."""
        folder = self.work / f"mlserver-{self.model.stem}"
        folder.mkdir(exist_ok=True)
        settings = {
            "host": "127.0.0.1",
            "http_port": self.http,
            "grpc_port": self.grpc,
            "metrics_endpoint": None,
            "parallel_workers": 0,
            "debug": False,
            "gzip_enabled": False,
        }
        model = {
            "name": self.model.stem,
            "implementation": "mlserver_runtime.Onnx",
            "parameters": {"uri": str(self.model)},
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [f"{self.executable}/mlserver", "start", str(folder)]

    def environment(self) -> dict[str, str]:
        """Show where the runtime class is."""
        return {"PYTHONPATH": str(PEERS)}


class KServe(Server):
    """All Python, with uvicorn before it."""

    def command(self) -> list[str]:
        """Give what is executed."""
        command = [f"{self.executable}/python", str(PEERS / "kserve_server.py"), str(self.model), self.model.stem]
        return [*command, str(self.http), str(self.grpc)]


class Triton(Server):
    """The tritonserver of PyTriton's wheel: C++, with the model in Python processes, since it has no other backend."""

    def command(self) -> list[str]:
        """Give what is executed, and make the model's repository and the backend's folder."""
        folder = self.work / f"triton-{self.model.stem}"
        version, backend = folder / "models" / self.model.stem / "1", folder / "backends" / "python"
        version.mkdir(parents=True, exist_ok=True)
        backend.mkdir(parents=True, exist_ok=True)
        # Its Python is isolated: it takes no path from the environment.
        paths = [str(PEERS), str(self._packages)]
        begin = f"import sys\nsys.path[:0] = {paths}\nfrom triton_model import TritonPythonModel\n"
        (version / "model.py").write_text(begin)
        (version.parent / "config.pbtxt").write_text(self._config())
        program = self._packages / "pytriton" / "tritonserver"
        for place in (*(program / "backends" / "python").iterdir(), program / "python_backend_stubs" / "3.11" / STUB):
            link = backend / place.name
            link.unlink(missing_ok=True)
            link.symlink_to(place)
        command = [str(program / "bin" / "tritonserver"), f"--model-repository={folder}/models"]
        command += [f"--backend-directory={folder}/backends", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
        command += [f"--http-port={self.http}", f"--grpc-port={self.grpc}", f"--http-thread-count={CORES}"]
        return [*command, "--allow-metrics=false", "--exit-timeout-secs=1", "--disable-auto-complete-config"]

    def environment(self) -> dict[str, str]:
        """Show where the backend's libraries are."""
        return {"LD_LIBRARY_PATH": str(self._packages / "nvidia_pytriton.libs")}

    @property
    def _packages(self) -> Path:
        return Path(self.executable).parent / "lib" / "python3.11" / "site-packages"

    def _config(self) -> str:
        graph = onnx.load(str(self.model), load_external_data=False).graph
        inputs, outputs = (", ".join(map(self._tensor, tensors)) for tensors in (graph.input, graph.output))
        return f"""backend: "python"
max_batch_size: 64
input [{inputs}]
output [{outputs}]
instance_group [{{ kind: KIND_CPU, count: {CORES} }}]
dynamic_batching {{ }}
parameters {{ key: "path", value: {{ string_value: "{self.model}" }} }}
"""

    @staticmethod
    def _tensor(tensor: onnx.ValueInfoProto) -> str:
        kind = tensor.type.tensor_type
        sizes = ", ".join(str(size.dim_value or -1) for size in kind.shape.dim[1:])
        return f'{{ name: "{tensor.name}", data_type: {TRITON_TYPES[kind.elem_type]}, dims: [{sizes}] }}'


SERVERS: dict[str, type[Server]] = {
    OURS: Modelwright,
    "mosec": Mosec,
    "MLServer": MLServer,
    "KServe": KServe,
    "Triton": Triton,
}


def make_server(name: str, work: Workload, folder: Path, executable: str) -> Server:
    """Make a server of a workload's model, which is not started yet."""
    kind = SERVERS[name]
    probe = next(iter(kind.protocols.values())).write(work.model, work.requests[0])
    return kind(name, folder / "models" / f"{work.model}.onnx", folder, executable, probe)
