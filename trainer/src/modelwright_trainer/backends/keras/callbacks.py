"""What is told of each epoch: early stopping with Keras' meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_trainer.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .loop import Loop
    from .network import Choice


class EarlyStopping:
    """Ends training when what is monitored has stopped getting better.

    As Keras' own, also in its corners: `patience` counts from the best epoch, the first epoch ends nothing, and with a
    `baseline` an epoch that is the best so far counts as none until the baseline is beaten.
    """

    def __init__(self, choice: Choice) -> None:
        """Take the parameters."""
        self.parameters = choice.parameters
        monitor, mode = choice.parameters["monitor"], choice.parameters["mode"]
        self.maximizes = mode == "max" or (mode == "auto" and monitor.endswith("accuracy"))
        self.wait = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[NDArray[Any]] | None = None
        self.stopped = False

    def on_epoch_end(self, loop: Loop, logs: Mapping[str, float]) -> bool:
        """Compare with the best epoch."""
        parameters, epoch = self.parameters, loop.position.epoch - 1
        current = logs[parameters["monitor"]]
        if epoch < parameters["start_from_epoch"]:
            return False
        if parameters["restore_best_weights"] and self.best_weights is None:
            self._keep(loop, epoch)
        self.wait += 1
        if self._is_better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if parameters["restore_best_weights"]:
                self._keep(loop, epoch)
            if parameters["baseline"] is None or self._is_better(current, parameters["baseline"]):
                self.wait = 0
            return False
        self.stopped = self.wait >= parameters["patience"] and epoch > 0
        return self.stopped

    def on_train_end(self, loop: Loop) -> None:
        """Go back to the best epoch, where that is asked for."""
        if self.stopped:
            best = None if self.best is None else round(self.best, 6)
            log("training stopped early", epochs=loop.position.epoch, best=best, bestEpoch=self.best_epoch + 1)
        if self.best_weights is not None:
            for variable, value in zip(loop.model.weights, self.best_weights, strict=True):
                variable.assign(value)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, beside the weights of the best epoch."""
        return {"wait": self.wait, "best": self.best, "bestEpoch": self.best_epoch, "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any], best_weights: list[NDArray[Any]] | None) -> None:
        """Go on where a checkpoint was written."""
        self.wait, self.best = state["wait"], state["best"]
        self.best_epoch, self.stopped = state["bestEpoch"], state["stopped"]
        self.best_weights = best_weights

    def _keep(self, loop: Loop, epoch: int) -> None:
        self.best_epoch = epoch
        self.best_weights = [variable.value.numpy() for variable in loop.model.weights]

    def _is_better(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        delta: float = self.parameters["min_delta"]
        return value - delta > reference if self.maximizes else value + delta < reference
