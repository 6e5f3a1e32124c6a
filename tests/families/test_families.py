"""The article's network and a recurrent one, whole; `tests/families/run` has the others, too."""

from __future__ import annotations

import pytest
from families import EXAMPLES, name_of, told_by_operator, try_example


@pytest.mark.parametrize("name", ["mnist-keras", "vowels-gru"])
def test_an_example_of_a_network_is_trained_proven_and_passes_its_gate(name: str) -> None:
    (example,) = [one for one in EXAMPLES if name_of(one) == name]
    (told,) = told_by_operator([example])
    result = try_example(example, told, seeds=1)
    assert not result.problem
    assert result.values
