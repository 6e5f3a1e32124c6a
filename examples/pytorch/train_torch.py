"""A network of PyTorch under the contract of docs/own-image.md: in goes an NPZ of images, out comes an ONNX model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

BAD_INPUT = 64
OPSET = 17
ARRAYS, RANK = 2, 3
"""Of the data: images and labels; and the axes of images."""
KNOWN = {"epochs": 5, "learning_rate": 0.001, "channels": 8, "batch_size": 32}


class BadInputError(Exception):
    """What no retry can mend: a word for the condition, and a sentence for people."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.reason = reason


class Network(nn.Module):
    """UINT8 images (rows, height, width) in, a probability for each class out: what clients send is what it takes."""

    def __init__(self, height: int, width: int, channels: int, classes: int) -> None:
        """Make the layers."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(channels * (height // 2) * (width // 2), classes),
        )

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the loss takes."""
        scores: torch.Tensor = self.layers(images.unsqueeze(1).to(torch.float32) / 255)
        return scores

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return probabilities."""
        return torch.softmax(self.scores(images), dim=1)


def read(run: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels."""
    files = sorted(Path(run["data"]["directory"]).glob("*.npz"))
    if run["task"] != "Classification" or run["data"]["format"] != "NPZ" or len(files) != 1:
        message = (
            f"this image classifies images of one NPZ; task {run['task']}, {run['data']['format']}, {len(files)} files"
        )
        raise BadInputError("UnreadableData", message)
    with np.load(files[0], allow_pickle=False) as arrays:
        label = run["data"]["label"]
        if label not in arrays or len(arrays.files) != ARRAYS:
            message = f"data.label {label!r} and one array of images are expected; {files[0].name} holds {arrays.files}"
            raise BadInputError("NoLabelColumn", message)
        (images,) = (arrays[name] for name in arrays.files if name != label)
        labels = arrays[label]
    if images.dtype != np.uint8 or images.ndim != RANK or len(images) != len(labels):
        raise BadInputError(
            "UnreadableData", f"images are {images.dtype} {images.shape}; expected UINT8 (rows, height, width)"
        )
    return images, labels


def part(rows: int, split: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of the training, validation and test part."""
    order = np.random.default_rng(split["seed"]).permutation(rows)
    test, validation = (round(rows * float(split[name])) for name in ("test", "validation"))
    if not 0 < test < rows - test or validation < 1:
        raise BadInputError(
            "TooFewRows", f"{rows} rows and split {split} leave no row for a part; give more, or other shares"
        )
    return order[test + validation :], order[test : test + validation], order[:test]


def fit(images: torch.Tensor, truth: torch.Tensor, classes: int, wanted: dict[str, Any], seed: int) -> Network:
    """Train one candidate; the same data, seed and image give the same weights."""
    if unknown := sorted(set(wanted) - set(KNOWN)):
        raise BadInputError("UnknownParameter", f"candidates[].parameters has {unknown}; there are {sorted(KNOWN)}")
    found = KNOWN | wanted
    torch.manual_seed(seed)
    network = Network(images.shape[1], images.shape[2], int(found["channels"]), classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=float(found["learning_rate"]))
    for epoch in range(int(found["epochs"])):
        loss = torch.zeros(())
        for rows in torch.randperm(len(images)).split(int(found["batch_size"])):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network.scores(images[rows]), truth[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.4f}", file=sys.stderr, flush=True)
    network.eval()
    return network


def train(run: dict[str, Any]) -> dict[str, Any]:
    """Do what the run says, leave the files, and return what the operator is told."""
    images, labels = read(run)
    classes, truth = np.unique(labels, return_inverse=True)
    seed = run["split"]["seed"]
    fitting, validation, test = part(len(images), run["split"])
    pixels, numbers = torch.from_numpy(images), torch.from_numpy(truth)
    tried: list[tuple[float, str, Network]] = []
    for candidate in run["candidates"] or [{"name": "network"}]:
        network = fit(pixels[fitting], numbers[fitting], len(classes), candidate.get("parameters", {}), seed)
        with torch.no_grad():
            right = network(pixels[validation]).argmax(1) == numbers[validation]
        tried.append((right.double().mean().item(), candidate["name"], network))
    tried.sort(key=lambda one: -one[0])
    _, chosen, network = tried[0]
    output = Path(run["output"])
    output.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        (pixels[:1],),
        str(output / "model.onnx"),
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_axes={"images": {0: "rows"}, "probabilities": {0: "rows"}},
        opset_version=OPSET,
        dynamo=False,
    )
    with torch.no_grad():
        answers = network(pixels[test]).numpy()
    known = classes if classes.dtype.kind == "U" else classes.astype(np.int64)
    np.savez(
        output / "evaluation.npz",
        **{
            "inputs/images": images[test],
            "labels": known[truth[test]],
            "classes": known,
            "outputs/probabilities": answers,
        },
    )
    np.savez(output / "calibration.npz", **{"inputs/images": images[fitting[:512]]})
    rows = {"train": len(fitting), "validation": len(validation), "test": len(test)}
    candidates = [{"name": name, "score": f"{score:.6f}"} for score, name, _ in tried]
    return {"chosen": chosen, "metric": "Accuracy", "candidates": candidates, "rows": rows}


def main() -> int:
    """Run, and end as the contract says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=Path("/modelwright/run.json"))
    parser.add_argument("--termination-log", type=Path, default=Path("/dev/termination-log"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    try:
        told = {"succeeded": train(json.loads(arguments.run.read_text()))}
        code = 0
    except BadInputError as error:
        told, code = {"failed": {"reason": error.reason, "message": str(error)}}, BAD_INPUT
    arguments.termination_log.write_text(json.dumps(told)[:1500])
    return code


if __name__ == "__main__":
    sys.exit(main())
