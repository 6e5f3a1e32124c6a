"""Write the `.keras` files of the tests on a cluster; in goes a folder.

They are committed, since Keras is no part of these tests.

    points.keras    the class of a point of two numbers: of the first, of the second, of neither
    lambda.keras    the same with code in it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

KERNEL = np.array([[2, 0, -2], [0, 2, -2]], dtype=np.float32)


def main(folder: Path) -> None:
    """Write both."""
    taken = keras.Input((2,), name="x")
    dense = keras.layers.Dense(3, activation="softmax", name="class")
    given = dense(keras.layers.BatchNormalization(name="norm")(taken))
    dense.set_weights([KERNEL, np.zeros(3, dtype=np.float32)])
    keras.Model(taken, given).save(folder / "points.keras")

    def twice(numbers: Any) -> Any:  # noqa: ANN401 - Keras has no types
        return numbers * 2

    # Of what has no name the code itself is saved, and where it stood, which is nobody's.
    twice.__name__ = "<lambda>"
    twice.__code__ = twice.__code__.replace(co_filename="somebody.py")
    keras.Model(taken, keras.layers.Lambda(twice, name="twice")(taken)).save(folder / "lambda.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
