"""In goes the text of `run.json`, out comes a `Run`: every field known, typed and within its bounds."""

from __future__ import annotations

from .candidates import INPUT, MOST_LAYERS, Candidate, RunLayer, RunPart
from .checks import Checks, ColumnCheck, ColumnType
from .data import DataFormat, Images, Inputs, RunData, Sequences, Text, Window
from .fields import refuse
from .preparation import Method, Preparation, Strategy
from .run import Run, parse_run
from .selection import Metric, Selection
from .split import By, Split
from .task import Task

__all__ = [
    "INPUT",
    "MOST_LAYERS",
    "By",
    "Candidate",
    "Checks",
    "ColumnCheck",
    "ColumnType",
    "DataFormat",
    "Images",
    "Inputs",
    "Method",
    "Metric",
    "Preparation",
    "Run",
    "RunData",
    "RunLayer",
    "RunPart",
    "Selection",
    "Sequences",
    "Split",
    "Strategy",
    "Task",
    "Text",
    "Window",
    "parse_run",
    "refuse",
]
