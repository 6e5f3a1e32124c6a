"""Small files that hold very much: each is refused in words, and never fills the memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from modelwright_trainer import room
from modelwright_trainer.config import parse_run
from modelwright_trainer.data import read_data
from modelwright_trainer.data.npz import read_npz
from modelwright_trainer.data.parquet import read_parquet
from modelwright_trainer.data.pictures import MOST_BYTES, read_album
from modelwright_trainer.failure import Reason, RunError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Bench

MIB = 2**20
MEMORY = 64 * MIB
"""What a container may use here: half of it is for data."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory_limit", lambda: MEMORY)


def zipped(path: Path) -> None:
    """Write forty files of a MiB of zeros, in 40 KiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(40):
            archive.writestr(f"a/{index}.png", bytes(MIB))


def tarred(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for index in range(40):
            member = tarfile.TarInfo(f"a/{index}.png")
            member.size = MIB
            archive.addfile(member, io.BytesIO(bytes(MIB)))


def sparse(path: Path) -> None:
    """Write two sparse files of 40 MiB, in the old GNU form: a block each."""
    with path.open("wb") as file:
        for index in range(2):
            header = bytearray(tarfile.TarInfo(f"a/{index}.png").tobuf(tarfile.GNU_FORMAT))
            header[156:157] = tarfile.GNUTYPE_SPARSE
            header[124:136] = b"%011o\0" % 1
            header[386:398], header[398:410] = b"%011o\0" % (40 * MIB - 1), b"%011o\0" % 1
            header[483:495] = b"%011o\0" % (40 * MIB)
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            file.write(bytes(header) + b"x" + bytes(511))
        file.write(bytes(1024))


def many(path: Path) -> None:
    """Write so many empty files that their names alone take the memory."""
    with tarfile.open(path, "w:gz") as archive:
        for index in range(MEMORY // 2 // room.A_FILE + 1):
            archive.addfile(tarfile.TarInfo(f"a/{index}.png"))


def headed(path: Path) -> None:
    """Write a header that says it has 256 MiB and more, before a file without content."""
    member = tarfile.TarInfo("a/1.png")
    member.type = tarfile.XHDTYPE
    member.size = MOST_BYTES + 2 * tarfile.RECORDSIZE
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(tarfile.TarInfo("a/0.png").tobuf())
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(8):
            file.write(bytes(MIB))


ARCHIVES: dict[str, tuple[str, Callable[[Path], None], list[str]]] = {
    "a zip of zeros": ("data.zip", zipped, ["data.zip has at least", "room for 32 MiB"]),
    "a tar of zeros": ("data.tar.gz", tarred, ["data.tar.gz has at least", "room for 32 MiB"]),
    "a sparse tar": ("data.tar", sparse, ["data.tar has at least 40 MiB", "limits.memory, or give less data"]),
    "very many files": ("data.tar.gz", many, ["data.tar.gz has at least 32 MiB"]),
    "a header without end": ("data.tar.gz", headed, ["a header of", "at most 256 MiB are read"]),
}


def refused(read: Callable[[], object]) -> RunError:
    """Return why, having seen that memory stays within what there is."""
    tracemalloc.start()
    try:
        with pytest.raises(RunError) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    return caught.value


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(case: str, tmp_path: Path) -> None:
    name, write, words = ARCHIVES[case]
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size < MIB, "a bomb is small"
    error = refused(lambda: read_album([tmp_path / name], tmp_path))
    assert all(part in error.message for part in words), error.message
    assert error.reason in (Reason.TOO_LARGE, Reason.UNREADABLE_DATA)


def test_more_files_than_a_data_set_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_FILES", 100)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for index in range(101):
            archive.writestr(f"a/{index}.png", b"")
    error = refused(lambda: read_album([tmp_path / "data.zip"], tmp_path))
    assert "holds more than 100 files" in error.message
    assert error.reason is Reason.TOO_LARGE


def test_a_folder_of_sparse_files_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        with (folder / f"{index}.png").open("wb") as file:
            os.truncate(file.fileno(), 20 * MIB)
    error = refused(lambda: read_album([*folder.iterdir()], folder))
    assert "photos has at least 40 MiB" in error.message


def test_an_npz_of_zeros_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((5 * MIB, 8), np.uint8), y=np.zeros(5 * MIB, np.uint8))
    error = refused(lambda: read_npz([[path]], "y"))
    assert "data.npz has at least 40 MiB unpacked" in error.message
    assert error.reason is Reason.TOO_LARGE


def test_rows_without_content_are_not_more_than_there_is_room_for(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name, kind, shape in [("x", "<f8", (10**12, 0)), ("y", "<U0", (10**12,))]:
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", header.getvalue())
    error = refused(lambda: read_npz([[tmp_path / "data.npz"]], "y"))
    assert "data.npz has at least" in error.message
    assert error.reason is Reason.TOO_LARGE


def png(width: int, height: int) -> bytes:
    """Return a picture of zeros, all of it for few pixels, and its header only for very many."""
    few = width * height <= 16 * MIB
    content = zlib.compress(bytes(height * (width + 1)) if few else b"", 9)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", content), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_picture_of_a_billion_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a/0.png", png(40_000, 25_000))
    error = refused(lambda: read_album([tmp_path / "data.zip"], tmp_path))
    assert "a/0.png has 40000 x 25000 pixels, and at most 67108864 are read" in error.message


def test_pictures_that_are_small_files_and_many_pixels_together_are_refused(bench: Bench) -> None:
    with zipfile.ZipFile(bench.folder / "data" / "data.zip", "w") as archive:
        for index in range(3):
            archive.writestr(f"{index % 2}/{index}.png", png(4000, 4000))
    bench.run["data"] |= {"format": "Images", "images": {}}
    bench.run["data"].pop("inputs", None)
    run = parse_run(json.dumps(bench.run))
    error = refused(lambda: read_data(run))
    assert "data of 3 images of 4000 x 4000 pixels has at least 45 MiB of pixels" in error.message


def test_one_long_text_in_many_rows_of_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5000, np.int32)), pa.array(["w" * 100_000]))
    pq.write_table(pa.table({"text": text, "y": np.zeros(5000)}), path, store_schema=False)
    assert path.stat().st_size < MIB
    error = refused(lambda: read_parquet([path]))
    assert "MiB of text" in error.message
    assert error.reason is Reason.TOO_LARGE


def test_very_many_rows_of_one_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    zeros = pa.array(np.zeros(9 * MIB, np.int8))
    pq.write_table(pa.table({"x": zeros, "y": zeros}), path)
    assert path.stat().st_size < MIB
    error = refused(lambda: read_parquet([path]))
    assert "data.parquet has at least 72 MiB" in error.message


def test_data_that_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    words = pa.array([f"word {index}" for index in range(20_000)])
    pq.write_table(pa.table({"x": words, "y": np.zeros(20_000)}), path)
    assert len(read_parquet([path]).columns["x"]) == 20_000
