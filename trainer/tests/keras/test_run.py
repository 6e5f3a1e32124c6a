"""Whole runs of networks: what they leave behind, what another run starts from, what is told on the way."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from modelwright_trainer.backends.keras.device import DEVICE_ENV
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.report import build_success
from networks import layer, softmax
from test_again import repeats

if TYPE_CHECKING:
    from conftest import Bench

LAYERS = [
    layer("tokens", "TextVectorization", max_tokens=40, output_sequence_length=6),
    layer("words", "Embedding", input_dim=40, output_dim=6, mask_zero=True),
    layer("pool", "GlobalAveragePooling1D"),
    layer("hidden", "Dense", units=8, activation="relu"),
    softmax(2),
]
GOOD, BAD, OTHER = ["good", "fine", "great"], ["bad", "poor", "sad"], ["the", "a", "film", "was", "it's"]


def write_texts(bench: Bench, *, seed: int = 1) -> Bench:
    """Write sentences whose words tell their label."""
    random = np.random.default_rng(seed)
    rows = []
    for index in range(120):
        words = [*random.choice(OTHER, 3), random.choice(GOOD if index % 2 else BAD)]
        random.shuffle(words)
        rows.append([" ".join(words), "good" if index % 2 else "bad"])
    bench.run["data"] |= {"text": {"column": "sentence"}}
    bench.run["candidates"] = [
        {"name": "net", "layers": LAYERS, "parameters": {"epochs": 6, "batch_size": 8, "class_weight": {"good": 1.5}}}
    ]
    return bench.write_csv(["sentence", "target"], rows)


def test_a_kept_network_is_prepared_again_with_its_variables_and_the_same_parts(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    write_texts(bench).train()
    repeats(bench)
    before = bench.folder / "before"
    for name in ("variables.npz", "curves.svg"):
        assert (bench.out / name).read_bytes() == (before / name).read_bytes()


def test_a_run_that_was_given_a_device_and_sees_none_ends_whatever_others_reach_without_it(
    tensorflow: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tensorflow
    monkeypatch.setenv(DEVICE_ENV, "nvidia.com/gpu")
    layers = [layer("hidden", "Dense", units=8), softmax(3)]
    bench.write_bundled("iris").candidate("DecisionTree")
    bench.run["candidates"].append({"name": "net", "layers": layers})
    with pytest.raises(RunError, match=r"asks for nvidia.com/gpu, and TensorFlow sees none") as caught:
        bench.train()
    assert caught.value.reason is Reason.DEVICE_UNUSED


def test_a_run_leaves_variables_and_curves_and_another_starts_from_them(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    outcome = write_texts(bench).train()
    report = json.loads((bench.out / "report.json").read_text())
    (candidate,) = report["candidates"]
    assert candidate["algorithm"] == "TextVectorization, Embedding, GlobalAveragePooling1D, Dense, Dense"
    assert [point["epoch"] for point in candidate["curve"]] == [1, 2, 3, 4, 5, 6]
    assert set(candidate["curve"][0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert candidate["curve"][-1]["loss"] < candidate["curve"][0]["loss"]
    assert build_success(outcome)["succeeded"]["device"] == "CPU"
    assert candidate["provenance"] == {
        "device": "CPU",
        "threads": {"withinOperators": 2, "betweenOperators": 1},
        "deterministicOperators": True,
        "precision": "float32",
        "parameters": candidate["provenance"]["parameters"],
    }
    assert report["versions"]["keras"] == "3.15.1"
    ET.fromstring((bench.out / "curves.svg").read_text())  # noqa: S314 - it is our own
    with np.load(bench.out / "variables.npz", allow_pickle=False) as archive:
        variables = {name: archive[name] for name in archive.files}
    assert variables["hidden/kernel"].shape == (6, 8)
    assert set(GOOD) <= set(variables["tokens/vocabulary"].tolist())
    assert outcome.chosen.estimator.variables().keys() == variables.keys()
    # The words of the second run are others, and its Embedding means those of the first.
    first = bench.folder / "first"
    bench.out.rename(first)
    write_texts(bench, seed=2).run["from"] = {"directory": str(first)}
    bench.run["candidates"][0]["parameters"]["epochs"] = 1
    bench.train()
    again = json.loads((bench.out / "report.json").read_text())["candidates"][0]["curve"]
    assert again[0]["loss"] < candidate["curve"][3]["loss"]
    with np.load(bench.out / "variables.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["tokens/vocabulary"], variables["tokens/vocabulary"])
    # Other layers cannot start from them.
    bench.run["candidates"][0]["layers"] = [*LAYERS[:3], layer("hidden", "Dense", units=9), softmax(2)]
    refusal = bench.refusal()
    assert str(refusal.reason) == "InvalidNetwork"
    assert "'hidden/kernel' of the layer 'hidden' has the shape (6, 9), and (6, 8) in the version" in refusal.message
    bench.run["from"] = {"directory": str(bench.folder / "nowhere")}
    assert "variables.npz of the version cannot be read" in bench.refusal().message


def starts_from(bench: Bench, candidates: list[dict[str, Any]]) -> Bench:
    """Train, and have the next run start from what was left."""
    bench.run["candidates"] = candidates
    bench.train()
    first = bench.folder / "first"
    bench.out.rename(first)
    bench.run["from"] = {"directory": str(first)}
    return bench


def write_people(bench: Bench, columns: str, cities: str, labels: str, **preprocess: Any) -> Bench:
    """Write rows of two numbers and a city, and their labels."""
    random = np.random.default_rng(3)
    values = {"a": random.normal(size=90), "b": random.normal(size=90), "c": [cities[row % 3] for row in range(90)]}
    rows = [[*(values[name][row] for name in columns), labels[row % 2]] for row in range(90)]
    bench.run["preprocess"] = [preprocess or {"oneHot": {"columns": ["c"]}}]
    return bench.write_csv([*columns, "target"], rows)


OTHERS: dict[str, tuple[tuple[str, str, str], list[str]]] = {
    "labels": (("abc", "KLM", "xz"), ["the labels are others", "only the version has 'y', only the data has 'z'"]),
    "one label": (("abc", "KLM", "yz"), ["only the version has 'x', only the data has 'z'"]),
    "columns in another order": (
        ("bac", "KLM", "xy"),
        ["the columns (after preprocess) are others", "in place 1 the version has 'a', and the data 'b'"],
    ),
    "values of a column": (("abc", "KLN", "xy"), ["only the version has 'c=M', only the data has 'c=N'"]),
}


@pytest.mark.parametrize("encode", ["oneHot", "ordinal"])
def test_weights_that_mean_other_labels_or_columns_are_refused_with_the_difference(
    tensorflow: Any, bench: Bench, encode: str
) -> None:
    assert tensorflow
    step = {encode: {"columns": ["c"]}}
    write_people(bench, "abc", "KLM", "xy", **step)
    starts_from(bench, [{"name": "net", "layers": [softmax(2)], "parameters": {"epochs": 1}}])
    # Rows may be others, and their order.
    write_people(bench, "abc", "MLK", "yx", **step).train()
    for (columns, cities, labels), words in OTHERS.values():
        refusal = write_people(bench, columns, cities, labels, **step).refusal()
        assert str(refusal.reason) == "InvalidNetwork"
        for one in words:
            assert one in refusal.message
    # What code of one's own left says nothing of it.
    with np.load(bench.folder / "first" / "variables.npz", allow_pickle=False) as archive:
        plain = {name: archive[name] for name in archive.files if name != "meaning"}
    np.savez(bench.folder / "first" / "variables.npz", **plain)
    bench.train()


def test_weights_of_columns_that_were_scaled_otherwise_are_refused(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    random = np.random.default_rng(6).normal(50, 9, size=(90, 2))
    bench.write_csv(["a", "b", "target"], [[*row, "xy"[row[0] > row[1]]] for row in random.tolist()])
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    starts_from(bench, [{"name": "net", "layers": [softmax(2)], "parameters": {"epochs": 1}}])
    bench.train()
    for preprocess, words in (
        ([], "only the data has 'a', 'b'"),
        ([{"scale": {"method": "MinMax"}}], "only the data has 'a (scale MinMax)', 'b (scale MinMax)'"),
    ):
        bench.run["preprocess"] = preprocess
        refusal = bench.refusal()
        assert str(refusal.reason) == "InvalidNetwork"
        assert "only the version has 'a (scale Standard)', 'b (scale Standard)'" in refusal.message
        assert words in refusal.message


def test_a_vocabulary_that_the_version_has_under_another_name_is_named(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    write_texts(bench)
    starts_from(bench, bench.run["candidates"])
    bench.run["candidates"][0]["layers"] = [LAYERS[0] | {"name": "terms"}, *LAYERS[1:]]
    refusal = bench.refusal()
    assert str(refusal.reason) == "InvalidNetwork"
    assert "the layer 'terms' has a vocabulary, and the version has none of this name" in refusal.message
    assert "those of tokens" in refusal.message


def test_series_of_other_columns_are_refused(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    random = np.random.default_rng(4).normal(size=(90, 3)).tolist()
    bench.regression().run["data"]["window"] = {"past": 4}
    bench.write_csv(["target", "wind", "rain"], random)
    layers = [layer("f", "Flatten"), layer("out", "Dense", units=1)]
    starts_from(bench, [{"name": "net", "layers": layers, "parameters": {"epochs": 1}}])
    refusal = bench.write_csv(["target", "rain", "wind"], random).refusal()
    assert "in place 2 the version has 'wind', and the data 'rain'" in refusal.message


def test_candidates_of_both_libraries_are_compared_and_a_loss_that_is_not_finite_ends_one(
    tensorflow: Any, bench: Bench
) -> None:
    assert tensorflow
    bench.write_bundled("breast_cancer", npz=True)
    wild = {"optimizer": {"type": "SGD", "parameters": {"learning_rate": 1e30}}}
    bench.run["candidates"] = [
        {"name": "wild", "layers": [layer("a", "Dense", units=4), layer("out", "Dense", units=2, activation="softmax")]}
        | wild,
        {"name": "net", "layers": [layer("n", "BatchNormalization"), softmax(2)], "parameters": {"epochs": 3}},
        {"name": "tree", "algorithm": "DecisionTree", "parameters": {}},
    ]
    bench.train()
    wild_one, net, tree = json.loads((bench.out / "report.json").read_text())["candidates"]
    assert "the loss became" in wild_one["error"]
    assert "in epoch 1, step" in wild_one["error"]
    assert "curve" not in wild_one
    assert len(net["curve"]) == 3
    assert net["metrics"]["Accuracy"] == pytest.approx(net["curve"][-1]["val_accuracy"])
    assert tree["metrics"]["Accuracy"] > 0.85


def write_numbers(bench: Bench, name: str = "data", rows: int = 60, **outlier: float) -> None:
    """Write rows whose sum is to be predicted; an outlier is the first number of the last row."""
    features = np.random.default_rng(2).normal(size=(rows, 2)).astype(np.float32)
    truth = features.sum(axis=1)
    features[-1, 0] = outlier.get("outlier", features[-1, 0])
    (bench.folder / name).mkdir(exist_ok=True)
    np.savez(bench.folder / name / "data.npz", features=features, target=truth)
    bench.run["data"]["format"] = "NPZ"


def test_a_validation_part_without_finite_numbers_ends_its_candidate_and_no_other(
    tensorflow: Any, bench: Bench
) -> None:
    assert tensorflow
    write_numbers(bench.regression())
    # One step an epoch: its loss is still a number, and what it leaves gives none.
    wild = {"optimizer": {"type": "SGD", "parameters": {"learning_rate": 1e30}}, "parameters": {"batch_size": 1000}}
    line = [layer("out", "Dense", units=1)]
    bench.run["candidates"] = [{"name": "wild", "layers": line} | wild, {"name": "line", "layers": line}]
    bench.train()
    wild_one, other = json.loads((bench.out / "report.json").read_text())["candidates"]
    assert set(wild_one["curve"][0]) == {"epoch", "loss", "mean_absolute_error", "val_mean_absolute_error"}
    assert set(other["curve"][0]) == {*wild_one["curve"][0], "val_loss"}
    ET.fromstring((bench.out / "curves.svg").read_text())  # noqa: S314 - it is our own


def test_answers_of_the_test_part_that_are_not_finite_end_the_run_in_words(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    write_numbers(bench.regression())
    write_numbers(bench, "own", 10, outlier=1e30)
    bench.run["data"]["test"] = {"directory": str(bench.folder / "own")}
    del bench.run["split"]["test"]
    ones = layer("out", "Dense", units=1, activation="exponential", kernel_initializer="ones", trainable=False)
    bench.run["candidates"] = [{"name": "steep", "layers": [ones]}]
    refusal = bench.refusal()
    assert str(refusal.reason) == "NotFinite"
    assert "'steep' was chosen, and its answers for rows of the test part are not finite" in refusal.message


def test_a_version_whose_variables_are_broken_is_named(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    write_numbers(bench.regression())
    bench.run["candidates"] = [{"name": "line", "layers": [layer("out", "Dense", units=1)]}]
    np.savez(bench.folder / "variables.npz", **{"out/kernel": np.ones((2, 1)), "out/bias": np.ones(1)})
    content = (bench.folder / "variables.npz").read_bytes()
    (bench.folder / "variables.npz").write_bytes(content[: len(content) // 2])
    bench.run["from"] = {"directory": str(bench.folder)}
    refusal = bench.refusal()
    assert str(refusal.reason) == "InvalidNetwork"
    assert "variables.npz of the version cannot be read" in refusal.message


def test_what_tensorflow_refuses_in_one_candidate_ends_no_other(
    tensorflow: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write_bundled("iris")
    bench.run["candidates"] = [
        {"name": "net", "layers": [softmax(3)], "parameters": {"epochs": 1}},
        {"name": "tree", "algorithm": "DecisionTree"},
    ]
    errors = tensorflow.errors
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and errors.OpError in one.__bases__]
    assert len(kinds) > 10

    def raises(kind: Any) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise kind(None, None, "such\n in a node")

        return fail

    said = [("such", raises(kind)) for kind in kinds]
    said.append(("indices[0] = 5 is not in [0, 1)", lambda *_: tensorflow.gather([1.0], [5])))
    for place in ("training.train", "loop.Loop.answer"):
        for words, fail in said:
            with monkeypatch.context() as patch:
                patch.setattr(f"modelwright_trainer.backends.keras.{place}", fail)
                outcome = bench.train()
            assert outcome.chosen.candidate.name == "tree"
            error = outcome.trials[0].error
            assert error.startswith("candidates[0]: ")
            assert "'net'" in error
            assert words in error


def test_what_keras_refuses_is_told_without_places_in_code(
    tensorflow: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras  # noqa: PLC0415 - it loads TensorFlow

    fail = tensorflow.function(lambda numbers: keras.layers.Conv2D(1, 2)(numbers * 2))
    bench.write_bundled("iris")
    bench.run["candidates"] = [{"name": "net", "layers": [softmax(3)], "parameters": {"epochs": 1}}]
    monkeypatch.setattr("modelwright_trainer.backends.keras.training.train", lambda *_: fail(tensorflow.ones((2, 3))))
    refusal = bench.refusal()
    assert refusal.message.startswith("no candidate could be trained: net: candidates[0]: ValueError: ")
    assert "expected min_ndim=4, found ndim=2" in refusal.message
    assert "File" not in refusal.message
    assert "\n" not in refusal.message


def test_a_batch_that_no_memory_holds_ends_the_candidate_with_figures(tensorflow: Any, bench: Bench) -> None:
    assert tensorflow
    # Each step attends to each: 29 GB for a batch of two rows.
    sequences = np.zeros((40, 60_000, 1), np.float32)
    np.savez(bench.folder / "data" / "data.npz", sequences=sequences, target=np.arange(40) % 2)
    bench.run["data"] |= {"format": "NPZ", "sequences": {}}
    layers = [
        layer("m", "MultiHeadAttention", num_heads=1, key_dim=1),
        layer("g", "GlobalAveragePooling1D"),
        softmax(2),
    ]
    bench.run["candidates"] = [{"name": "long", "layers": layers, "parameters": {"batch_size": 2}}]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # Where the kernel promises memory that it does not have, nobody else would say no.
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 8 * 2**30, hard))
    try:
        refusal = bench.refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert str(refusal.reason) == "OutOfMemory", refusal.message
    assert "candidates[0]: the memory does not suffice to train 'long' with a batch_size of 2" in refusal.message
    assert "60000,60000" in refusal.message
