"""Attention of few heads over few steps: sizes that are alike are what libraries mix up."""

from __future__ import annotations

from itertools import product

import pytest
from against_keras import Case, compare
from export_cases import layer
from modelwright_trainer.failure import RunError

INPUTS: tuple[tuple[str, ...], ...] = ((), ("pooled", "input"), ("input", "pooled"))


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("sizes", list(product((1, 2), (1, 4))))
def test_it_is_what_keras_computes_or_refused(sizes: tuple[int, int], inputs: tuple[str, ...], *, biased: bool) -> None:
    one = layer("MultiHeadAttention", *inputs, num_heads=2, key_dim=sizes[0], value_dim=sizes[1], use_bias=biased)
    refused = 0
    for time in (2, 3, 4):
        pooled = layer("MaxPooling1D", name="pooled", padding="same")
        case = Case(f"{sizes} {inputs} {biased} {time}", (*((pooled,) if inputs else ()), one), (time, 3))
        try:
            case.network.follow(case.source)
        except RunError:
            refused += 1
        else:
            assert compare(case) == ""
    # Of pooled steps there are 1, 2 and 2.
    assert (refused > 0) == (biased and 1 in sizes)
