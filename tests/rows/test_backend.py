"""Every node case of ONNX's own backend tests that has a batch: where the analysis says yes, a row has the same answer alone
and among others.
"""

import collections
import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from held import NotShared, Tensors, Verdict, difference, session, verdict
from onnx import numpy_helper

# What a table that says no to everything, or yes, does not reach.
LEAST_YES, LEAST_NO = 900, 300


def collect() -> list[Any]:
    """Lists the cases, as the package makes them."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    return [case for case in collect_testcases(None) if case.model is not None and case.data_sets]


def arrays(values: list[Any]) -> list[Any] | None:
    """Gives the values as arrays; None if one is no tensor."""
    made = [numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value for value in values]
    return made if all(isinstance(value, (np.ndarray, np.generic)) for value in made) else None


def variants(case: Any) -> list[tuple[str, onnx.ModelProto, Tensors]]:
    """Makes models of a case: its first input as rows, or all inputs that have as many, and all else constant."""
    values = arrays(list(case.data_sets[0][0]))
    names = [port.name for port in case.model.graph.input]
    if values is None or len(values) != len(names) or not names:
        return []
    given = {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
    first = given[names[0]]
    if not first.ndim or not first.shape[0]:
        return []
    alike = [name for name in names if given[name].ndim and given[name].shape[0] == first.shape[0]]
    made: list[tuple[str, onnx.ModelProto, Tensors]] = []
    for kind, batch in (("first", names[:1]), ("all", alike)):
        if kind == "all" and len(alike) == 1:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        graph = model.graph
        kept = [port for port in graph.input if port.name in batch]
        for port in kept:
            if port.type.WhichOneof("value") != "tensor_type":
                return made
            port.type.tensor_type.shape.dim[0].dim_param = "N"
        graph.ClearField("input")
        graph.input.extend(kept)
        graph.ClearField("value_info")
        for port in graph.output:
            if port.type.WhichOneof("value") == "tensor_type":
                port.type.tensor_type.ClearField("shape")
        graph.initializer.extend(numpy_helper.from_array(given[name], name) for name in names if name not in batch)
        made.append((f"{case.name}.{kind}", model, {name: given[name] for name in batch}))
    return made


Judged = tuple[str, str, Verdict | None, str | None]


def judge(made: tuple[str, onnx.ModelProto, Tensors], folder: Path) -> Judged:
    """Gives the case's name, what became of it, the verdict, and what differs."""
    name, model, batch = made
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    found = verdict(path)
    if found is None:
        return name, "not loaded by ONNX Runtime", None, None
    try:
        differs = difference(session(str(path)), batch, {})
    except NotShared:
        return name, "of a fixed number of rows", found, None
    except Exception as error:
        return name, "not answered for a single row", found, str(error)
    return name, "judged", found, differs


def hold(made: list[tuple[str, onnx.ModelProto, Tensors]], folder: Path) -> collections.Counter[str]:
    """Judges all, and fails where the graph says yes and a row says no."""
    with ThreadPoolExecutor(4) as pool:
        judged = list(pool.map(lambda one: judge(one, folder), made))
    wrong = [
        f"{name}: {differs}"
        for name, what, found, differs in judged
        if what == "judged" and found and found.independent and differs
    ]
    assert not wrong, "\n".join(wrong)
    counts = collections.Counter(
        what if what != "judged" or found is None else str(found)[:3].strip(":") for _, what, found, _ in judged
    )
    print(
        f"rows of {len(judged)} backend cases: " + ", ".join(f"{count} {what}" for what, count in counts.most_common())
    )
    return counts


@pytest.mark.full
def test_where_the_graph_says_yes_a_row_has_its_answer_whoever_shares_the_run(tmp_path: Path) -> None:
    counts = hold([variant for case in collect() for variant in variants(case)], tmp_path)
    assert counts["yes"] >= LEAST_YES and counts["no"] >= LEAST_NO, counts


def test_of_some_cases_too(tmp_path: Path) -> None:
    counts = hold([variant for case in collect()[::40] for variant in variants(case)], tmp_path)
    assert counts["yes"] >= LEAST_YES // 50 and counts["no"] >= LEAST_NO // 60, counts
