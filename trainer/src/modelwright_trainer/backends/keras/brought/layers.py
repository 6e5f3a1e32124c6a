"""In goes what a file says of its layers, out comes a network of the table's words, or which layer is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NoReturn

from modelwright_trainer.backends.keras.network import Input, Network
from modelwright_trainer.backends.keras.parse import parse_network
from modelwright_trainer.backends.keras.table import LAYERS
from modelwright_trainer.config import INPUT, Candidate, RunLayer, Task
from modelwright_trainer.failure import Reason, RunError, listed

FIELD: Final = "spec.source"
MODELS: Final = ("Sequential", "Functional")
OURS: Final = frozenset(("TransformerEncoder", "PositionEmbedding", "TextVectorization", "Embedding"))
"""Words of the table that are not Keras' own layers, or that take what is no number."""
MOST_LAYERS: Final = 1000
PARAMETERS_ONLY: Final = frozenset(
    (
        "name",
        "trainable",
        "seed",
        "noise_shape",
        "renorm_momentum",
        "unroll",
        "use_cudnn",
        "flash_attention",
        "zero_output_for_mask",
    )
)
"""What changes no answer."""
ENDINGS: Final = ("_initializer", "_regularizer", "_constraint")
"""Of what matters in training alone."""
NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "data_format": ("channels_last", None),
    "groups": (1,),
    "axis": (-1, [-1]),
    "attention_axes": (None, [1]),
}
"""What is always so here; of all else that is no parameter of the table, nothing and false."""
ATTENTION: Final = ("query", "value", "key")


@dataclass(frozen=True)
class Brought:
    """A network with all that is known of it but its weights."""

    network: Network
    source: Input
    input: str
    """What Keras calls its input."""
    groups: dict[str, str]
    """Where the weights of each layer lie in the file."""


def read_layers(config: dict[str, Any]) -> Brought:
    """Read the layers of a model."""
    kind = config.get("class_name")
    if kind not in MODELS or not _is_keras(config):
        message = (
            f"{FIELD}: the model is a {kind!r:.60}, and one of {listed(MODELS)} is read: a class of your own is code, "
            "and none of a file is run; build it from Keras' layers by keras.Sequential or keras.Model(inputs, outputs)"
        )
        raise RunError(Reason.UNKNOWN_LAYER, message)
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(layers, list) or not 1 < len(layers) <= MOST_LAYERS:
        _refuse("", "the model", f"must have an input and 1 to {MOST_LAYERS - 1} layers")
    for layer in layers:
        _check_layer(layer)
    inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
    if len(inputs) != 1:
        _refuse(
            "", "the model", f"has {len(inputs)} inputs, and exactly one is taken (give a Sequential a keras.Input)"
        )
    others = [layer for layer in layers if layer is not inputs[0]]
    given = _link([*inputs, *others]) if kind == "Sequential" else _read_links(others, inputs[0], inner)
    names = {layer["config"]["name"]: _rename(layer["config"]["name"]) for layer in others}
    if len(names) != len(others):
        _refuse("", "the model", "has two layers of one name")
    names[inputs[0]["config"]["name"]] = INPUT
    found = [
        RunLayer(
            names[layer["config"]["name"]],
            layer["class_name"],
            tuple(names[name] for name in given[layer["config"]["name"]]),
            _read_parameters(layer),
        )
        for layer in _end_with(others, kind, inner)
    ]
    network = parse_network(Candidate("network", layers=tuple(found)), FIELD, Task.REGRESSION)
    source = _read_input(inputs[0])
    network.follow(source)
    groups = {names[name]: group for name, group in _find_groups(layers).items() if names[name] != INPUT}
    return Brought(network, source, inputs[0]["config"]["name"], groups)


def _is_keras(entry: dict[str, Any]) -> bool:
    """Whether a class is one of Keras' own, and not one that was registered under its name."""
    module, registered = entry.get("module"), entry.get("registered_name")
    return (
        isinstance(module, str)
        and (module == "keras" or module.startswith("keras."))
        and registered in (None, entry.get("class_name"))
    )


def _check_layer(layer: object) -> None:
    config = layer.get("config") if isinstance(layer, dict) else None
    if not isinstance(layer, dict) or not isinstance(config, dict) or not isinstance(config.get("name"), str):
        _refuse("", "the model", f"has what is no layer: {layer!r:.80}")
    kind, name = str(layer.get("class_name")), config["name"]
    if kind == "Lambda":
        _refuse(kind, name, "is code, and none of a file is run: put a layer of Keras' in its place")
    if not _is_keras(layer):
        _refuse(kind, name, "is a class of your own, which is code, and none of a file is run: use Keras' layers")
    if kind in {"Sequential", "Functional", "Model"}:
        _refuse(kind, name, "is a model within the model: put its layers in its place")
    if kind != "InputLayer" and (kind not in LAYERS or kind in OURS):
        known = [one for one in sorted(LAYERS) if one not in OURS]
        _refuse(kind, name, f"is no layer that is exported; those are {listed(known, 40)}")
    policy = config.get("dtype")
    if isinstance(policy, dict):
        inner = policy.get("config")
        policy = inner.get("name") if isinstance(inner, dict) else inner
    if policy not in (None, "float32"):
        _refuse(kind, name, f"has the dtype {policy!r:.40}, and float32 is needed")


def _link(layers: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Each takes what the one before gives."""
    names = [layer["config"]["name"] for layer in layers]
    return {name: (before,) for before, name in pairwise(names)}


def _read_links(
    layers: list[dict[str, Any]], source: dict[str, Any], model: dict[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Return what each layer takes, by name."""
    known = {layer["config"]["name"] for layer in (*layers, source)}
    found: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        kind, name = layer["class_name"], layer["config"]["name"]
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(nodes[0], dict):
            count = len(nodes) if isinstance(nodes, list) else 0
            _refuse(kind, name, f"is used {count} times, and once is possible")
        args, kwargs = nodes[0].get("args"), nodes[0].get("kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            _refuse(kind, name, "does not say what it takes")
        args = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        tensors = [*args]
        if kind == "MultiHeadAttention":
            tensors += [kwargs.pop(one) for one in ATTENTION[len(tensors) :] if kwargs.get(one) is not None]
        if extra := sorted(one for one, value in kwargs.items() if value not in (None, False)):
            _refuse(kind, name, f"is called with {listed(extra)}, and with what earlier layers give alone it must be")
        found[name] = tuple(_read_tensor(one, known, kind, name) for one in tensors)
    ends = [_flat(model.get(name)) for name in ("input_layers", "output_layers")]
    if any(len(end) != len("abc") for end in ends):
        _refuse("", "the model", "must have one input and one output")
    return found


def _read_tensor(tensor: object, known: set[str], kind: str, name: str) -> str:
    config = tensor.get("config") if isinstance(tensor, dict) else None
    history = config.get("keras_history") if isinstance(config, dict) else None
    if (
        not isinstance(history, list)
        or len(history) != len("abc")
        or history[1:] != [0, 0]
        or str(history[0]) not in known
    ):
        _refuse(kind, name, f"takes {tensor!r:.80}, and one output of an earlier layer was expected")
    return str(history[0])


def _flat(ends: object) -> list[Any]:
    """Return `[name, 0, 0]` of one end, which some releases put into a further list."""
    found = ends if isinstance(ends, list) else []
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _end_with(layers: list[dict[str, Any]], kind: str, model: dict[str, Any]) -> list[dict[str, Any]]:
    """Put the layer that answers at the end."""
    if kind == "Sequential":
        return layers
    last = str(_flat(model.get("output_layers"))[0])
    if last not in {layer["config"]["name"] for layer in layers}:
        _refuse("", "the model", f"answers by {last!r:.60}, which is no layer behind its input")
    return sorted(layers, key=lambda layer: layer["config"]["name"] == last)


def _rename(name: str) -> str:
    """`input` is what the data are called here."""
    return f"{name}'" if name == INPUT else name


def _read_parameters(layer: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that decide answers; what is neither that nor as it always is here is refused."""
    kind, config = layer["class_name"], layer["config"]
    entry = LAYERS[kind]
    found: dict[str, Any] = {}
    for name, value in config.items():
        if name in PARAMETERS_ONLY or name.endswith(ENDINGS) or name == "dtype":
            continue
        if name == "backward_layer":
            _check_backward(layer)
        elif name == "layer" and "layer" in entry.parameters:
            _check_layer(value)
            found[name] = {"type": value["class_name"], "parameters": _read_parameters(value)}
        elif name in entry.parameters:
            # Where none is no word for the default, it is for the table to say so.
            if value is not None or not entry.parameters[name].nullable:
                found[name] = _read_value(value)
        elif value is not False and value not in NEUTRAL.get(name, (None,)):
            why = entry.refused.get(name, "it is not exported")
            _refuse(kind, config["name"], f"has {name}: {value!r:.80}, and {why}")
    return found


def _read_value(value: Any) -> Any:
    """Return an activation by its name, where a file writes more of it."""
    if isinstance(value, dict) and isinstance(value.get("config"), str):
        return value["config"]
    return value


def _check_backward(layer: dict[str, Any]) -> None:
    """Both directions are alike here."""
    config = layer["config"]
    there, back = config.get("layer"), config["backward_layer"]
    if back is None:
        return
    _check_layer(back)
    turned = {**back, "config": {**back["config"], "go_backwards": False}}
    alike = isinstance(there, dict) and there.get("class_name") == back["class_name"]
    if not alike or not back["config"].get("go_backwards") or _read_parameters(turned) != _read_parameters(there):
        _refuse(layer["class_name"], config["name"], "reads backwards by a layer of other parameters")


def _read_input(layer: dict[str, Any]) -> Input:
    config = layer["config"]
    shape = config.get("batch_shape")
    is_shape = isinstance(shape, list) and 2 <= len(shape) <= len("nhwc")  # noqa: PLR2004 - rows and one axis more
    if not is_shape or not all(size is None or (type(size) is int and size > 0) for size in shape[1:]):
        _refuse("InputLayer", config["name"], f"has the batch_shape {shape!r:.60}: rows, and 1 to 3 axes of each")
    if config.get("sparse") or config.get("ragged"):
        _refuse("InputLayer", config["name"], "is sparse or ragged, and tensors are taken")
    if not config["name"].isprintable() or not config["name"]:
        _refuse("InputLayer", config["name"], "has a name that cannot be printed")
    return Input(tuple(shape[1:]))


def _find_groups(layers: list[dict[str, Any]]) -> dict[str, str]:
    """Return where weights lie: by the class, and its number among those of its class."""
    seen: dict[str, int] = {}
    found = {}
    for layer in layers:
        name = _as_group(layer["class_name"])
        number = seen.get(name, 0)
        seen[name] = number + 1
        found[layer["config"]["name"]] = f"layers/{name}_{number}" if number else f"layers/{name}"
    return found


def _as_group(name: str) -> str:
    """Write `LayerNormalization` as `layer_normalization`, `Conv2D` as `conv2d`, as Keras does."""
    apart = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", apart).lower()


def _refuse(kind: object, name: str, words: str) -> NoReturn:
    whose = f"the {kind} {name!r:.80}" if kind else name
    message = f"{FIELD}: {whose} {words}"
    raise RunError(Reason.UNKNOWN_LAYER if kind else Reason.INVALID_NETWORK, message)
