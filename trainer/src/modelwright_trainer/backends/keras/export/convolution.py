"""In go convolutions over NHWC, out come operators over NCHW between transpositions, which ONNX Runtime cancels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .activations import add_activation
from .value import Value, weight
from .windows import Windows, cut_unseen, from_channels_first, to_channels_first

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph

    from .value import Step


def add_convolution(graph: Graph, step: Step) -> Value:
    """Add a convolution over one or two axes."""
    kernel = step.weights["kernel"]
    rank = kernel.ndim - 2
    windows = Windows.of(step.parameters, kernel.shape[:rank])
    tensor = _convolve(
        graph,
        to_channels_first(graph, step.input),
        step.input.shape[:-1],
        windows,
        kernel.transpose(rank + 1, rank, *range(rank)),
        _bias(step),
        step.parameters.get("groups", 1),
    )
    return _finish(graph, step, tensor, windows, kernel.shape[-1])


def add_separable_convolution(graph: Graph, step: Step) -> Value:
    """Add a convolution of each channel by itself, and one of width 1 over all of them."""
    depthwise, pointwise = step.weights["depthwise_kernel"], step.weights["pointwise_kernel"]
    rank = depthwise.ndim - 2
    windows = Windows.of(step.parameters, depthwise.shape[:rank])
    tensor = _convolve_each(graph, step, windows, depthwise, None)
    only = Windows(size=(1,) * rank, strides=(1,) * rank, dilations=(1,) * rank, padding="valid")
    kernel = pointwise.transpose(rank + 1, rank, *range(rank))
    left = windows.left(step.input.shape[:-1])
    tensor = _convolve(graph, tensor, left, only, kernel, _bias(step), 1)
    return _finish(graph, step, tensor, windows, pointwise.shape[-1])


def _convolve_each(graph: Graph, step: Step, windows: Windows, kernel: NDArray[Any], bias: NDArray[Any] | None) -> str:
    """Add a convolution in which a channel has so many kernels of its own, one behind the other."""
    rank = kernel.ndim - 2
    channels, each = kernel.shape[-2:]
    by_output = kernel.reshape(*kernel.shape[:rank], 1, channels * each).transpose(rank + 1, rank, *range(rank))
    return _convolve(
        graph, to_channels_first(graph, step.input), step.input.shape[:-1], windows, by_output, bias, channels
    )


def _bias(step: Step) -> NDArray[Any] | None:
    return step.weights["bias"] if step.parameters["use_bias"] else None


def _convolve(  # noqa: PLR0913, PLR0917  (an operator's own inputs)
    graph: Graph,
    tensor: str,
    sizes: tuple[int | None, ...],
    windows: Windows,
    kernel: NDArray[Any],
    bias: NDArray[Any] | None,
    groups: int,
) -> str:
    parts = [cut_unseen(graph, tensor, sizes, windows), weight(graph, np.ascontiguousarray(kernel))]
    if bias is not None:
        parts.append(weight(graph, bias))
    return graph.add(
        "Conv",
        *parts,
        kernel_shape=list(windows.size),
        strides=list(windows.strides),
        dilations=list(windows.dilations),
        group=groups,
        **windows.attributes(sizes),
    )


def _finish(graph: Graph, step: Step, tensor: str, windows: Windows, channels: int) -> Value:
    """Bring the channels back to the end and add the activation."""
    tensor = from_channels_first(graph, tensor, len(windows.size))
    tensor = add_activation(graph, tensor, step.parameters["activation"])
    return Value(tensor, (*windows.left(step.input.shape[:-1]), channels))
