"""One network's training, from its first weights to its last: start, checkpoint, epochs, progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelwright_trainer.log import log

from .build import load_weights
from .callbacks import EarlyStopping
from .checkpoint import Checkpoint, digest_of, remove_old
from .loop import Loop, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from modelwright_trainer.config import Task
    from modelwright_trainer.material import Watch

    from .build import Model
    from .loop import Observer

__all__ = ["Job", "Rows", "train"]


@dataclass(frozen=True)
class Job:
    """What is trained, and how."""

    model: Model
    task: Task
    classes: Sequence[Any]
    seed: int
    class_weight: Mapping[int, float] | None
    start_from: Mapping[str, NDArray[Any]] | None
    """The variables of another training, by `layer/variable`."""
    checkpoint: Path | None
    """A folder that outlives the pod."""


class Told:
    """Tells each epoch."""

    def __init__(self, watch: Watch) -> None:
        """Tell this one."""
        self.watch = watch

    def on_step(self, loop: Loop) -> None:
        """Say nothing."""

    def on_epoch(self, loop: Loop) -> None:
        """Tell the epoch that is done, by its loss and what was measured."""
        self.tell(loop, loop.position.epoch)
        last = loop.position.history[-1]
        log("epoch", epoch=loop.position.epoch, **{name: round(value, 6) for name, value in last.items()})

    def tell(self, loop: Loop, epoch: int) -> None:
        """Tell one epoch."""
        metrics = dict(loop.position.history[epoch - 1])
        self.watch(epoch=epoch, epochs=loop.network.fit.epochs, loss=metrics.pop("loss"), metrics=metrics)


def train(job: Job, rows: Rows, validation: Rows, watch: Watch) -> Loop:
    """Train, from where a checkpoint was written, and return the loop with the trained model."""
    if job.start_from is not None:
        load_weights(job.model, job.start_from, "the version")
    loop = Loop(job.model, job.task, job.classes, job.seed, job.class_weight)
    callbacks = [EarlyStopping(choice) for choice in loop.network.callbacks]
    told = Told(watch)
    observers: list[Observer] = [told]
    if job.checkpoint is not None:
        digest = digest_of(loop.network, job.seed, (rows, validation), job.classes, loop.model)
        checkpoint = Checkpoint(job.checkpoint, digest, callbacks)
        if checkpoint.restore(loop):
            for epoch in range(1, loop.position.epoch + 1):
                told.tell(loop, epoch)
        observers.append(checkpoint)
        remove_old(job.checkpoint)
    loop.fit(rows, validation, callbacks, observers)
    return loop
