"""Bad pictures, archives and tables of labels are refused by words that name what, where, and what to do."""

from __future__ import annotations

import io
import struct
import sys
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import refused
from PIL import Image

if TYPE_CHECKING:
    from conftest import Bench


def png(height: int = 4, width: int = 4, shade: int = 9) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(out, "PNG")
    return out.getvalue()


def bomb() -> bytes:
    """Make a PNG whose header says that it has 10^9 pixels, and that holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 50_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def deep() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(out, "PNG")
    return out.getvalue()


GOOD: dict[str, bytes | None] = {f"{kind}/{index}.png": png() for kind in "ab" for index in range(20)}
PICTURES: dict[str, tuple[dict[str, bytes | None], dict[str, Any], str, list[str]]] = {
    "a bomb": (GOOD | {"a/bomb.png": bomb()}, {}, "TooLarge", ["a/bomb.png has 50000 x 20000 pixels", "67108864"]),
    "several sizes": (
        GOOD | {"b/large.png": png(7, 9)},
        {},
        "UnreadableData",
        ["images have 2 sizes, such as 4 x 4 in a/0.png and 9 x 7 in b/large.png", "give data.images.height and width"],
    ),
    "an empty class": (GOOD | {"c": None}, {}, "NoRows", ["folder 'c' holds no picture", "take the folder away"]),
    "half a picture": (
        GOOD | {"a/half.png": png(90, 90)[:150]},
        {"height": 4, "width": 4},
        "UnreadableData",
        ["a/half.png is no PNG or JPEG"],
    ),
    "no picture": (
        GOOD | {"a/not.png": b"hello"},
        {},
        "UnreadableData",
        ["a/not.png is no PNG or JPEG", "take it out"],
    ),
    "another kind of file": (
        GOOD | {"a/x.gif": b"GIF89a"},
        {},
        "UnreadableData",
        ["a/x.gif is no picture; expected .png"],
    ),
    "a GIF in disguise": (GOOD | {"a/x.png": b"GIF89a\4\0\4\0"}, {}, "UnreadableData", ["a/x.png is no PNG or JPEG"]),
    "16 bits": (GOOD | {"a/deep.png": deep()}, {}, "UnreadableData", ["a/deep.png has pixels of the kind I;16"]),
    "a picture without a folder": (GOOD | {"x.png": png()}, {}, "MissingLabel", ["picture x.png lies in no folder"]),
    "one class": ({f"a/{index}.png": png() for index in range(40)}, {}, "OneClass", ["'shade' is a in all 40 rows"]),
    "a table without its column": (
        GOOD | {"labels.csv": b"path,shade\na/0.png,1\n"},
        {},
        "NoLabelColumn",
        ["labels.csv of data has no column 'file'; it has path, shade"],
    ),
    "a table of other labels": (
        GOOD | {"labels.csv": b"file,shades\na/0.png,1\n"},
        {},
        "NoLabelColumn",
        ["has no column 'shade'; did you mean 'shades'?"],
    ),
    "a table that names what is not there": (
        GOOD | {"labels.csv": b"file,shade\nz.png,1\n"},
        {},
        "UnreadableData",
        ["names z.png, and there is no such picture"],
    ),
    "a table that does not name all": (
        GOOD | {"labels.csv": b"file,shade\na/0.png,1\n"},
        {},
        "MissingLabel",
        ["does not name a/1.png, a/10.png, a/11.png and 36 more"],
    ),
    "a table that is no text": (
        GOOD | {"labels.csv": b"file,shade\n\xff.png,1\n"},
        {},
        "UnreadableData",
        ["labels.csv: 'utf-8' codec", "in UTF-8"],
    ),
    "a table with a short row": (
        GOOD | {"labels.csv": b"file,shade\na/0.png,1\na/1.png\n"},
        {},
        "UnreadableData",
        ["labels.csv: row 2 has 1 values for 2 columns"],
    ),
    "an empty table": (GOOD | {"labels.csv": b""}, {}, "NoLabelColumn", ["labels.csv of data has no column 'file'"]),
    "a table that names one twice": (
        GOOD | {"labels.csv": b"file,shade\na/0.png,1\na/0.png,2\n"},
        {},
        "UnreadableData",
        ["names 'a/0.png' twice"],
    ),
}


def put(bench: Bench, files: dict[str, bytes | None], kind: str) -> None:
    """Write files, and folders where there is no content, as they are or as an archive."""
    folder = bench.folder / "data"
    bench.run["data"] |= {"format": "Images", "label": "shade"}
    if kind == "folder":
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                (folder / name).mkdir()
            else:
                (folder / name).write_bytes(content)
    elif kind == "zip":
        with zipfile.ZipFile(folder / "data", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"{name}/" if content is None else name, content or b"")
        (folder / "data").rename(folder / "data.zip")
    else:
        with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content or b"")
                entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
                archive.addfile(entry, io.BytesIO(content or b""))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_cannot_be_learned_from_are_refused(bench: Bench, name: str, kind: str) -> None:
    files, images, reason, words = PICTURES[name]
    put(bench, files, kind)
    if images:
        bench.run["data"]["images"] = images
    refused(
        bench,
        reason,
        *(one.replace("of data ", f"of {'data' if kind == 'folder' else f'data.{kind}'} ") for one in words),
    )


def test_archives_that_are_none_are_refused(bench: Bench) -> None:
    bench.run["data"] |= {"format": "Images", "label": "shade"}
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        bench.write(b"no archive", name)
        refused(bench, "UnreadableData", f"{name} is no archive that can be read", "expected .zip, .tar")
        (bench.folder / "data" / name).unlink()
    put(bench, GOOD, "zip")
    bench.write(png(), "beside.png")
    refused(bench, "UnreadableData", "one archive or a folder of pictures, and there are 2 files: beside.png, data.zip")


def test_a_file_of_an_archive_that_says_to_be_huge_is_refused(bench: Bench) -> None:
    bench.run["data"] |= {"format": "Images", "label": "shade"}
    with zipfile.ZipFile(bench.folder / "data" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/huge.png", bytes(2**28 + 1))
    assert (bench.folder / "data" / "a.zip").stat().st_size < 2**20
    refused(bench, "TooLarge", "a/huge.png has 268435457 bytes, and a picture has at most 268435456")


def test_pictures_without_the_library_that_reads_them_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bench, GOOD, "folder")
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(bench, "UnreadableData", "needs the library Pillow", "give a candidate layers", "NPZ")
