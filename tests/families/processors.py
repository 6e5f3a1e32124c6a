"""Hold each family of models, and its variants, to its golden samples on other processors, which QEMU emulates.

Each example is trained and proven here, as `families.py` does it, and what `publish` would store is then served by
`modelwright-serve` under QEMU, which is ready only when the model reproduces its golden samples there. That the
emulated processor computes otherwise than this one is shown by a model that was quantised as it must not be: with eight
bits of weights, sums of pairs overflow where there is no VNNI, so its answers are others, and it must not get ready.

In: the names of examples, or nothing for all; in the environment what `families.py` takes, and MODELWRIGHT_PROCESSORS,
a JSON object of commands and libraries by processor. Out: a line for each model, `ok` or `FAILED`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from families import EXAMPLES, RefusedError, name_of, prove, told_by_operator, train
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import read_order
from onnx import TensorProto, helper, numpy_helper

SECONDS: Final = 3600
"""Longest that a model may take to get ready: emulation takes ten to fifty times as long, beside other work more."""
TIMED_OUT: Final = 124
"""What `timeout` ends with."""
DYNAMIC: Final = {"name": "dynamic", "quantize": "Dynamic"}
STATIC: Final = {"name": "static", "quantize": "Static"}
HALF: Final = {"name": "fp16"}
VARIANTS: Final[dict[str, tuple[dict[str, str], ...]]] = {
    "mnist-keras": (DYNAMIC, STATIC, HALF),
    "mnist-cnn": (STATIC, HALF),
    "vowels-lstm": (DYNAMIC, HALF),
    "vowels-gru": (HALF,),
    "vowels-transformer": (DYNAMIC, STATIC, HALF),
    "word-order": (DYNAMIC, STATIC, HALF),
    "word-order-without": (DYNAMIC, STATIC, HALF),
    "sunspots": (DYNAMIC, HALF),
    "snippets": (DYNAMIC, HALF),
}
"""Those that the page of variants allows, by the example's name; of trees and linear models it allows none."""


@dataclass(frozen=True)
class Processor:
    """A processor that is not this one."""

    name: str
    command: tuple[str, ...]
    """What runs the runtime there, with the runtime."""
    library: str
    """ONNX Runtime for it."""

    def replay(self, folder: Path) -> str:
        """Serve a model until it is ready or gives up; return what is wrong."""
        arguments = ("--model", str(folder), "--name", "model")
        addresses = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
        # With both of these set the runtime does not start itself anew, which would be on this processor.
        silent = {"ORT_DISABLE_TELEMETRY": "1", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
        environment = os.environ | silent | {"ORT_DYLIB_PATH": self.library}
        command = ("timeout", str(SECONDS), *self.command, *arguments, *addresses)
        said = ""
        words = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdout=words, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith("{"):
                    continue
                entry: dict[str, Any] = json.loads(line)
                if failed := entry.get("failed"):
                    # It stays, so that it can be asked why it serves nothing.
                    process.terminate()
                    return f"{failed['reason']}: {failed['message']}"
                if entry.get("outcome") == "ready":
                    problem = self._escaped(process.pid)
                    process.terminate()
                    if entry["golden_samples"] < 1:
                        return "it has no golden samples"
                    return problem
                said = line.strip() if entry.get("level") in {"WARN", "ERROR"} else said
        late = f"it was not ready within {SECONDS} s" if process.returncode == TIMED_OUT else ""
        return said or late or f"it ended with {process.returncode}"

    def _escaped(self, timeout: int) -> str:
        """Say so if it does not run in QEMU: `timeout` has one child, which must be it."""
        children = Path(f"/proc/{timeout}/task/{timeout}/children").read_text().split()
        programs = [str(Path(f"/proc/{child}/exe").readlink()) for child in children]
        return "" if len(programs) == 1 and "qemu" in programs[0] else f"QEMU does not run it, but {programs}"


def optimized(name: str, told: dict[str, Any], work: Path) -> list[str]:
    """Make its variants, as the `optimize` container does; have them proven with it; return their names."""
    variants = [variant | {"for": "Size"} for variant in VARIANTS.get(name, ())]
    if variants:
        make_variants(read_order(json.dumps({"directory": str(work / "out"), "variants": variants})))
        metric = told["run"]["selection"]["metric"]
        bounds = {"metric": metric, "maxMetricDrop": "0.1", "maxDisagreement": "0.1"}
        told = told | {"variants": [variant | bounds for variant in variants]}
    prove(told, work)
    return [variant["name"] for variant in variants]


def overflowing(work: Path) -> Path:
    """Make a model of eight bits whose sums of pairs overflow, with samples of this processor; return its folder."""
    ones = numpy_helper.from_array(np.full((64, 4), 127, np.int8), "ones")
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["bytes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["bytes", "ones", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "overflowing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [ones],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (work / "out").mkdir()
    (work / "out/model.onnx").write_bytes(model.SerializeToString())
    prove({}, work)
    return work / "proof/files"


def has_vnni() -> bool:
    """Whether this processor multiplies bytes without overflow."""
    flags = Path("/proc/cpuinfo").read_text()
    return "avx512_vnni" in flags or "avx_vnni" in flags


def report(what: str, problem: str) -> bool:
    """Print a line; return whether all is well."""
    print(f"{'FAILED' if problem else 'ok':7} {what}{f': {problem}' if problem else ''}", flush=True)
    return not problem


def main(names: list[str]) -> int:
    """Try examples on each processor."""
    processors = [Processor(name, tuple(command), library) for name, (command, library) in told_processors().items()]
    known = [name_of(example) for example in EXAMPLES]
    if unknown := {*names, *VARIANTS} - {*known}:
        message = f"there is no example {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        raise SystemExit(message)
    examples = [example for example in EXAMPLES if not names or name_of(example) in names]
    well = []
    with tempfile.TemporaryDirectory() as folder:
        bad = overflowing(Path(folder))
        for processor in processors:
            # The others multiply bytes in ways that have room for the sums.
            if processor.name.endswith("Haswell"):
                if not has_vnni():
                    print(
                        f"NOT SHOWN: that an overflow is caught on {processor.name}, since this processor has it, too"
                    )
                    continue
                said = processor.replay(bad)
                problem = "" if said.startswith("GoldenSampleMismatch") else said or "it was served"
                well.append(report(f"{processor.name} refuses what overflows", problem))
    for example, told in zip(examples, told_by_operator(examples), strict=True):
        name = name_of(example)
        told["run"]["split"]["seed"] = example.seeds[0] if example.seeds else told["run"]["split"]["seed"]
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            try:
                train(example, told, work)
                variants = optimized(name, told, work)
            except RefusedError as refused:
                well.append(report(name, str(refused)))
                continue
            files = work / "proof/files"
            for processor in processors:
                for variant in ("", *variants):
                    place = files / "modelwright/variants" / variant if variant else files
                    what = f"{processor.name} {name}{f' {variant}' if variant else ''}"
                    well.append(report(what, processor.replay(place)))
    return int(not all(well) or not well)


def told_processors() -> dict[str, tuple[list[str], str]]:
    """Read MODELWRIGHT_PROCESSORS."""
    told: dict[str, tuple[list[str], str]] = json.loads(os.environ["MODELWRIGHT_PROCESSORS"])
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
