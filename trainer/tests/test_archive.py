"""Files of arrays that are broken in any way: they end with one of two types of error, and never with other numbers."""

from __future__ import annotations

import io
import random
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from modelwright_trainer.archive import read_archive
from modelwright_trainer.data.pictures import read_album
from modelwright_trainer.failure import Reason, RunError
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Bench

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "features": np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32),
    "target": np.arange(40) % 2,
    "words": np.array(["one", "two"]),
}


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def packed(members: dict[str, bytes], method: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, one in members.items():
            archive.writestr(name, one)
    return content.getvalue()


def whole(method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **ARRAYS)
    with zipfile.ZipFile(content) as archive:
        return packed({name: archive.read(name) for name in archive.namelist()}, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_that_is_cut_or_changed_is_an_error_of_two_types(tmp_path: Path, method: int) -> None:
    content, path, draw = whole(method), tmp_path / "data.npz", random.Random(5)  # noqa: S311 - which bit changes
    broken = [content[: draw.randrange(len(content))] for _ in range(100)]
    for _ in range(1500):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        broken.append(bytes(changed))
    refused = 0
    for one in broken:
        path.write_bytes(one)
        try:
            found = read_archive(path)
        except (OSError, ValueError):
            refused += 1
            continue
        for name in found.keys() & ARRAYS.keys():
            np.testing.assert_array_equal(found[name], ARRAYS[name])
    assert refused > 1000


@pytest.mark.parametrize("method", METHODS)
def test_pictures_of_an_archive_that_was_changed_are_refused_or_read(tmp_path: Path, method: int) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(out, "PNG")
    content = packed({f"{kind}/1.png": out.getvalue() for kind in "ab"}, method)
    path, draw = tmp_path / "data.zip", random.Random(5)  # noqa: S311 - which bit changes
    refused = 0
    for _ in range(600):
        changed, place = bytearray(content), draw.randrange(len(content))
        # Of a name that begins with a zero, Python makes an empty one.
        changed[place] = draw.choice([0, changed[place] ^ 1 << draw.randrange(8)])
        path.write_bytes(changed)
        try:
            read_album([path], tmp_path)
        except RunError:
            refused += 1
    assert refused > 300


def test_what_is_no_archive_of_plain_arrays_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="single array"):
        read_archive(path)
    np.savez(path, one=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_archive(path)
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none.npz")


def test_data_that_is_a_single_array_or_encrypted_is_refused_in_words(bench: Bench) -> None:
    bench.run["data"]["format"] = "NPZ"
    path = bench.folder / "data" / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    refusal = bench.refusal()
    assert refusal.reason is Reason.UNREADABLE_DATA
    assert "data.npz is no NPZ file that can be read: it is a single array" in refusal.message
    content = bytearray(whole())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        place = archive.start_dir
    content[6] |= 1
    content[place + 8] |= 1
    path.write_bytes(content)
    refusal = bench.refusal()
    assert refusal.reason is Reason.UNREADABLE_DATA
    assert "encrypted" in refusal.message
