"""In go a folder or an archive of PNG and JPEG files, out come pictures, their labels, and their pixels one by one.

Nothing is unpacked to the disk, and no picture is decoded before its header says that it is no larger than is bearable.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.archive import DAMAGED
from modelwright_trainer.failure import Reason, RunError, listed
from modelwright_trainer.room import MIB, Room

from .names import refuse_no_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
PICTURES: Final = (".png", ".jpg", ".jpeg")
TABLE: Final = "labels.csv"
MOST_PIXELS: Final = 2**26
"""Of one picture: 67 million."""
MOST_BYTES: Final = 2**28
"""Of one file, unpacked."""
MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
GREY: Final = ("1", "L", "LA")
READABLE: Final = (*GREY, "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Modes of 8 bits a channel, in Pillow's words."""


@dataclass(frozen=True)
class Picture:
    """One picture, not decoded yet."""

    path: PurePosixPath
    """Within the folder or archive."""
    size: tuple[int, int]
    """Height and width."""
    grey: bool
    content: bytes

    def decode(self, channels: int) -> NDArray[np.uint8]:
        """Return pixels of shape (height, width, channels)."""
        try:
            with _pillow().open(io.BytesIO(self.content), formats=("PNG", "JPEG")) as image:
                pixels = np.asarray(image.convert(MODES[channels]), dtype=np.uint8)
        except (OSError, ValueError, SyntaxError, zlib.error) as error:
            raise _broken(self.path, error) from error
        return pixels.reshape(*self.size, channels)


@dataclass
class Album:
    """What a folder or an archive holds."""

    name: str
    pictures: list[Picture] = field(default_factory=list)
    """By their paths."""
    table: bytes | None = None
    """What says the labels; without it the folders do."""


def read_album(files: list[Path], root: Path) -> Album:
    """Read a folder of pictures, or one archive."""
    archives = [path for path in files if path.name.lower().endswith(ARCHIVES)]
    if archives and len(files) > 1:
        names = listed([path.name for path in files], 5)
        message = f"images are one archive or a folder of pictures, and there are {len(files)} files: {names}"
        raise RunError(Reason.UNREADABLE_DATA, message)
    album = Album(archives[0].name if archives else root.name)
    folders: set[PurePosixPath] = set()
    contents: dict[PurePosixPath, bytes] = {}
    members = _read_archive(archives[0]) if archives else _read_folder(root)
    for path, content in members:
        refuse_no_text(path)
        if any(part.startswith((".", "_")) for part in path.parts):
            continue
        if content is None:
            folders.add(path)
        elif path in contents:
            raise RunError(Reason.UNREADABLE_DATA, f"{album.name} holds {path} twice")
        else:
            contents[path] = content
    _refuse_empty(folders, contents)
    top = min((path.parent for path in contents if path.name == TABLE), key=lambda path: len(path.parts), default=None)
    for path in sorted(contents):
        if top is not None and path == top / TABLE:
            album.table = contents[path]
        elif path.suffix.lower() not in PICTURES:
            message = (
                f"{path} is no picture; expected {listed(PICTURES)}, or a table {TABLE} with the columns file and label"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        else:
            inner = path.relative_to(top) if top is not None and path.is_relative_to(top) else path
            album.pictures.append(_look_at(inner, contents[path]))
    if not album.pictures:
        raise RunError(Reason.NO_ROWS, f"{album.name} holds no picture; expected {listed(PICTURES)}")
    return album


def _read_folder(root: Path) -> Iterator[tuple[PurePosixPath, bytes | None]]:
    room = Room(root.name)
    for path in sorted(root.rglob("*")):
        inner = PurePosixPath(path.relative_to(root).as_posix())
        size = path.stat().st_size if path.is_file() else 0
        _refuse_large(inner, size)
        room.take_file(size)
        yield inner, path.read_bytes() if path.is_file() else None


def _read_archive(path: Path) -> Iterator[tuple[PurePosixPath, bytes | None]]:
    room = Room(path.name)
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    inner = PurePosixPath(entry.filename)
                    _refuse_large(inner, entry.file_size)
                    room.take_file(entry.file_size)
                    # The size that is told bounds what is read, whatever the file really holds.
                    yield inner, None if entry.is_dir() else archive.open(entry).read(entry.file_size)
            return
        with _Bounded(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                inner = PurePosixPath(member.name)
                # Of a sparse file it is what it seems to hold, which is what reading it gives.
                _refuse_large(inner, member.size)
                room.take_file(member.size)
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None or member.isdir():
                    yield inner, None if content is None else content.read()
    except (*DAMAGED, tarfile.TarError, OSError) as error:
        message = f"{path.name} is no archive that can be read: {error}; expected {listed(ARCHIVES)}"
        raise RunError(Reason.UNREADABLE_DATA, message) from error


class _Bounded(io.BufferedIOBase):
    """The bytes of a tar, inflated if need be; a header says how long it is, and nobody has checked that."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        super().__init__()
        is_plain = path.name.lower().endswith(".tar")
        self._file: Any = path.open("rb") if is_plain else gzip.GzipFile(path)

    def read(self, size: int | None = -1) -> bytes:
        """Read no more at once than a picture has."""
        if size is None or not 0 <= size <= MOST_BYTES + tarfile.RECORDSIZE:
            message = f"a header of {size} bytes, and at most {MOST_BYTES // MIB} MiB are read"
            raise tarfile.ReadError(message)
        found: bytes = self._file.read(size)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        """Return the place."""
        place: int = self._file.tell()
        return place

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


def _refuse_large(path: PurePosixPath, size: int) -> None:
    if size > MOST_BYTES:
        message = f"{path} has {size} bytes, and a picture has at most {MOST_BYTES}: take it out, or make it smaller"
        raise RunError(Reason.TOO_LARGE, message)


def _refuse_empty(folders: set[PurePosixPath], contents: dict[PurePosixPath, bytes]) -> None:
    """Refuse a folder without any file: it was meant to be a class."""
    filled = {parent for path in contents for parent in path.parents}
    empty = sorted(folder for folder in folders if folder not in filled)
    if empty:
        words = f"folder {listed([repr(str(path)) for path in empty], 5)} holds no picture"
        raise RunError(Reason.NO_ROWS, f"{words}: put pictures of this class there, or take the folder away")


def _look_at(path: PurePosixPath, content: bytes) -> Picture:
    """Read the header only."""
    try:
        with _pillow().open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            (width, height), mode = image.size, image.mode
    except (OSError, ValueError, SyntaxError, zlib.error) as error:
        raise _broken(path, error) from error
    if width * height > MOST_PIXELS:
        message = f"{path} has {width} x {height} pixels, and at most {MOST_PIXELS} are read: make it smaller"
        raise RunError(Reason.TOO_LARGE, message)
    if mode not in READABLE:
        raise RunError(Reason.UNREADABLE_DATA, f"{path} has pixels of the kind {mode}: write it with 8 bits a channel")
    return Picture(path, (height, width), mode in GREY, content)


def _broken(path: PurePosixPath, error: Exception) -> RunError:
    # Pillow names the object that it was given, which is no word for a person.
    why = str(error).partition(" <")[0]
    words = f"{path} is no PNG or JPEG that can be read: {why}; mend it, or take it out"
    return RunError(Reason.UNREADABLE_DATA, words)


def _pillow() -> Any:
    """Return the library that decodes; not every image of the trainer has it."""
    try:
        from PIL import Image  # noqa: PLC0415 - only where pictures are read
    except ImportError as error:
        message = (
            "data.format Images needs the library Pillow, which this image of the trainer does not have: give a "
            "candidate layers, which runs in the image that has it, or write the pixels as NPZ"
        )
        raise RunError(Reason.UNREADABLE_DATA, message) from error
    # The size is judged here, by words of our own.
    Image.MAX_IMAGE_PIXELS = None
    return Image
