"""Where a training is, in one file: written and renamed into place, and gone on from by a run of the same.

The file holds all variables of the model (those of random generators, too), the optimizer's, the position in the epoch,
what each epoch gave, the state of early stopping and the weights of its best epoch. The order of rows needs no state,
as seed and epoch decide it. Its folder is named by a digest of the network, the data and the seed, so that no other
training finds it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.archive import read_archive
from modelwright_trainer.log import log

from .loop import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .build import Model
    from .callbacks import EarlyStopping
    from .loop import Loop, Rows
    from .network import Network

FILE: Final = "checkpoint.npz"
FORMAT: Final = 1
SECONDS: Final = 60.0
"""Within an epoch that takes longer, it is written this often."""
FOLDER_DIGITS: Final = 32
FOLDER: Final = re.compile(f"[0-9a-f]{{{FOLDER_DIGITS}}}")
PART: Final = ".part"
STATE: Final = ("wait", "best", "bestEpoch", "stopped")
"""What a callback keeps, beside weights."""
KEPT: Final = 14 * 86_400.0
"""Seconds after which a checkpoint that nobody uses is removed: those of trainings that have ended are never wanted."""


def digest_of(
    network: Network, seed: int, parts: Sequence[Rows], classes: Sequence[Any], model: Model | None = None
) -> str:
    """Return what a training depends on, as one digest; with `model` also its first weights, which may be another's."""
    found = hashlib.sha256()
    declared = {
        "format": FORMAT,
        "layers": [[layer.name, layer.type, layer.inputs, _plain(layer.parameters)] for layer in network.layers],
        "loss": network.loss,
        "optimizer": _plain(asdict(network.optimizer)),
        "fit": asdict(network.fit),
        "callbacks": [_plain(asdict(one)) for one in network.callbacks],
        "seed": seed,
        "classes": [str(one) for one in classes],
        "versions": {name: version(name) for name in ("keras", "numpy")},
    }
    found.update(json.dumps(declared, sort_keys=True).encode())
    for variable in model.weights if model is not None else ():
        found.update(variable.value.numpy().tobytes())
    for part in parts:
        for name, values in [*sorted(part.inputs.items()), ("truth", part.truth)]:
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def _plain(value: Any) -> Any:
    """Return parameters as JSON has them."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if hasattr(value, "type"):
        return [value.type, _plain(value.parameters)]
    return list(value) if isinstance(value, tuple) else value


class Checkpoint:
    """Writes where a training is after each epoch, and in long epochs more often; reads it again."""

    def __init__(self, folder: Path, digest: str, callbacks: Sequence[EarlyStopping], seconds: float = SECONDS) -> None:
        """Choose the file."""
        self.path = folder / digest[:FOLDER_DIGITS] / FILE
        self.digest, self.callbacks, self.seconds = digest, callbacks, seconds
        self.written = time.monotonic()

    def on_step(self, loop: Loop) -> None:
        """Write when it is time."""
        if time.monotonic() - self.written >= self.seconds:
            self.write(loop)

    def on_epoch(self, loop: Loop) -> None:
        """Write."""
        self.write(loop)

    def write(self, loop: Loop) -> None:
        """Write the file beside its place, have it on the disk, and rename it into place."""
        position = loop.position
        header = {
            "format": FORMAT,
            "digest": self.digest,
            "epoch": position.epoch,
            "step": position.step,
            "sums": position.sums.tolist(),
            "history": position.history,
            "stopped": position.stopped,
            "callbacks": [callback.state() for callback in self.callbacks],
        }
        arrays = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
        arrays |= {f"model/{index}": one.value.numpy() for index, one in enumerate(loop.model.variables)}
        arrays |= {f"optimizer/{index}": one.value.numpy() for index, one in enumerate(loop.optimizer.variables)}
        for number, callback in enumerate(self.callbacks):
            for index, weights in enumerate(callback.best_weights or []):
                arrays[f"best/{number}/{index}"] = weights
        # One that fails is tried again when the next is due.
        self.written = time.monotonic()
        part = self.path.with_suffix(PART)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            # A claim that is full or cannot be written to costs what a lost pod would lose, and not the training.
            log("checkpoint not written", checkpoint=str(self.path), why=str(error), next="training goes on without it")
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def restore(self, loop: Loop) -> bool:
        """Go on from the file, where there is one that fits; say why where one does not."""
        try:
            arrays = read_archive(self.path)
            header = json.loads(arrays["header"].tobytes())
            why = self._compare(header, arrays, loop)
            found = None if why else self._collect(header, arrays, loop)
        except FileNotFoundError:
            return False
        except Exception as error:  # noqa: BLE001 - a claim outlives trainers: whatever lies there ends no training
            why, found = f"it cannot be read ({type(error).__name__}: {error})", None
        if found is None:
            log("checkpoint not used", checkpoint=str(self.path), why=why, next="training starts from the beginning")
            return False
        for variable, values in found.variables:
            variable.assign(values)
        for callback, (state, best) in zip(self.callbacks, found.callbacks, strict=True):
            callback.restore(state, best)
        loop.position = found.position
        with contextlib.suppress(OSError):
            # It is in use, however long ago it was written.
            os.utime(self.path)
        log("checkpoint used", checkpoint=str(self.path), epochs=loop.position.epoch, steps=loop.position.step)
        return True

    def _compare(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], loop: Loop) -> str:
        """Say why the file is not of this training, or nothing."""
        if header["format"] != FORMAT:
            return f"it has the format {header['format']}, and this trainer reads {FORMAT}"
        if header["digest"] != self.digest:
            return (
                f"it is of another network, data or seed (digest {header['digest'][:12]}, expected {self.digest[:12]})"
            )
        for kind, variables in (("model", loop.model.variables), ("optimizer", loop.optimizer.variables)):
            for index, variable in enumerate(variables):
                found = arrays[f"{kind}/{index}"].shape
                if tuple(found) != tuple(variable.shape):
                    return f"{variable.path} has the shape {tuple(variable.shape)}, and {tuple(found)} in it"
        return ""

    def _collect(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], loop: Loop) -> _Found:
        """Take all from a file before anything of a training is changed."""
        variables = [
            (variable, arrays[f"{kind}/{index}"])
            for kind, every in (("model", loop.model.variables), ("optimizer", loop.optimizer.variables))
            for index, variable in enumerate(every)
        ]
        callbacks = []
        for number, (_, state) in enumerate(zip(self.callbacks, header["callbacks"], strict=True)):
            kept = f"best/{number}/0" in arrays
            best = [arrays[f"best/{number}/{index}"] for index in range(len(loop.model.weights))] if kept else None
            callbacks.append(({name: state[name] for name in STATE}, best))
        sums = np.array(header["sums"], dtype=np.float64).reshape(len(Position().sums))
        position = Position(
            int(header["epoch"]), int(header["step"]), sums, list(header["history"]), bool(header["stopped"])
        )
        return _Found(variables, callbacks, position)


@dataclass(frozen=True)
class _Found:
    """What a checkpoint holds, beside what it is of."""

    variables: list[tuple[Any, NDArray[Any]]]
    callbacks: list[tuple[dict[str, Any], list[NDArray[Any]] | None]]
    position: Position


def remove_old(folder: Path, seconds: float = KEPT) -> None:
    """Remove folders of checkpoints that no training has written or used for long: a claim is not filled for ever."""
    with contextlib.suppress(OSError):
        for one in folder.iterdir():
            files = list(one.iterdir()) if FOLDER.fullmatch(one.name) and not one.is_symlink() and one.is_dir() else []
            ours = files and all(path.name in {FILE, Path(FILE).with_suffix(PART).name} for path in files)
            if not ours or time.time() - max(path.stat().st_mtime for path in files) < seconds:
                continue
            for path in files:
                path.unlink()
            one.rmdir()
            log("old checkpoint removed", checkpoint=str(one), unused=f"{seconds / 86_400:g} days")
