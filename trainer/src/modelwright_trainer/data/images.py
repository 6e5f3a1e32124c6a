"""In go images, as an array or as pictures, out come UINT8 tensors (rows, height, width, channels) and labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.graph.images import Resizer
from modelwright_trainer.material import Kind
from modelwright_trainer.room import Room
from modelwright_trainer.tensors import Tensors

from .csv import read_csv_bytes
from .labels import as_labels, find_lost_zeros, is_meant_as_text
from .npz import read_arrays
from .pictures import TABLE, Album, Picture, read_album
from .raw import Raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.config import Run

RANK: Final = 4
CHANNELS: Final = (1, 3, 4)
FILE: Final = "file"
"""The column of the table of labels that names pictures."""
NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
"""A folder's name that is a number, and of few enough digits for FP64 to hold it; others are text."""


def read_image_array(files: list[list[Path]], run: Run) -> Tensors:
    """Read an NPZ with one UINT8 array (rows, H, W) or (rows, H, W, C)."""
    found = read_arrays(files, run.data.label)
    names = list(found.arrays)
    if len(names) > 1:
        message = (
            f"an NPZ of images holds two arrays, images and the label; it holds {listed([run.data.label, *names])}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    images = found.arrays[names[0]]
    if images.dtype != np.uint8 or images.ndim not in (RANK - 1, RANK) or not all(images.shape[1:]):
        message = (
            f"array {names[0]!r} must be images, UINT8 of shape (rows, H, W) or (rows, H, W, channels), and is "
            f"{images.dtype} of shape {images.shape}: bring values to whole numbers from 0 to 255, or leave "
            "data.images away"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    if not len(images):
        raise RunError(Reason.NO_ROWS, f"{found.label.files[0][0]} holds no image")
    pixels = images.reshape(*images.shape[: RANK - 1], images.shape[3] if images.ndim == RANK else 1)
    asked = run.data.images.channels if run.data.images else None
    if pixels.shape[3] not in CHANNELS or asked not in (None, pixels.shape[3]):
        wanted = "1, 3 or 4 can be taken" if asked is None else f"data.images.channels is {asked}"
        message = f"array {names[0]!r} has images of {pixels.shape[3]} channels, and {wanted}: write them with as many"
        raise RunError(Reason.UNREADABLE_DATA, message)
    return _as_tensors(pixels, found.label, run)


def read_images(files: list[list[Path]], run: Run) -> Tensors:
    """Read pictures of a folder or an archive; those of a test set of one's own last."""
    roots = [Path(run.data.directory), *([Path(run.data.test)] if run.data.test else [])]
    albums = [read_album(of_part, root) for of_part, root in zip(files, roots, strict=True)]
    raw = _join_labels(albums, [_label_pictures(album, run) for album in albums], run.data.label)
    return _as_tensors(_decode([picture for album in albums for picture in album.pictures], run), raw, run)


def _as_tensors(pixels: NDArray[np.uint8], raw: Raw, run: Run) -> Tensors:
    labels, unlabelled = as_labels(raw.columns[run.data.label], run, raw)
    arrays = {"images": pixels}
    return Tensors(
        Kind.IMAGES,
        arrays,
        labels,
        unlabelled,
        raw.files,
        ("images",),
        size=_find_size(run),
        tests=raw.tests,
        notes=find_lost_zeros(run, raw),
    )


def _find_size(run: Run) -> tuple[int, int] | None:
    images = run.data.images
    return None if images is None or images.height is None or images.width is None else (images.height, images.width)


def _decode(pictures: list[Picture], run: Run) -> NDArray[np.uint8]:
    """Decode all pictures. Without a size they must have one; with it, those of several are brought to it."""
    channels = run.data.images.channels if run.data.images else None
    if channels is None:
        channels = 1 if all(picture.grey for picture in pictures) else 3
    wanted = _find_size(run)
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1 and wanted is None:
        first = pictures[0]
        second = next(picture for picture in pictures if picture.size != first.size)
        words = [f"{one.size[1]} x {one.size[0]} in {one.path}" for one in (first, second)]
        message = (
            f"images have {len(sizes)} sizes, such as {words[0]} and {words[1]} (width x height): give "
            "data.images.height and width, and the model resizes them"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    size = wanted if wanted is not None and len(sizes) > 1 else pictures[0].size
    pixels_of_all = len(pictures) * size[0] * size[1] * channels
    Room(f"data of {len(pictures)} images of {size[1]} x {size[0]} pixels").take(pixels_of_all, "of pixels")
    resizer = Resizer(*size, channels)
    found = np.empty((len(pictures), *size, channels), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        pixels = picture.decode(channels)
        found[index] = pixels if picture.size == size else resizer.apply(pixels[np.newaxis])[0]
    return found


def _label_pictures(album: Album, run: Run) -> Raw:
    """Return the label of each picture: from the table, or the name of its folder."""
    label = run.data.label
    if album.table is not None:
        return _label_by_table(album, run)
    loose = [picture.path for picture in album.pictures if not picture.path.parent.name]
    if loose:
        message = (
            f"picture {listed(loose, 3)} lies in no folder, and there is no {TABLE}: put each picture into a folder "
            f"that has its label as name, or give a table {TABLE} with the columns {FILE} and {label}"
        )
        raise RunError(Reason.MISSING_LABEL, message)
    names = [picture.path.parent.name for picture in album.pictures]
    values: NDArray[Any] = np.array(names, dtype=object)
    # As in a table: what is a number is one.
    if not is_meant_as_text(run) and all(NUMBER.fullmatch(name) for name in names):
        values = values.astype(np.float64)
    return Raw({label: values}, ((album.name, len(values)),))


def _label_by_table(album: Album, run: Run) -> Raw:
    label = run.data.label
    texts = frozenset([FILE, label] if is_meant_as_text(run) else [FILE])
    raw = read_csv_bytes(album.table or b"", f"{album.name}/{TABLE}", texts)
    for name in (FILE, label):
        if name not in raw.columns:
            message = (
                f"{TABLE} of {album.name} has no column {name!r}{did_you_mean(name, raw.columns)}; it has "
                f"{listed(list(raw.columns))}"
            )
            raise RunError(Reason.NO_LABEL_COLUMN, message)
    files = [str(one).removeprefix("./") for one in raw.columns[FILE].tolist()]
    places = {name: index for index, name in enumerate(files)}
    if len(places) < len(files):
        twice = next(name for index, name in enumerate(files) if places[name] != index)
        raise RunError(Reason.UNREADABLE_DATA, f"{TABLE} of {album.name} names {twice!r} twice: name each picture once")
    known = {str(picture.path) for picture in album.pictures}
    if absent := [name for name in files if name not in known]:
        message = f"{TABLE} of {album.name} names {listed(absent, 3)}, and there is no such picture"
        raise RunError(Reason.UNREADABLE_DATA, message)
    if untold := [path for path in sorted(known) if path not in places]:
        message = f"{TABLE} of {album.name} does not name {listed(untold, 3)}: add its label, or take it out"
        raise RunError(Reason.MISSING_LABEL, message)
    _, unlabelled = as_labels(raw.columns[label], run, raw)
    if unlabelled.any():
        empty = [name for name, missing in zip(files, unlabelled.tolist(), strict=True) if missing]
        message = (
            f"{TABLE} of {album.name} has no {label!r} of {listed(empty, 3)}: write one for each, or take these "
            "pictures out"
        )
        raise RunError(Reason.MISSING_LABEL, message)
    own = raw.columns[label][[places[str(picture.path)] for picture in album.pictures]]
    return Raw({label: own}, raw.files, zeros=raw.zeros)


def _join_labels(albums: list[Album], labels: list[Raw], label: str) -> Raw:
    columns = [raw.columns[label] for raw in labels]
    kinds = {values.dtype == object for values in columns}
    if len(kinds) > 1:
        message = (
            f"labels are text in {albums[0].name} and numbers in data.test, or the other way round: write them alike"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    names = [albums[0].name, *(f"data.test's {album.name}" for album in albums[1:])]
    files = tuple((name, len(values)) for name, values in zip(names, columns, strict=True))
    zeros = next((raw.zeros for raw in labels if label in raw.zeros), {})
    return Raw({label: np.concatenate(columns)}, files, tests=sum(rows for _, rows in files[1:]), zeros=zeros)
