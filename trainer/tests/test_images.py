"""Images, of arrays and of pictures, are read as they are, resized in the graph, and served alike."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from arrays import parts_of, rows_of, save
from conftest import Bench, agrees, refused
from modelwright_trainer.graph.images import Resizer
from modelwright_trainer.inputs import build_inputs
from modelwright_trainer.progress import Progress
from modelwright_trainer.run import part_data
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(11)


def picture(pixels: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def album(bench: Bench, sizes: tuple[tuple[int, int], ...] = ((6, 5),), count: int = 60) -> dict[str, bytes]:
    """Make pictures: those of `light` are lighter."""
    bench.run["data"] |= {"format": "Images", "label": "shade"}
    found = {}
    for index in range(count):
        height, width = sizes[index % len(sizes)]
        low = 128 if index % 3 else 0
        pixels = RANDOM.integers(low, low + 128, (height, width, 3)).astype(np.uint8)
        found[f"{'light' if low else 'dark'}/{index:03}.png"] = picture(pixels)
    return found


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_images_of_an_npz_are_one_tensor(bench: Bench, channels: int | None) -> None:
    shape = (90, 4, 5) if channels is None else (90, 4, 5, channels)
    images = RANDOM.integers(0, 256, shape).astype(np.uint8)
    labels = (images.reshape(90, -1)[:, 0] > 127).astype(int)
    save(bench, images=images, target=labels).run["data"]["images"] = {}
    bench.candidate("DecisionTree").train()
    agrees(bench)
    (only,) = bench.session().get_inputs()
    assert (only.name, only.type, only.shape) == ("images", "tensor(uint8)", ["rows", 4, 5, channels or 1])
    assert bench.evaluation()["inputs/images"].dtype == np.uint8
    with np.load(bench.out / "calibration.npz") as archive:
        assert archive["inputs/images"].shape == (45, 4, 5, channels or 1)


@pytest.mark.parametrize(("height", "width"), [(3, 4), (8, 9), (16, 5)])
def test_images_are_resized_in_the_graph_as_in_training(bench: Bench, height: int, width: int) -> None:
    images = RANDOM.integers(0, 256, (90, 8, 9, 3)).astype(np.uint8)
    labels = (images[:, :, :5].mean(axis=(1, 2, 3)) > 127).astype(int)
    save(bench, images=images, target=labels).run["data"]["images"] = {"height": height, "width": width}
    bench.candidate("LogisticRegression").train()
    agrees(bench)
    (only,) = bench.session().get_inputs()
    assert only.shape == ["rows", "height", "width", 3]
    # What training learned from is what the graph makes of the very rows.
    run = bench.parse()
    data, parts = parts_of(bench)
    learned = build_inputs(data, run, parts).prepare(parts.train)["images"]
    assert learned.shape == (len(parts.train), height, width, 3)
    resized = Resizer(height, width, 3)
    np.testing.assert_array_equal(learned, resized.apply(images[parts.train]))
    np.testing.assert_array_equal(resized.apply(learned), learned)
    graph = onnx.load(bench.out / "model.onnx").graph
    assert [node.op_type for node in graph.node].count("Resize") == 1
    # Images of another size are answered too.
    other = RANDOM.integers(0, 256, (2, 20, 31, 3)).astype(np.uint8)
    assert len(bench.session().run(["label"], {"images": other})[0]) == 2


def test_a_smaller_image_is_the_means_of_the_pixels_that_it_stands_for() -> None:
    # Three of four pixels are bright: 191.25, and 0.75 of those that are 1.
    stripes = np.tile(np.arange(32) % 4 > 0, (32, 1)).astype(np.uint8)[np.newaxis, :, :, np.newaxis]
    for value, expected in ((255, 191), (1, 1)):
        assert (Resizer(8, 8, 1).apply(stripes * np.uint8(value))[:, 1:-1, 1:-1] == expected).all()
    flat = np.full((1, 7, 9, 1), 77, dtype=np.uint8)
    assert (Resizer(3, 20, 1).apply(flat) == 77).all()


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_pictures_have_the_label_of_their_folder(bench: Bench, kind: str) -> None:
    files = album(bench)
    if kind == "folder":
        write(bench.folder / "data", {f"deeper/{name}": content for name, content in files.items()})
    else:
        bench.write(packed(kind, files | {"__MACOSX/light/._000.png": b"no picture"}), f"pictures.{kind}")
    data = rows_of(bench)
    assert data.arrays["images"].shape == (60, 6, 5, 3)
    # By their paths: first all dark ones.
    assert data.labels.tolist() == ["dark"] * 20 + ["light"] * 40
    means = data.arrays["images"].mean(axis=(1, 2, 3))
    assert means[:20].max() < 128 <= means[20:].min()
    bench.train()
    agrees(bench)
    assert bench.evaluation()["classes"].tolist() == ["dark", "light"]


def test_folders_with_numbers_as_names_are_labels_of_numbers(bench: Bench) -> None:
    files = {name.replace("light", "7").replace("dark", "10"): content for name, content in album(bench).items()}
    write(bench.folder / "data", files)
    assert sorted(set(rows_of(bench).labels.tolist())) == [7, 10]


@pytest.mark.parametrize("names", [("9007199254740993", "9007199254740992"), ("1" * 5000, "2" * 5000), ("01", "1")])
def test_folders_whose_names_no_number_holds_are_labels_of_text(bench: Bench, names: tuple[str, str]) -> None:
    files = {name.replace("light", names[0]).replace("dark", names[1]): one for name, one in album(bench).items()}
    bench.write(packed("zip", files), "pictures.zip")
    assert sorted(set(rows_of(bench).labels.tolist())) == sorted(names)


@pytest.mark.parametrize("by_table", [False, True])
def test_a_check_says_that_labels_of_pictures_are_text(bench: Bench, *, by_table: bool) -> None:
    label = "07" if by_table else "7"
    files = {name.replace("light", "7").replace("dark", "10"): one for name, one in album(bench).items()}
    if by_table:
        lines = ["file,shade", *(f"{name},{'07' if name.startswith('7') else 10}" for name in files)]
        files["labels.csv"] = "\n".join(lines).encode()
    bench.write(packed("zip", files), "pictures.zip")
    told = part_data(bench.parse(), Progress()).warnings
    assert ["40 of its values begin with 0, such as '07'" in one for one in told] == [True] * by_table
    bench.run["checks"] = {"columns": [{"name": "shade", "type": "Text"}]}
    parted = part_data(bench.parse(), Progress())
    assert sorted(set(parted.data.labels.tolist())) == sorted([label, "10"])
    assert parted.warnings == []


def test_pictures_without_a_label_in_the_table_are_named(bench: Bench) -> None:
    files = album(bench)
    lines = ["file,shade", *(f"{name},{'' if name.endswith('/007.png') else 1}" for name in files)]
    bench.write(packed("zip", files | {"labels.csv": "\n".join(lines).encode()}), "pictures.zip")
    refused(bench, "MissingLabel", "labels.csv of pictures.zip has no 'shade' of light/007.png: write one for each")


def test_pictures_have_the_label_that_a_table_says(bench: Bench) -> None:
    files = album(bench)
    lines = ["file,shade", *(f"./pictures/{index}.png,{7 + ('dark' in name)}" for index, name in enumerate(files))]
    content = {f"pictures/{index}.png": one for index, one in enumerate(files.values())}
    bench.write(
        packed(
            "zip", {f"top/{name}": one for name, one in content.items()} | {"top/labels.csv": "\n".join(lines).encode()}
        ),
        "p.zip",
    )
    data = rows_of(bench)
    assert data.labels.dtype == np.int64
    means = data.arrays["images"].mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(data.labels == 8, means < 128)


def test_pictures_of_several_sizes_are_brought_to_the_size_that_was_asked_for(bench: Bench) -> None:
    write(bench.folder / "data", album(bench, sizes=((6, 5), (9, 9), (4, 4))))
    bench.run["data"]["images"] = {"height": 4, "width": 4}
    bench.candidate("LogisticRegression").train()
    agrees(bench)
    # What has been resized once, by the same graph, stays as it is.
    assert bench.evaluation()["inputs/images"].shape[1:] == (4, 4, 3)
    assert bench.session().get_inputs()[0].shape == ["rows", "height", "width", 3]


def test_grey_pictures_have_one_channel_and_others_three(bench: Bench) -> None:
    album(bench)
    grey = {
        f"{kind}/{index}.png": picture(RANDOM.integers(0, 256, (4, 4)).astype(np.uint8))
        for kind in "ab"
        for index in range(4)
    }
    write(bench.folder / "data", grey)
    assert rows_of(bench).arrays["images"].shape == (8, 4, 4, 1)
    jpeg = picture(np.full((4, 4, 3), 200, dtype=np.uint8), "JPEG")
    write(bench.folder / "data", {"a/colour.JPG": jpeg})
    assert rows_of(bench).arrays["images"].shape == (9, 4, 4, 3)
    bench.run["data"]["images"] = {"channels": 1}
    assert rows_of(bench).arrays["images"].shape == (9, 4, 4, 1)
