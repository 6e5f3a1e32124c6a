"""Text as numbers of tokens: in go texts, out come the vocabulary, and the tokens of each text.

The graph does the same with its own operators, so everything here is of single bytes: no locale, no Unicode.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

PADDING: Final = 0
UNKNOWN: Final = 1
FIRST: Final = 2
"""The token of the first word of the vocabulary."""
_TOKEN: Final = re.compile("[a-z0-9']+")
_UPPER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def tokenize(text: str) -> list[str]:
    """Return a text's tokens: runs of a-z, 0-9 and ', after ASCII letters were lowered."""
    return _TOKEN.findall(text.translate(_UPPER))


def find_vocabulary(texts: Iterable[str], max_tokens: int | None) -> NDArray[Any]:
    """Return words by falling frequency, equal ones by their text; with padding and unknown at most `max_tokens`."""
    counts = Counter(token for text in texts for token in tokenize(text))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    most = None if max_tokens is None else max_tokens - FIRST
    return np.array(words[:most], dtype=str)


def vectorize(texts: Iterable[str], vocabulary: NDArray[Any], length: int) -> NDArray[np.int32]:
    """Return the tokens of each text, brought to one length by padding at the end, or by leaving out the last."""
    numbers = {word: number for number, word in enumerate(vocabulary.tolist(), start=FIRST)}
    rows = [[numbers.get(token, UNKNOWN) for token in tokenize(text)[:length]] for text in texts]
    found = np.full((len(rows), length), PADDING, np.int32)
    for index, row in enumerate(rows):
        found[index, : len(row)] = row
    return found
