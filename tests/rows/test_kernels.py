"""Which kernels of ONNX Runtime give a row the same bits whoever shares its run, and which the same up to rounding, as
`docs/runtime.md` lists them: each is measured here, and the page holds no other.

What was measured holds for processors with AVX-512: others have other kernels, of which only rounding is held.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import Graph
from held import TOLERANCE
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

PAGE = Path(__file__).parents[2] / "docs/runtime.md"
OWN = "com.microsoft"
ML = "ai.onnx.ml"
# As many as share a run at most.
ROWS = 64
WIDTH = 64
SIZES = (2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 63, 64)

Build = Callable[[Graph], str]
# How it is built, the sizes of a row, and on how many threads it runs.
Kernel = tuple[Build, tuple[int, ...], int]


def of(operator: str, shape: tuple[int, ...] = (13,), domain: str = "", **settings: Any) -> Kernel:
    """Builds an operator of one input."""

    def build(g: Graph) -> str:
        made: str = g(operator, "x", domain=domain, **settings)
        return made

    return build, shape, 1


def mean(*axes: int) -> Kernel:
    """Builds a mean along axes."""
    return lambda g: g("ReduceMean", "x", g.ints(*axes)), (7, 37), 1


def positive(operator: str) -> Kernel:
    """Builds an operator of what is not negative."""
    return lambda g: g(operator, g("Abs", "x")), (13,), 1


def numbers(g: Graph, count: int) -> list[float]:
    drawn: list[float] = g.drawn.standard_normal(count).astype(np.float32).tolist()
    return drawn


def classes(operator: str, **settings: Any) -> Build:
    """Builds a classifier of three classes, and takes its scores."""

    def build(g: Graph) -> str:
        scores: str = g(operator, "x", domain=ML, outputs=2, classlabels_ints=[0, 1, 2], **settings)[1]
        return scores

    return build


def by_computed(g: Graph) -> str:
    """Builds a product by a matrix that a run computes, the same for all rows."""
    size = g("ReduceMin", g("Cast", g("Shape", "x", start=1), to=TensorProto.FLOAT), keepdims=0)
    made: str = g("MatMul", "x", g("Div", g.weight(WIDTH, 40), size))
    return made


def n_bits(level: int) -> Build:
    def build(g: Graph) -> str:
        columns, block = 32, 32
        blocks = WIDTH // block
        weights = g.store(g.drawn.integers(0, 256, (columns, blocks, block // 2)).astype(np.uint8))
        scales = g.weight(columns * blocks)
        settings = {"K": WIDTH, "N": columns, "bits": 4, "block_size": block, "accuracy_level": level}
        made: str = g("MatMulNBits", "x", weights, scales, domain=OWN, **settings)
        return made

    return build


def recurrent(operator: str, gates: int) -> Build:
    def build(g: Graph) -> str:
        hidden = 16
        weights = [g.weight(1, gates * hidden, WIDTH), g.weight(1, gates * hidden, hidden)]
        x = g("Transpose", "x", perm=[1, 0, 2])
        last = g(operator, x, *weights, outputs=2, hidden_size=hidden)[1]
        made: str = g("Squeeze", last, g.ints(0))
        return made

    return build


def forest(g: Graph) -> str:
    """Builds 100 trees of depth 5."""
    inner, count = 31, 63
    nodes: dict[str, list[Any]] = {}
    leaves: dict[str, list[Any]] = {}
    for tree in range(100):
        for node in range(count):
            is_leaf = node >= inner
            for name, value in {
                "treeids": tree,
                "nodeids": node,
                "featureids": int(g.drawn.integers(WIDTH)),
                "values": float(g.drawn.standard_normal()),
                "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
                "truenodeids": 0 if is_leaf else 2 * node + 1,
                "falsenodeids": 0 if is_leaf else 2 * node + 2,
            }.items():
                nodes.setdefault(f"nodes_{name}", []).append(value)
            if is_leaf:
                weight = float(g.drawn.standard_normal())
                for name, value in {"treeids": tree, "nodeids": node, "ids": 0, "weights": weight}.items():
                    leaves.setdefault(f"target_{name}", []).append(value)
    settings: dict[str, Any] = {"n_targets": 1} | nodes | leaves
    made: str = g("TreeEnsembleRegressor", "x", domain=ML, **settings)
    return made


def vectors(g: Graph) -> str:
    """Builds a regression of 20 support vectors."""
    count = 20
    settings: dict[str, Any] = {"kernel_type": "RBF", "kernel_params": [0.05, 0.0, 3.0], "rho": [0.1]}
    settings["n_supports"] = count
    settings |= {"support_vectors": numbers(g, count * WIDTH), "coefficients": numbers(g, count)}
    made: str = g("SVMRegressor", "x", domain=ML, **settings)
    return made


def svm_classifier(g: Graph) -> str:
    settings = {"kernel_type": "RBF", "kernel_params": [0.05, 0.0, 3.0], "vectors_per_class": [8, 8, 8]}
    settings |= {"support_vectors": numbers(g, 24 * WIDTH), "coefficients": numbers(g, 48), "rho": [0.1, 0.2, 0.3]}
    return classes("SVMClassifier", **settings)(g)


def linear_classifier(g: Graph) -> str:
    settings = {"coefficients": numbers(g, 3 * WIDTH), "intercepts": [0.1] * 3, "post_transform": "SOFTMAX"}
    return classes("LinearClassifier", **settings)(g)


def linear_regressor(g: Graph) -> str:
    made: str = g("LinearRegressor", "x", domain=ML, coefficients=numbers(g, WIDTH), intercepts=[0.1], targets=1)
    return made


BITS: dict[str, Kernel] = {
    "`MatMul` by a stored matrix": (lambda g: g("MatMul", "x", g.weight(WIDTH, 40)), (7, WIDTH), 1),
    "`MatMul` of two matrices of each row": (
        lambda g: g("MatMul", "x", g("Transpose", "x", perm=[0, 2, 1])),
        (7, WIDTH),
        1,
    ),
    "`Gemm`": (lambda g: g("Gemm", "x", g.weight(40, WIDTH), g.weight(40), transB=1), (WIDTH,), 1),
    "`MatMulNBits` at accuracy level 4": (n_bits(4), (WIDTH,), 1),
    "`Conv`": (
        lambda g: g("Conv", "x", g.weight(8, 3, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        (3, 16, 16),
        1,
    ),
    "`ConvTranspose`": (lambda g: g("ConvTranspose", "x", g.weight(3, 8, 3, 3), kernel_shape=[3, 3]), (3, 9, 9), 1),
    "`AveragePool`": of("AveragePool", (3, 7, 7), kernel_shape=[3, 3]),
    "`GlobalAveragePool`": of("GlobalAveragePool", (3, 7, 7)),
    "`LayerNormalization`": (
        lambda g: g("LayerNormalization", "x", g.weight(WIDTH), g.weight(WIDTH)),
        (7, WIDTH),
        1,
    ),
    "`InstanceNormalization`": (
        lambda g: g("InstanceNormalization", "x", g.weight(3), g.weight(3)),
        (3, 37),
        1,
    ),
    "`Softmax`": of("Softmax", (37,), axis=-1),
    "`ReduceMean` along the last axes": mean(1, 2),
    "`LSTM`": (recurrent("LSTM", 4), (7, WIDTH), 1),
    "`GRU`": (recurrent("GRU", 3), (7, WIDTH), 1),
    "`Attention`": (
        lambda g: g("Attention", "x", g.weight(WIDTH, 3 * WIDTH), g.weight(3 * WIDTH), domain=OWN, num_heads=4),
        (7, WIDTH),
        1,
    ),
    "`MultiHeadAttention`": (
        lambda g: g("MultiHeadAttention", "x", "x", "x", domain=OWN, num_heads=4),
        (7, WIDTH),
        1,
    ),
    "`SVMClassifier`": (svm_classifier, (WIDTH,), 1),
    "forests on one thread": (forest, (WIDTH,), 1),
    "`Normalizer`": of("Normalizer", (37,), ML, norm="L2"),
    **{
        f"`{name}`": of(name)
        for name in ("Erf", "Exp", "Gelu", "HardSwish", "Reciprocal", "Sigmoid", "Softsign", "Tanh")
    },
    "`Sqrt`": positive("Sqrt"),
}
ROUNDING: dict[str, Kernel] = {
    "`MatMul` by a computed matrix": (by_computed, (WIDTH,), 1),
    "`Einsum`": (lambda g: g("Einsum", "x", g.weight(WIDTH, 40), equation="bi,io->bo"), (WIDTH,), 1),
    "`LinearRegressor`": (linear_regressor, (WIDTH,), 1),
    "`LinearClassifier`": (linear_classifier, (WIDTH,), 1),
    "`SVMRegressor`": (vectors, (WIDTH,), 1),
    "`MatMulNBits`": (n_bits(0), (WIDTH,), 1),
    "forests on several threads": (forest, (WIDTH,), 2),
    "`ReduceMean` along axes between": mean(1),
    **{f"`{name}`": of(name) for name in ("Atan", "Celu", "Cos", "Elu", "Mish", "Selu", "Sin", "Softplus")},
    "`Log`": positive("Log"),
}


def listed(title: str) -> list[str]:
    """Gives what the page lists in the row with a title."""
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {title} |")]
    return [name.strip() for name in row.split("|")[2].split(",")]


def measure(kernel: Kernel) -> tuple[NDArray[np.float32], list[tuple[int, NDArray[np.float32]]]]:
    """Gives what each row has alone, and what rows from a place on have in runs of several sizes."""
    build, shape, threads = kernel
    g = Graph(20)
    model: ModelProto = g.model(
        {"x": (TensorProto.FLOAT, ["batch", *shape])}, [build(g)], com_microsoft=1, ai_onnx_ml=3
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    run = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(1).standard_normal((ROWS, *shape)).astype(np.float32)

    def answer(at: int, size: int) -> NDArray[np.float32]:
        given: NDArray[np.float32] = run.run(None, {"x": rows[at : at + size]})[0]
        return given

    alone = np.concatenate([answer(at, 1) for at in range(ROWS)])
    return alone, [(at, answer(at, size)) for size in SIZES for at in {0, ROWS - size}]


def differences(kernel: Kernel) -> list[int]:
    """Gives the sizes of runs in which a row has other bits than alone, once all are the same up to rounding."""
    alone, runs = measure(kernel)
    room = TOLERANCE * float(np.abs(alone).max())
    found = set()
    for at, together in runs:
        own = alone[at : at + len(together)]
        assert own.shape == together.shape and np.abs(own - together).max() <= room
        if own.tobytes() != together.tobytes():
            found.add(len(together))
    return sorted(found)


def is_measured() -> bool:
    """Says whether this processor is one of those that were measured."""
    cpu = Path("/proc/cpuinfo")
    return platform.machine() == "x86_64" and cpu.exists() and " avx512f " in cpu.read_text()


@pytest.mark.parametrize("name", BITS)
def test_a_row_has_the_same_bits_where_that_is_listed(name: str) -> None:
    sizes = differences(BITS[name])
    if not is_measured():
        pytest.skip(f"NOT SHOWN: bits of a processor without AVX-512; they differ in runs of {sizes}")
    assert not sizes, f"{name}: other bits in runs of {sizes}"


@pytest.mark.parametrize("name", ROUNDING)
def test_a_row_has_other_bits_where_that_is_listed(name: str) -> None:
    sizes = differences(ROUNDING[name])
    if not is_measured():
        pytest.skip(f"NOT SHOWN: bits of a processor without AVX-512; they differ in runs of {sizes}")
    assert sizes, f"{name}: the same bits in every run"


@pytest.mark.parametrize(("title", "kernels"), [("bit for bit", BITS), ("up to rounding", ROUNDING)])
def test_the_page_lists_what_was_measured(title: str, kernels: dict[str, Kernel]) -> None:
    assert sorted(listed(title)) == sorted(kernels)
