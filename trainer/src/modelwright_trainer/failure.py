"""Why a run ends without a model: in goes a reason and a message, out comes the error that ends the run."""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Reason(StrEnum):
    """One word for conditions."""

    INVALID_RUN = "InvalidRun"
    CODE_MISMATCH = "CodeMismatch"
    NO_MODEL = "NoModel"
    NOT_ONNX = "NotOnnx"
    NOT_KERAS = "NotKeras"
    UNKNOWN_ALGORITHM = "UnknownAlgorithm"
    UNKNOWN_PARAMETER = "UnknownParameter"
    INVALID_PARAMETER = "InvalidParameter"
    UNKNOWN_LAYER = "UnknownLayer"
    INVALID_NETWORK = "InvalidNetwork"
    INVALID_PREPARATION = "InvalidPreparation"
    NO_DATA = "NoData"
    UNREADABLE_DATA = "UnreadableData"
    UNSUPPORTED_COLUMN = "UnsupportedColumn"
    NO_LABEL_COLUMN = "NoLabelColumn"
    NO_FEATURES = "NoFeatures"
    NO_ROWS = "NoRows"
    TOO_MANY_COLUMNS = "TooManyColumns"
    CHECKS_FAILED = "ChecksFailed"
    MISSING_LABEL = "MissingLabel"
    INVALID_LABEL = "InvalidLabel"
    ONE_CLASS = "OneClass"
    CLASS_TOO_SMALL = "ClassTooSmall"
    TOO_FEW_ROWS = "TooFewRows"
    TEXT_COLUMN = "TextColumn"
    MISSING_VALUES = "MissingValues"
    UNSUITABLE_DATA = "UnsuitableData"
    NOT_FINITE = "NotFinite"
    NO_CANDIDATE = "NoCandidate"
    TOO_LARGE = "TooLarge"
    NOT_REPRODUCIBLE = "NotReproducible"
    CANNOT_OPTIMIZE = "CannotOptimize"
    DEVICE_UNUSED = "DeviceUnused"
    OUT_OF_MEMORY = "OutOfMemory"
    NO_SPACE = "NoSpace"
    FILE_ERROR = "FileError"
    INTERNAL = "Internal"


class RunError(Exception):
    """The run's end: bad input that no retry can mend."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason
        self.message = message


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a half sentence that offers the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    if not near:
        lower = {one.lower(): one for one in known}
        near = [lower[word.lower()]] if word.lower() in lower else []
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(words: Sequence[object], limit: int = 12) -> str:
    """Return words with commas between them, and how many were left out."""
    shown = ", ".join(str(word) for word in words[:limit])
    return f"{shown} and {len(words) - limit} more" if len(words) > limit else shown
