"""In go a layer's window and its padding as Keras names them, out come pads and sizes as ONNX has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .value import move_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_trainer.graph.builder import Graph

    from .value import Value


@dataclass(frozen=True)
class Windows:
    """Windows that move over the axes between rows and channels; one number an axis."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str

    @staticmethod
    def of(parameters: Mapping[str, Any], size: Sequence[int]) -> Windows:
        """Read those of a convolution with a kernel of this size."""
        rank = len(size)
        return Windows(
            tuple(size),
            each_axis(parameters["strides"], rank),
            each_axis(parameters.get("dilation_rate", 1), rank),
            parameters["padding"],
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """How many places a window covers."""
        return tuple((size - 1) * dilation + 1 for size, dilation in zip(self.size, self.dilations, strict=True))

    def left(self, sizes: Sequence[int | None]) -> tuple[int | None, ...]:
        """Tell how many windows there are on each axis."""
        return tuple(map(self._left, sizes, self.reach, self.strides))

    def _left(self, size: int | None, reach: int, stride: int) -> int | None:
        if size is None:
            return None
        return (size - reach) // stride + 1 if self.padding == "valid" else -(-size // stride)

    def is_open(self, sizes: Sequence[int | None]) -> bool:
        """Tell whether only a run knows how much `same` adds."""
        return self.padding == "same" and None in map(same_pads, sizes, self.reach, self.strides)

    def attributes(self, sizes: Sequence[int | None]) -> dict[str, Any]:
        """Tell what an operator adds around the axes, of which None is a size that only a run knows."""
        if self.padding == "valid":
            return {}
        if self.padding == "causal":
            return {"pads": [*(reach - 1 for reach in self.reach), *(0 for _ in self.reach)]}
        ends = list(map(same_pads, sizes, self.reach, self.strides))
        if self.is_open(sizes):
            # Of a size that only a run knows, steps of more than 1 leave it open how much is added.
            return {"auto_pad": "SAME_UPPER"}
        return {"pads": [*(end[0] for end in ends if end), *(end[1] for end in ends if end)]}


def same_pads(size: int | None, reach: int, stride: int) -> tuple[int, int] | None:
    """Tell how much `same` adds before and behind an axis: of an odd number, more behind."""
    if reach == 1:
        total = 0
    elif stride == 1:
        total = reach - 1
    elif size is None:
        return None
    else:
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def cut_unseen(graph: Graph, tensor: str, sizes: Sequence[int | None], windows: Windows) -> str:
    """Cut off what no window sees at the end of (rows, channels, …), where steps go farther than windows.

    Of a size that only a run knows, ONNX Runtime would add less than nothing there: an error, or another answer.
    """
    if not windows.is_open(sizes):
        return tensor
    for axis, (reach, stride) in enumerate(zip(windows.reach, windows.strides, strict=True), start=2):
        if stride <= reach:
            continue
        size = graph.add("Shape", tensor, start=axis, end=axis + 1)
        rest = graph.add("Mod", graph.add("Sub", size, graph.whole(1)), graph.whole(stride))
        unseen = graph.add("Max", graph.add("Sub", rest, graph.whole(reach - 1)), graph.whole(0))
        seen = graph.add("Sub", size, unseen)
        tensor = graph.add("Slice", tensor, graph.whole(0), seen, graph.whole(axis))
    return tensor


def each_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """Give one number an axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def to_channels_first(graph: Graph, tensor: Value) -> str:
    """Bring (rows, …, channels) to (rows, channels, …)."""
    rank = len(tensor.shape) - 1
    return move_axes(graph, tensor.name, 0, rank + 1, *range(1, rank + 1))


def from_channels_first(graph: Graph, tensor: str, rank: int) -> str:
    """Bring (rows, channels, …) to (rows, …, channels)."""
    return move_axes(graph, tensor, 0, *range(2, rank + 2), 1)
