"""In goes the JSON of an order, out comes what is asked, every field known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from modelwright_trainer.config import Checks, Metric, RunData, Selection, Split, Task
from modelwright_trainer.config.data import parse_data
from modelwright_trainer.config.fields import Fields, refuse
from modelwright_trainer.config.run import Run
from modelwright_trainer.failure import Reason, RunError

SEED: Final = 0


@dataclass(frozen=True)
class Order:
    """What is asked."""

    directory: Path
    """The folder of the model."""
    output: Path
    """The folder to leave it in, with its rows beside it."""
    task: Task
    data: RunData
    classes: tuple[str, ...] = ()
    """The labels in the order of the model's columns; empty: those of the data, sorted."""

    def as_run(self, checks: Checks) -> Run:
        """Return what the readers of data are told."""
        return Run(
            model="",
            task=self.task,
            data=self.data,
            checks=checks,
            preprocess=(),
            split=Split(Decimal(0), Decimal(1), SEED, stratify=False),
            candidates=(),
            selection=Selection(Metric.ACCURACY, maximize=True),
            output=str(self.output),
        )


def read_order(text: str) -> Order:
    """Read the JSON of an order; refuse what is not understood."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(Reason.INVALID_RUN, f"the order is no JSON: {error}") from error
    fields = Fields(value, "")
    order = Order(
        directory=Path(fields.text("directory")),
        output=Path(fields.text("output")),
        task=fields.word("task", Task),
        data=parse_data(Fields(fields.take("data", dict, "an object"), "data")),
        classes=fields.texts("classes"),
    )
    fields.end()
    images = order.data.images
    if images is not None and images.height is not None:
        refuse(
            "data.images.height", images.height, "is for a training, whose graph resizes; an imported model does not"
        )
    if order.data.test is not None:
        refuse("data.test", order.data.test, "is for a training; the data of an evaluation are its test set")
    if order.classes and order.task is Task.REGRESSION:
        refuse("classes", list(order.classes), "is for a Classification; take it away")
    return order
