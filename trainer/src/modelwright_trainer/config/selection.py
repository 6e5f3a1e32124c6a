"""How a candidate is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .fields import Fields, refuse
from .task import Task


class Metric(StrEnum):
    """How good a model is."""

    ACCURACY = "Accuracy"
    PRECISION_MACRO = "PrecisionMacro"
    RECALL_MACRO = "RecallMacro"
    F1_MACRO = "F1Macro"
    PRECISION_WEIGHTED = "PrecisionWeighted"
    RECALL_WEIGHTED = "RecallWeighted"
    F1_WEIGHTED = "F1Weighted"
    LOG_LOSS = "LogLoss"
    MEAN_SQUARED_ERROR = "MeanSquaredError"
    MEAN_ABSOLUTE_ERROR = "MeanAbsoluteError"
    R2 = "R2"

    @property
    def task(self) -> Task:
        """The task that it measures."""
        regression = (Metric.MEAN_SQUARED_ERROR, Metric.MEAN_ABSOLUTE_ERROR, Metric.R2)
        return Task.REGRESSION if self in regression else Task.CLASSIFICATION

    @property
    def needs_probabilities(self) -> bool:
        """Whether it is measured of how probable each class is, and not of the answers."""
        return self is Metric.LOG_LOSS


@dataclass(frozen=True)
class Selection:
    """How a candidate is chosen, on the validation part."""

    metric: Metric
    maximize: bool


def parse_selection(fields: Fields, task: Task) -> Selection:
    """Read how a candidate is chosen."""
    metric = fields.word("metric", Metric)
    goal = fields.text("goal")
    fields.end()
    if metric.task is not task:
        refuse("selection.metric", str(metric), f"measures a {metric.task}, and the task is {task}")
    if goal not in ("Maximize", "Minimize"):
        refuse("selection.goal", goal, "must be Maximize or Minimize")
    return Selection(metric, goal == "Maximize")
