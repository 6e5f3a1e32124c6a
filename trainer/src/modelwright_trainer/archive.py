"""In goes the path of an `.npz`, out come its arrays, or an error of one of two types, whatever is wrong with it."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .room import Room

DAMAGED: Final = (EOFError, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What Python's `zipfile` says of an archive that is cut, changed, encrypted, or packed in a way that it does not know.

Some of it is an `OSError`, as is what hinders reading.
"""


def read_archive(path: Path, room: Room | None = None) -> dict[str, NDArray[Any]]:
    """Read all arrays. A file that cannot be opened is an `OSError`, one that holds anything else a `ValueError`.

    With a room, what does not fit into it is refused before it is read.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                # Members are read as far as they say that they are long.
                for member in archive.zip.infolist():
                    if room is not None:
                        room.take_file(member.file_size)
                return {name: archive[name] for name in archive.files}
    except DAMAGED as error:
        message = f"{type(error).__name__}: {error}"
        raise ValueError(message) from error
    message = "it is a single array"
    raise ValueError(message)
