"""In goes a candidate with layers, out comes its `Network`, or which word of it is wrong and what is nearest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelwright_trainer.config import INPUT, RunData, Task
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

from .choices import (
    CALLBACKS,
    CALLBACKS_REFUSED,
    DEFAULT_OPTIMIZER,
    FIT,
    LOSS_ALIASES,
    LOSSES,
    LOSSES_REFUSED,
    METRICS,
    OPTIMIZERS,
    PROBABILITIES,
)
from .network import Choice, Fit, Input, Layer, Network
from .shapes import Shape, refuse_layer, refuse_value, shown
from .table import LAYERS
from .values import parse_choice, parse_parameters
from .values import refuse_value as refuse_parameter

if TYPE_CHECKING:
    from modelwright_trainer.config import Candidate, RunLayer, RunPart

    from .shapes import Value


def parse_network(candidate: Candidate, path: str, task: Task) -> Network:
    """Read a candidate's layers, loss, optimizer, callbacks and what Keras' `fit` takes."""
    layers: list[Layer] = []
    for index, given in enumerate(candidate.layers):
        layers.append(_parse_layer(given, f"{path}.layers[{index}]", layers, candidate.layers))
    _refuse_unused(layers)
    loss = _parse_loss(candidate.loss, path, task)
    optimizer = candidate.optimizer
    given_optimizer = {"type": DEFAULT_OPTIMIZER, "parameters": {}} if optimizer is None else _as_json(optimizer)
    network = Network(
        name=candidate.name,
        path=path,
        layers=tuple(layers),
        loss=loss,
        optimizer=_validate_optimizer(
            parse_choice(given_optimizer, OPTIMIZERS, {}, f"{path}.optimizer", "optimizer"), path
        ),
        fit=Fit(**parse_parameters(FIT, candidate.parameters, f"{path}.parameters", f"candidate {candidate.name!r}")),
        callbacks=tuple(
            _parse_callback(one, f"{path}.callbacks[{index}]", task) for index, one in enumerate(candidate.callbacks)
        ),
    )
    if network.fit.class_weight is not None and task is Task.REGRESSION:
        weights, whose = network.fit.class_weight, f"candidate {candidate.name!r}"
        refuse_parameter(f"{path}.parameters.class_weight", whose, weights, "absent: it is for a Classification")
    return network


def expect_input(data: RunData) -> Input:
    """Return what is known of the data before it is read: its rank."""
    if data.images is not None:
        return Input((data.images.height, data.images.width, data.images.channels))
    if data.text is not None:
        return Input((), text=True)
    if data.window is not None:
        return Input((data.window.past, None))
    return Input((None,) if data.sequences is None else (None, None))


def check_network(network: Network, source: Input, task: Task, classes: int | None = None) -> dict[str, Value]:
    """Refuse layers that cannot stand behind the data, or do not answer the task. Return what goes between them."""
    if not source.text and network.vectorization is not None:
        refuse_layer(network.vectorization, "takes text, and the data is none: give data.text, or take the layer out")
    values = network.follow(source)
    last, shape = network.last, values[network.last.name].shape
    if len(shape) != 1 or values[last.name].takes != "Numbers":
        refuse_layer(
            last,
            f"is the last one and gives {shown(shape)} for each row: what answers must give one list of numbers; put a "
            "Flatten, a GlobalAveragePooling or an RNN without return_sequences before the last Dense",
        )
    if task is Task.REGRESSION:
        if shape[0] not in (1, None):
            _refuse_width(last, shape[0], "a Regression predicts one number: 1 is needed")
        return values
    _check_probabilities(network, shape, classes)
    return values


def _check_probabilities(network: Network, shape: Shape, classes: int | None) -> None:
    last, activation = network.last, PROBABILITIES[network.loss]
    if last.type not in ("Dense", "Activation"):
        refuse_layer(last, f"is the last one: a Classification ends with a Dense or an Activation of {activation}")
    if last["activation"] != activation:
        refuse_value(
            last,
            "activation",
            f"it is the last layer, and the loss {network.loss} needs probabilities: give it {activation}",
        )
    if activation == "sigmoid":
        if shape[0] not in (1, None):
            _refuse_width(last, shape[0], "the loss binary_crossentropy takes one probability: 1 is needed")
        if classes not in (2, None):
            message = (
                f"{network.path}.loss is binary_crossentropy, which tells two classes apart, and the labels have "
                f"{classes}: use sparse_categorical_crossentropy, and a softmax of {classes} units"
            )
            raise RunError(Reason.INVALID_NETWORK, message)
    elif shape[0] == 1:
        _refuse_width(last, 1, "a softmax of one is always 1: give a unit for each class, or use binary_crossentropy")
    elif classes is not None and shape[0] is not None and shape[0] != classes:
        _refuse_width(last, shape[0], f"the labels have {classes} classes, and each needs its own: {classes} is needed")


def _refuse_width(layer: Layer, width: int | None, words: str) -> None:
    if "units" in layer.parameters:
        refuse_value(layer, "units", words)
    refuse_layer(layer, f"gives {width} numbers for each row: {words}")


def _parse_layer(given: RunLayer, path: str, before: list[Layer], every: tuple[RunLayer, ...]) -> Layer:
    entry = LAYERS.get(given.type)
    if entry is None:
        message = (
            f"{path}.type of layer {given.name!r} is {given.type!r}: there is no such layer"
            f"{did_you_mean(given.type, LAYERS)}; there are {listed(sorted(LAYERS), 40)}"
        )
        raise RunError(Reason.UNKNOWN_LAYER, message)
    whose = f"{given.type} {given.name!r}"
    parameters = parse_parameters(entry, given.parameters, f"{path}.parameters", whose)
    inputs = _parse_inputs(given, path, before, every, several=entry.several)
    layer = Layer(given.name, given.type, inputs, parameters, path)
    if "layer" in parameters:
        layer = _parse_within(layer, whose)
    _validate(layer)
    if layer.type == "TextVectorization" and any(one.type == layer.type for one in before):
        refuse_layer(layer, "is the second one: the text is brought to numbers once, and all Embeddings take these")
    return layer


def _parse_inputs(
    given: RunLayer, path: str, before: list[Layer], every: tuple[RunLayer, ...], *, several: bool
) -> tuple[str, ...]:
    if given.inputs is None:
        return (before[-1].name if before else INPUT,)
    known = [INPUT, *(layer.name for layer in before)]
    for index, name in enumerate(given.inputs):
        if name in known:
            continue
        at = f"{path}.inputs[{index}] of layer {given.name!r} is {name!r}"
        if any(other.name == name for other in every):
            message = f"{at}, which does not stand before it: a layer takes what earlier ones give; move it down"
        else:
            message = (
                f"{at}: there is no such layer before it{did_you_mean(name, known)}; there are {listed(known, 20)}"
            )
        raise RunError(Reason.INVALID_NETWORK, message)
    if not given.inputs or (len(given.inputs) > 1 and not several):
        message = (
            f"{path}.inputs of layer {given.name!r} has {len(given.inputs)} names, and a {given.type} takes "
            f"{'at least one' if several else 'exactly one; put an Add or a Concatenate before it'}"
        )
        raise RunError(Reason.INVALID_NETWORK, message)
    return given.inputs


def _parse_within(layer: Layer, whose: str) -> Layer:
    """Read the layer within a Bidirectional."""
    at = f"{layer.path}.parameters.layer"
    choice = parse_choice(layer["layer"], {name: LAYERS[name] for name in ("SimpleRNN", "LSTM", "GRU")}, {}, at, whose)
    inner = Layer(layer.name, choice.type, layer.inputs, choice.parameters, at)
    return replace(layer, parameters=layer.parameters | {"layer": inner})


def _validate(layer: Layer) -> None:
    """Refuse parameters that do not go together."""
    strides, dilation = layer.parameters.get("strides"), layer.parameters.get("dilation_rate")
    if strides and dilation and max(strides) > 1 and max(dilation) > 1:
        refuse_value(layer, "strides", f"it cannot be above 1 with a dilation_rate of {list(dilation)}: choose one")
    if layer.type == "SeparableConv2D" and len(set(strides or ())) > 1:
        refuse_value(layer, "strides", "a SeparableConv2D steps as far along both axes: give two equal numbers")


def _refuse_unused(layers: list[Layer]) -> None:
    used = {name for layer in layers for name in layer.inputs}
    for layer in layers[:-1]:
        if layer.name not in used:
            refuse_layer(
                layer, "gives something that no layer takes: name it in a later layer's inputs, or take it out"
            )


def _parse_loss(given: str | None, path: str, task: Task) -> str:
    losses = LOSSES[task]
    if given is None:
        return losses[0]
    loss = LOSS_ALIASES.get(given, given)
    if loss in losses:
        return loss
    other = next(one for one in Task if one is not task)
    why = f" ({LOSSES_REFUSED[loss]})" if loss in LOSSES_REFUSED else ""
    elsewhere = f" (it is for a {other})" if loss in LOSSES[other] else ""
    known = [*losses, *LOSS_ALIASES]
    near = "" if why or elsewhere else did_you_mean(given, known)
    message = f"{path}.loss is {given!r}{why}{elsewhere}: for a {task} it must be one of {listed(losses)}{near}"
    raise RunError(Reason.INVALID_PARAMETER, message)


def _as_json(part: RunPart) -> dict[str, Any]:
    return {"type": part.type, "parameters": part.parameters}


def _validate_optimizer(optimizer: Choice, path: str) -> Choice:
    parameters, whose = optimizer.parameters, f"the optimizer {optimizer.type}"
    clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if parameters[name] is not None]
    if len(clips) > 1:
        at = f"{path}.optimizer.parameters.{clips[1]}"
        refuse_parameter(at, whose, parameters[clips[1]], f"absent beside {clips[0]}: one of them clips gradients")
    rate = parameters["learning_rate"]
    if isinstance(rate, Choice):
        _validate_schedule(rate, f"{path}.optimizer.parameters.learning_rate.parameters")
    return optimizer


def _validate_schedule(schedule: Choice, at: str) -> None:
    parameters, whose = schedule.parameters, f"the schedule {schedule.type}"
    if schedule.type == "PiecewiseConstantDecay":
        boundaries, values = parameters["boundaries"], parameters["values"]
        if len(values) != len(boundaries) + 1:
            expected = f"one number more than boundaries, which has {len(boundaries)}"
            refuse_parameter(f"{at}.values", whose, list(values), expected)
        if list(boundaries) != sorted(set(boundaries)) or any(one != int(one) for one in boundaries):
            refuse_parameter(f"{at}.boundaries", whose, list(boundaries), "whole numbers of steps that ascend")
    if schedule.type == "CosineDecay" and (parameters["warmup_target"] is None) != (not parameters["warmup_steps"]):
        expected = "given together with warmup_target, or not at all"
        refuse_parameter(f"{at}.warmup_steps", whose, parameters["warmup_steps"], expected)


def _parse_callback(given: RunPart, at: str, task: Task) -> Choice:
    callback = parse_choice(_as_json(given), CALLBACKS, CALLBACKS_REFUSED, at, "callback")
    monitor = callback.parameters["monitor"]
    known = ["val_loss", "loss", f"val_{METRICS[task]}", METRICS[task]]
    if monitor not in known:
        expected = f"one of {listed(known)} for a {task}"
        refuse_parameter(f"{at}.parameters.monitor", f"the callback {callback.type}", monitor, expected)
    return callback
