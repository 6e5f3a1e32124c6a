"""In goes the path of a `.keras` file, out come what it says of its layers and the bytes of its weights."""

from __future__ import annotations

import errno
import json
import re
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NoReturn

from modelwright_trainer.archive import DAMAGED
from modelwright_trainer.failure import Reason, RunError, listed
from modelwright_trainer.room import Room

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "config.json"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.weights.h5"
NEEDED: Final = (METADATA, CONFIG, WEIGHTS)
MOST_WORDS: Final = 2**24
"""Bytes of what is said of layers; 128 of them need far less."""
MOST_MEMBERS: Final = 1000
NO_PLACE: Final = (None, errno.EINVAL)
"""Of errors that the content makes: unpacking it, or going to a place before its start."""
VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(\..*)?")
MAJOR: Final = 3
"""Of Keras: an earlier one writes other weights, a later one what nobody here knows."""


@dataclass(frozen=True)
class KerasFile:
    """What a file holds."""

    config: dict[str, Any]
    weights: bytes


def read_keras(path: Path) -> KerasFile:
    """Read a file; what is larger than this container has room for is refused before it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename: one for one in archive.infolist()}
            _check_members(path, members, len(archive.infolist()))
            metadata = _read_words(archive, members[METADATA])
            _check_version(metadata.get("keras_version"))
            return KerasFile(_read_words(archive, members[CONFIG]), archive.read(members[WEIGHTS]))
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_PLACE:
            raise
        _refuse(f"it cannot be read as what Keras' model.save writes, which is a zip archive ({error!s:.200})")


def _check_members(path: Path, members: dict[str, zipfile.ZipInfo], count: int) -> None:
    if missing := [name for name in NEEDED if name not in members]:
        _refuse(f"it lacks {listed(missing)}, and holds {listed(sorted(members), 6) or 'nothing'}")
    if count > MOST_MEMBERS or count != len(members):
        _refuse(f"it holds {count} files, some of one name or more than {MOST_MEMBERS}")
    for name in (METADATA, CONFIG):
        if members[name].file_size > MOST_WORDS:
            _refuse(f"its {name} has {members[name].file_size} bytes, and at most {MOST_WORDS} are read")
    room = Room(path.name)
    for name in NEEDED:
        room.take_file(members[name].file_size)


def _read_words(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    try:
        found = json.loads(archive.read(member))
    except (ValueError, RecursionError) as error:
        _refuse(f"its {member.filename} is no JSON ({error!s:.200})")
    if not isinstance(found, dict):
        _refuse(f"its {member.filename} is {found!r:.60}, and an object was expected")
    return found


def _check_version(written: object) -> None:
    ours = version("keras")
    found = VERSION.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        _refuse(f"its {METADATA} has the keras_version {written!r:.40}, and one such as {ours} was expected")
    theirs, known = (int(found[1]), int(found[2])), tuple(map(int, ours.split(".")[:2]))
    if theirs[0] != MAJOR or theirs > known:
        _refuse(
            f"Keras {written} wrote it, and files of Keras {MAJOR}.0 to {known[0]}.{known[1]} are read: load it there "
            "and save it by one of these"
        )


def _refuse(why: str) -> NoReturn:
    message = f"spec.source with format Keras must be a .keras file: {why}; save the model by model.save('NAME.keras')"
    raise RunError(Reason.NOT_KERAS, message)
