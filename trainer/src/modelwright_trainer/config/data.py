"""What is learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from .fields import Fields, refuse

KINDS: Final = ("images", "sequences", "text", "window")
"""What rows are, where they are not rows of a table."""


class DataFormat(StrEnum):
    """How data is written."""

    CSV = "CSV"
    NPZ = "NPZ"
    PARQUET = "Parquet"
    IMAGES = "Images"


class Inputs(StrEnum):
    """How a model takes a table."""

    COLUMNS = "Columns"
    """Each column is an input by its name."""
    MATRIX = "Matrix"
    """All columns are one input `x` of numbers."""


@dataclass(frozen=True)
class Images:
    """Rows are images; a size that is given is brought about in the graph."""

    height: int | None = None
    width: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class Sequences:
    """Rows are sequences. With `id` and `order` those are columns of a long table, which has a row for each step."""

    id: str | None = None
    order: str | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Text:
    """Rows are texts of one column; without a name the only one besides the label."""

    column: str | None = None


@dataclass(frozen=True)
class Window:
    """Rows are windows over a table in time order."""

    past: int
    horizon: int


@dataclass(frozen=True)
class RunData:
    """What is learned from."""

    directory: str
    format: DataFormat
    label: str
    inputs: Inputs | None = None
    images: Images | None = None
    sequences: Sequences | None = None
    text: Text | None = None
    window: Window | None = None
    test: str | None = None
    """The folder of a test set of one's own."""

    @property
    def kind(self) -> str:
        """What rows are, by the name of its field, or `table`."""
        return next((name for name in KINDS if getattr(self, name) is not None), "table")

    @property
    def is_table(self) -> bool:
        """Whether rows are rows of a table."""
        return not (self.images or self.sequences or self.text or self.window)

    @property
    def single_input(self) -> bool:
        """Whether a table is one input `x`: asked for, or arrays that have no columns with names."""
        return self.inputs is Inputs.MATRIX or self.format is DataFormat.NPZ


def parse_data(fields: Fields) -> RunData:
    """Read what is learned from."""
    data_format = fields.word("format", DataFormat)
    found = {name: fields.find(name, dict, "an object") for name in KINDS}
    given = [name for name, value in found.items() if value is not None]
    if len(given) > 1:
        refuse(fields.path, given, f"must have at most one of {', '.join(KINDS)}")
    test = fields.find("test", dict, "an object")
    data = RunData(
        fields.text("directory"),
        data_format,
        fields.text("label"),
        fields.find_word("inputs", Inputs),
        _parse_images(fields.inner("images")),
        _parse_sequences(fields.inner("sequences")),
        _parse_text(fields.inner("text")),
        _parse_window(fields.inner("window")),
        None if test is None else _parse_test(Fields(test, fields.at("test"))),
    )
    fields.end()
    _refuse_mixtures(data, fields, given)
    # Pictures say by their format what rows are.
    return replace(data, images=Images()) if data.format is DataFormat.IMAGES and data.images is None else data


def _refuse_mixtures(data: RunData, fields: Fields, given: list[str]) -> None:
    """Refuse what does not go with the format."""
    tables = (DataFormat.CSV, DataFormat.PARQUET)
    if data.inputs is not None and (given or data.format not in tables):
        refuse(fields.at("inputs"), str(data.inputs), "is for a table of CSV or Parquet; take it away")
    allowed = {
        "images": (DataFormat.NPZ, DataFormat.IMAGES),
        "sequences": (DataFormat.NPZ, *tables),
        "text": tables,
        "window": tables,
    }
    for name in given:
        if data.format not in allowed[name]:
            words = " or ".join(allowed[name])
            refuse(fields.at("format"), str(data.format), f"must be {words} with data.{name}")
    sequences = data.sequences
    if sequences is not None:
        if (sequences.id is None) != (sequences.order is None):
            refuse(fields.at("sequences"), None, "must have both id and order, or neither of them")
        if data.format is DataFormat.CSV and sequences.id is None:
            refuse(
                fields.at("sequences.id"), None, "must name the column that tells sequences apart, and order beside it"
            )
        if data.format is DataFormat.NPZ and sequences.id is not None:
            refuse(fields.at("sequences.id"), sequences.id, "is for a long table; an NPZ has an array (rows, T, C)")


def _parse_images(fields: Fields | None) -> Images | None:
    if fields is None:
        return None
    found = Images(fields.positive("height"), fields.positive("width"), fields.positive("channels"))
    fields.end()
    if (found.height is None) != (found.width is None):
        refuse(
            fields.path, {"height": found.height, "width": found.width}, "must have both height and width, or neither"
        )
    if found.channels not in (None, 1, 3, 4):
        refuse(fields.at("channels"), found.channels, "must be 1 (grey), 3 (RGB) or 4 (RGBA)")
    return found


def _parse_sequences(fields: Fields | None) -> Sequences | None:
    if fields is None:
        return None
    found = Sequences(fields.find("id", str, "text"), fields.find("order", str, "text"), fields.positive("maxLength"))
    fields.end()
    return found


def _parse_text(fields: Fields | None) -> Text | None:
    if fields is None:
        return None
    found = Text(fields.find("column", str, "text"))
    fields.end()
    return found


def _parse_window(fields: Fields | None) -> Window | None:
    if fields is None:
        return None
    past, horizon = fields.positive("past"), fields.positive("horizon")
    fields.end()
    if past is None:
        refuse(fields.at("past"), None, "must be how many steps are looked at, such as 12")
    return Window(past, 1 if horizon is None else horizon)


def _parse_test(fields: Fields) -> str:
    found = fields.text("directory")
    fields.end()
    return found
