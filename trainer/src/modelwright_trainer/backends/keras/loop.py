"""The training loop: in go a model and batches, out come its weights after each epoch.

It computes what Keras' own `fit` does, and is ours for what `fit` cannot do: batches in an order that a seed and the
epoch decide, a state that is written down at any step and gone on from, an end at the first loss that is not finite.
Each step runs in the strategy of TensorFlow's that is in scope when the loop is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tensorflow as tf
from keras import ops

from modelwright_trainer.config import INPUT, Task
from modelwright_trainer.failure import Reason, RunError

from .build import as_exported, as_targets, build_loss, build_optimizer
from .choices import METRICS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from .build import Model

    Batch = tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """What the loop takes batches of."""

    inputs: Mapping[str, NDArray[Any]]
    """`input`, and `lengths` where rows have them."""
    truth: NDArray[Any]
    """Numbers of classes, or the numbers to predict."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.truth)


@dataclass
class Position:
    """Where training is."""

    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps of the next epoch that are done."""
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """Of these steps: loss and metric, each times its rows, and rows."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Loss and metrics of each epoch that is done."""
    stopped: bool = False
    """Whether a callback has ended the training."""


class Callback(Protocol):
    """Is told of each epoch, and may end the training."""

    def on_epoch_end(self, loop: Loop, logs: Mapping[str, float]) -> bool:
        """Return whether to stop. `loop.position.epoch` counts this epoch already."""
        ...

    def on_train_end(self, loop: Loop) -> None:
        """Be told that no epoch follows."""
        ...


class Observer(Protocol):
    """Is told of each step."""

    def on_step(self, loop: Loop) -> None:
        """Be told that a step of an epoch is done."""
        ...

    def on_epoch(self, loop: Loop) -> None:
        """Be told that an epoch is done and all callbacks know it."""
        ...


def order_of(rows: int, seed: int, epoch: int, *, shuffle: bool) -> NDArray[np.intp]:
    """Return the order of rows in an epoch, which nothing else decides: so that a run can be gone on with anywhere."""
    if not shuffle:
        return np.arange(rows)
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)


class Loop:
    """One training."""

    def __init__(
        self,
        model: Model,
        task: Task,
        classes: Sequence[Any],
        seed: int,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        """Make the optimizer and what is compiled."""
        self.model, self.network, self.seed = model, model.network, seed
        self.classes = len(classes)
        self.metric = METRICS[task]
        self.weights = np.ones(max(1, self.classes), np.float32)
        for number, weight in (class_weight or {}).items():
            self.weights[number] = weight
        self.strategy = tf.distribute.get_strategy()
        self.loss = build_loss(self.network)
        self.optimizer = build_optimizer(self.network)
        self.optimizer.build(model.trainable_variables)
        self._is_half = self.network.fit.dtype_policy == "mixed_float16"
        self.position = Position()
        self._train, self._test = _Compiled(self._run_train), _Compiled(self._run_test)
        self._answer = _Compiled(lambda inputs: self.model(inputs, training=False))

    @property
    def trainable(self) -> list[Any]:
        """The variables that training moves."""
        return list(self.model.trainable_variables)

    def fit(
        self, train: Rows, validation: Rows, callbacks: Sequence[Callback], observers: Sequence[Observer] = ()
    ) -> None:
        """Train until all epochs are done or a callback stops it, from where `position` is."""
        position = self.position
        while position.epoch < self.network.fit.epochs and not position.stopped:
            self._run_epoch(train, observers)
            sums = position.sums
            logs = {"loss": sums[0] / sums[2], self.metric: sums[1] / sums[2]}
            logs |= self.evaluate(validation)
            position.history.append({name: float(value) for name, value in logs.items()})
            position.epoch += 1
            position.step, position.sums = 0, np.zeros(3)
            # Every callback is told, whatever another one says.
            stops = [callback.on_epoch_end(self, position.history[-1]) for callback in callbacks]
            position.stopped = any(stops)
            for observer in observers:
                observer.on_epoch(self)
        for callback in callbacks:
            callback.on_train_end(self)
        exact = as_exported(self.model)
        self._answer = _Compiled(lambda inputs: exact(inputs, training=False))

    def evaluate(self, rows: Rows) -> dict[str, float]:
        """Return loss and metric of rows, by Keras' names for the validation part."""
        sums = np.zeros(3)
        for batch in self.batches(rows, np.arange(len(rows)), weighted=False):
            count = len(batch[1])
            found = self._test(self._spread(batch), tf.constant(count))
            sums += [float(found[0]) * count, float(found[1]), count]
        return {"val_loss": sums[0] / sums[2], f"val_{self.metric}": sums[1] / sums[2]}

    def answer(self, inputs: Mapping[str, NDArray[Any]], size: int) -> NDArray[Any]:
        """Return what the last layer gives for rows, in batches."""
        rows = len(inputs[INPUT])
        parts = [
            self._answer(_as_tensors(self._take(inputs, np.arange(first, min(first + size, rows))))).numpy()
            for first in range(0, rows, size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *self.model.values[self.network.last.name].shape))

    def batches(self, rows: Rows, order: NDArray[np.intp], *, weighted: bool = True) -> Iterator[Batch]:
        """Return inputs, targets and weights of the rows, batch by batch."""
        size = self.network.fit.batch_size
        for first in range(0, len(order), size):
            chosen = order[first : first + size]
            truth = rows.truth[chosen]
            targets = as_targets(self.network, truth, self.classes)
            weights = self.weights[truth] if weighted and self.classes else np.ones(len(truth), np.float32)
            yield self._take(rows.inputs, chosen), targets, weights

    def _take(self, inputs: Mapping[str, NDArray[Any]], chosen: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        found = {name: values[chosen] for name, values in inputs.items()}
        return {name: one.astype(np.float32) if one.dtype == np.uint8 else one for name, one in found.items()}

    def _spread(self, batch: Batch) -> Any:
        """Hand a batch to the strategy: each replica has its part of the rows."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return _as_tensors(batch)
        rows = np.array_split(np.arange(len(batch[1])), replicas)

        def part(context: Any) -> Any:
            own = rows[context.replica_id_in_sync_group]
            return _as_tensors(tf.nest.map_structure(lambda values: values[own], batch))

        return self.strategy.experimental_distribute_values_from_function(part)

    def _run_epoch(self, train: Rows, observers: Sequence[Observer]) -> None:
        position = self.position
        order = order_of(len(train), self.seed, position.epoch, shuffle=self.network.fit.shuffle)
        done = position.step * self.network.fit.batch_size
        for batch in self.batches(train, order[done:]):
            rows = len(batch[1])
            loss, metric = self._train(self._spread(batch), tf.constant(rows))
            value = float(loss)
            if not math.isfinite(value):
                self._refuse_loss(value)
            position.sums = position.sums + np.array([value * rows, float(metric), rows])
            position.step += 1
            for observer in observers:
                observer.on_step(self)

    def _refuse_loss(self, value: float) -> None:
        position = self.position
        before = f"; the loss of the epoch before was {position.history[-1]['loss']:.6g}" if position.history else ""
        half = "train in more than FP16 (dtype_policy: mixed_bfloat16), " if self._is_half else ""
        message = (
            f"the loss became {value} in epoch {position.epoch + 1}, step {position.step + 1}{before}: training "
            f"has ended there; {half}lower the optimizer's learning_rate, clip gradients (clipnorm: 1), or scale the "
            "data (a step scale in preprocess, a Rescaling layer)"
        )
        raise RunError(Reason.NOT_FINITE, message)

    def _run_train(self, batch: Any, rows: Any) -> Any:
        return self._over_replicas(self._train_step, batch, rows)

    def _run_test(self, batch: Any, rows: Any) -> Any:
        return self._over_replicas(self._test_step, batch, rows)

    def _over_replicas(self, step: Any, batch: Any, rows: Any) -> Any:
        """Run a step in the strategy, and sum what replicas give: each has its share of the whole batch's loss."""
        found = self.strategy.run(step, args=(*batch, rows))
        return [self.strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None) for one in found]

    def _train_step(self, inputs: dict[str, Any], targets: Any, weights: Any, rows: Any) -> Any:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            answers = self.model(inputs, training=True)
            loss = self._loss_of(answers, targets, weights, rows)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply(gradients, variables)
        return loss, self._measure(answers, targets)

    def _test_step(self, inputs: dict[str, Any], targets: Any, weights: Any, rows: Any) -> Any:
        answers = self.model(inputs, training=False)
        return self._loss_of(answers, targets, weights, rows), self._measure(answers, targets)

    def _loss_of(self, answers: Any, targets: Any, weights: Any, rows: Any) -> Any:
        """Return this replica's share: its rows' losses over the rows of the whole batch, and regularization."""
        loss = self.loss(targets, answers, sample_weight=weights) / tf.cast(rows, tf.float32)
        replicas = self.strategy.num_replicas_in_sync
        for penalty in self.model.losses:
            loss += tf.cast(tf.reduce_sum(penalty), tf.float32) / replicas
        return loss

    def _measure(self, answers: Any, targets: Any) -> Any:
        """Return the metric, summed over rows."""
        if self.network.loss not in PROBABILITIES:
            return tf.reduce_sum(tf.abs(answers - targets))
        if PROBABILITIES[self.network.loss] == "sigmoid":
            found, truth = answers[:, 0] > 0.5, targets[:, 0] > 0.5  # noqa: PLR2004 - a probability
        else:
            found = ops.argmax(answers, axis=-1)
            categories = self.network.loss == "categorical_crossentropy"
            truth = ops.argmax(targets, axis=-1) if categories else targets[:, 0]
        return tf.reduce_sum(tf.cast(tf.equal(tf.cast(found, tf.int64), tf.cast(truth, tf.int64)), tf.float32))


class _Compiled:
    """A function over batches that is compiled once.

    The number of rows is left open, so that the last batch of an epoch needs no graph of its own; and a training that
    is gone on with computes by the graph that it began with, wherever it begins again.
    """

    def __init__(self, function: Any) -> None:
        """Wait for a batch, which tells all other sizes."""
        self._function = function
        self._compiled: Any = None

    def __call__(self, *given: Any) -> Any:
        """Compute."""
        if self._compiled is None:
            parts = tf.nest.flatten(given)
            alike = all(isinstance(part, tf.Tensor) for part in parts)
            signature = tf.nest.map_structure(_leave_rows_open, given) if alike else None
            # What a strategy has spread has a type of its own, that tells its sizes.
            self._compiled = tf.function(self._function, input_signature=signature, reduce_retracing=True)
        return self._compiled(*given)


def _leave_rows_open(tensor: Any) -> Any:
    return tf.TensorSpec((None, *tensor.shape[1:]) if tensor.shape.rank else (), tensor.dtype)


def _as_tensors(arrays: Any) -> Any:
    return tf.nest.map_structure(tf.constant, arrays)
