"""Lengths as they are asked: what is no length is an error, and what stands behind one changes no answer.

The error is INVALID_ARGUMENT, which the runtime tells the caller as its own, and not the model's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from against_keras import Case, ask, ask_keras, differences, export, load, make_weights, prepared
from export_cases import CHANNELS, LONG, layer
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

MASKED = layer("Embedding", input_dim=16, output_dim=CHANNELS, mask_zero=True)
ENDS: list[tuple[dict[str, Any], ...]] = [
    (layer("LSTM", units=3),),
    (layer("Bidirectional", layer=layer("GRU", units=3)),),
    (layer("SimpleRNN", units=3, return_sequences=True), layer("GlobalMaxPooling1D")),
    (layer("MultiHeadAttention", num_heads=2, key_dim=3), layer("GlobalAveragePooling1D")),
    (
        layer("PositionEmbedding", sequence_length=LONG),
        layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
        layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
        layer("GlobalAveragePooling1D"),
    ),
    (layer("BatchNormalization"), layer("GRU", units=3)),
]
CASES = [Case(f"padding {layers}", layers, (LONG, CHANNELS), padded=True) for layers in ENDS]


def _name(case: Case) -> str:
    return str(case.layers[-1]["type"])


@pytest.mark.parametrize("length", [-1, -LONG, LONG + 1, 2**31, 2**32 + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_length_outside_the_steps_is_an_error(case: Case, length: int) -> None:
    weights, rows, _ = prepared(case)
    lengths = rows["lengths"].copy()
    lengths[5] = length
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        ask(export(case, weights), rows | {"lengths": lengths})


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_no_steps_at_all_are_an_error(case: Case) -> None:
    weights, rows, _ = prepared(case)
    nothing = {"sequences": rows["sequences"][:, :0], "lengths": np.zeros_like(rows["lengths"])}
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        ask(export(case, weights), nothing)


@pytest.mark.parametrize("filling", [1.0, -3e38, np.inf, np.nan])
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_what_stands_behind_a_length_changes_no_answer(case: Case, filling: float) -> None:
    weights, rows, expected = prepared(case)
    lengths = rows["lengths"]
    assert 0 in lengths
    behind = np.arange(LONG)[None, :] >= lengths[:, None]
    asked = np.where(behind[:, :, None], np.float32(filling), rows["sequences"])
    found = ask(export(case, weights), rows | {"sequences": asked})
    assert differences(expected, found) == ""


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_how_many_steps_of_padding_are_asked_changes_no_answer(case: Case) -> None:
    weights, rows, expected = prepared(case)
    session = load(export(case, weights))
    scale = float(np.abs(expected).max())
    for time in (1, 2, 7, LONG - 1):
        fits = rows["lengths"] <= time
        assert fits.any()
        asked = {"sequences": rows["sequences"][fits, :time], "lengths": rows["lengths"][fits]}
        found = session.run(["y"], asked)[0]
        assert differences(expected[fits], found, scale) == ""


@pytest.mark.parametrize("known", [1, 2, LONG])
def test_more_steps_than_positions_were_learned_are_an_error(known: int) -> None:
    case = Case(f"{known} positions", (layer("PositionEmbedding"),), (known, CHANNELS), padded=True)
    weights, rows, _ = prepared(case)
    longer = np.concatenate([rows["sequences"], rows["sequences"][:, :1]], axis=1)
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        ask(export(case, weights), {"sequences": longer, "lengths": np.full(len(longer), 1)})


def test_a_row_of_no_steps_is_one_step_of_zeros() -> None:
    case = CASES[0]
    weights, rows, _ = prepared(case)
    zeros = np.zeros_like(rows["sequences"])
    content = export(case, weights)
    none = ask(content, {"sequences": rows["sequences"], "lengths": np.zeros_like(rows["lengths"])})
    one = ask(content, {"sequences": zeros, "lengths": np.ones_like(rows["lengths"])})
    np.testing.assert_array_equal(none, one)


@cache
def few_words() -> tuple[Case, Any]:
    """Give a network of six words, and Keras' model of it."""
    numbers = layer("TextVectorization", output_sequence_length=6)
    case = Case("few words", (numbers, MASKED, layer("LSTM", units=3)), (20,), text=True)
    return case, make_weights(case)[0]


@pytest.mark.parametrize(
    "texts",
    [[""], ["", ""], ["   \t\n", "!!!"], ["film"], ["FILM \u212a \u0130 caf\u00e9"], ["film " * 500, ""]],
)
def test_texts_without_words_and_of_many_are_answered_as_by_keras(texts: list[str]) -> None:
    case, model = few_words()
    weights, _, expected = prepared(case)
    asked = {"text": np.array(texts, dtype=object)[:, None]}
    found = ask(export(case, weights), asked)
    assert differences(ask_keras(case, model, asked), found, float(np.abs(expected).max())) == ""
