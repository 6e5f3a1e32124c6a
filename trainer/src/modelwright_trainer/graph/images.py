"""In go images of any size, out come images of one size, in a graph and by that very graph.

Values are rounded to whole numbers, so that an image that has the size already stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from modelwright_trainer.processors import count_processors

from .builder import ROWS, Graph
from .inputs import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_AT_ONCE: Final = 2**26
"""Of FP32 images that are resized together."""


def add_resize(graph: Graph, images: Tensor, height: int, width: int) -> Tensor:
    """Add the resizing of UINT8 images (rows, height, width, channels), linear, and by means where they shrink."""
    numbers = graph.cast(images.name, "float32")
    # Channels stay last: where a Transpose comes before, ONNX Runtime 1.31.1 moves it behind, and loses `sizes`.
    resized = graph.add(
        "Resize",
        numbers,
        "",
        "",
        graph.whole(height, width),
        axes=[1, 2],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        antialias=1,
    )
    low, high = (graph.constant(np.array(value, dtype=np.float32)) for value in (0, 255))
    whole = graph.add("Clip", graph.add("Round", resized), low, high)
    back = graph.cast(whole, "uint8")
    return Tensor(back, "uint8", (ROWS, height, width, images.shape[3]))


class Resizer:
    """The part of the graph that resizes, by itself."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        """Load it."""
        shape = (ROWS, "height", "width", channels)
        graph = Graph()
        resized = add_resize(graph, Tensor(graph.input("images", "uint8", shape), "uint8", shape), height, width)
        graph.output("resized", resized.name, "uint8", resized.shape)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = count_processors()
        content = b"".join(graph.pieces())
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._size = (height, width)

    def apply(self, images: NDArray[Any]) -> NDArray[np.uint8]:
        """Resize images (rows, any height, any width, channels)."""
        rows, height, width, channels = images.shape
        found = np.empty((rows, *self._size, channels), dtype=np.uint8)
        many = max(1, BYTES_AT_ONCE // (4 * channels * max(height * width, self._size[0] * self._size[1])))
        for first in range(0, rows, many):
            (part,) = self._session.run(["resized"], {"images": images[first : first + many]})
            found[first : first + many] = part
        return found
