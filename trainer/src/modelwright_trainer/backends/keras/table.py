"""Every layer with every parameter of Keras' own constructor: taken, exported and tested, or refused with why."""

from __future__ import annotations

from typing import Final

from .words import (
    REGULARIZER,
    SHARE,
    Gives,
    Kind,
    LayerEntry,
    Padded,
    Parameter,
    Takes,
    activation,
    flag,
    initializer,
    integer,
    number,
    sizes,
    word,
)

MOST_LAYERS: Final = 128

# Why parameters are refused.
CONSTRAINT: Final = "constraints are not offered: use a regularizer"
SEED: Final = "split.seed is the seed of all that is random"
LAST: Final = "channels are the last axis, always"
ADAPTERS: Final = "networks are trained whole"
PRECISION: Final = "networks compute in float32"
SPEED: Final = "it changes the speed only, and is chosen for you"
STATE: Final = "rows are independent of each other: no state goes from one to the next"

COMMON: Final = {
    "name": "a layer's name stands beside its type",
    "dtype": PRECISION,
    "autocast": PRECISION,
}
"""Of every layer; `trainable` and `activity_regularizer` stand with each that has them."""
WITHOUT_WEIGHTS: Final = COMMON | {
    "trainable": "the layer has no weights",
    "activity_regularizer": "give it to a layer with weights",
}
TRAINABLE: Final = flag(default=True)
NO_FORMAT: Final = {"data_format": LAST}


def _refused(names: str, why: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


def _weights(**kinds: str) -> dict[str, Parameter]:
    """Return initializer and regularizer of each weight, by its name."""
    found: dict[str, Parameter] = {}
    for name, default in kinds.items():
        found[f"{name}_initializer"] = initializer(default)
        found[f"{name}_regularizer"] = REGULARIZER
    return found


UNITS: Final = {"units": integer()}
DENSE: Final = _weights(kernel="glorot_uniform", bias="zeros") | {
    "use_bias": flag(default=True),
    "activity_regularizer": REGULARIZER,
    "trainable": TRAINABLE,
}
KERNEL_BIAS_CONSTRAINTS: Final = _refused("kernel_constraint bias_constraint", CONSTRAINT)
QUANTIZED: Final = _refused("lora_rank lora_alpha", ADAPTERS) | {"quantization_config": PRECISION}


def _convolution(axes: int, *paddings: str) -> LayerEntry:
    parameters = DENSE | {
        "filters": integer(),
        "kernel_size": sizes(axes),
        "strides": sizes(axes, (1,) * axes),
        "dilation_rate": sizes(axes, (1,) * axes),
        "padding": word("valid", "valid", "same", *paddings),
        "activation": activation(),
    }
    refused = (
        KERNEL_BIAS_CONSTRAINTS | NO_FORMAT | {"groups": "grouped convolutions are not exported; all is one group"}
    )
    return LayerEntry(parameters, COMMON | refused, ranks=(axes + 1,), padded=Padded.REFUSED)


def _pooling(axes: int, default: tuple[int, ...] | None) -> LayerEntry:
    size = sizes(axes) if default is None else sizes(axes, default)
    parameters = {"pool_size": size, "strides": sizes(axes, None), "padding": word("valid", "valid", "same")}
    return LayerEntry(parameters, WITHOUT_WEIGHTS | NO_FORMAT, ranks=(axes + 1,), padded=Padded.REFUSED)


def _global_pooling(axes: int) -> LayerEntry:
    refused = WITHOUT_WEIGHTS | NO_FORMAT | {"keepdims": "one number a channel comes out, always"}
    padded = Padded.ENDED if axes == 1 else Padded.REFUSED
    return LayerEntry({}, refused, ranks=(axes + 1,), gives=Gives.FLAT, padded=padded)


STEP_ACTIVATIONS: Final = ("tanh", "sigmoid", "relu", "elu", "softsign", "hard_sigmoid", "linear")
"""Those that ONNX's recurrent operators have."""
RECURRENT: Final = (
    UNITS
    | DENSE
    | _weights(recurrent="orthogonal")
    | {
        "activation": word("tanh", *STEP_ACTIVATIONS),
        "dropout": SHARE,
        "recurrent_dropout": SHARE,
        "return_sequences": flag(default=False),
    }
)
RECURRENT_REFUSED: Final = (
    COMMON
    | KERNEL_BIAS_CONSTRAINTS
    | {
        "recurrent_constraint": CONSTRAINT,
        "seed": SEED,
        "return_state": "a layer has one output: take the last step, or return_sequences",
        "go_backwards": "Bidirectional reads backwards, too",
        "stateful": STATE,
        "unroll": SPEED,
        "zero_output_for_mask": "what follows never reads padding",
    }
)
GATED: Final = RECURRENT | {"recurrent_activation": word("sigmoid", *STEP_ACTIVATIONS)}


def _recurrent(parameters: dict[str, Parameter], **more: Parameter) -> LayerEntry:
    refused = RECURRENT_REFUSED | ({"use_cudnn": SPEED} if "recurrent_activation" in parameters else {})
    return LayerEntry(parameters | more, refused, ranks=(2,), gives=Gives.SEQUENCES, padded=Padded.ENDED)


def _normalization(**more: Parameter) -> dict[str, Parameter]:
    return (
        _weights(beta="zeros", gamma="ones")
        | {
            "epsilon": number(0.001, above=0, max=1),
            "center": flag(default=True),
            "scale": flag(default=True),
            "trainable": TRAINABLE,
        }
        | more
    )


NORMALIZATION_REFUSED: Final = (
    COMMON
    | _refused("beta_constraint gamma_constraint", CONSTRAINT)
    | {"axis": "it is the last axis, always", "activity_regularizer": "give it to another layer"}
)
ATTENTION_DROPOUT: Final = {"dropout": SHARE}

LAYERS: Final[dict[str, LayerEntry]] = {
    "Activation": LayerEntry({"activation": Parameter(Kind.ACTIVATION)}, WITHOUT_WEIGHTS),
    "Add": LayerEntry({}, WITHOUT_WEIGHTS, several=True),
    "AveragePooling1D": _pooling(1, None),
    "AveragePooling2D": _pooling(2, None),
    "BatchNormalization": LayerEntry(
        _normalization(
            momentum=number(0.99, min=0, max=1),
            moving_mean_initializer=initializer("zeros"),
            moving_variance_initializer=initializer("ones"),
        ),
        NORMALIZATION_REFUSED
        | _refused("renorm renorm_clipping renorm_momentum", "renormalization is not offered")
        | {"synchronized": "each worker has its own statistics, and those of the first are kept"},
    ),
    "Bidirectional": LayerEntry(
        {
            "layer": Parameter(Kind.LAYER, words=("SimpleRNN", "LSTM", "GRU")),
            "merge_mode": word("concat", "concat", "sum", "mul", "ave"),
            "trainable": TRAINABLE,
        },
        COMMON
        | {
            "backward_layer": "both directions are alike: give `layer` only",
            "weights": "training.from starts from the weights of a version",
            "activity_regularizer": "give it to the layer within",
        },
        ranks=(2,),
        gives=Gives.SEQUENCES,
        padded=Padded.ENDED,
    ),
    "Concatenate": LayerEntry(
        {"axis": Parameter(Kind.INTEGER, -1, min=-3, max=3)},
        WITHOUT_WEIGHTS,
        several=True,
    ),
    "Conv1D": _convolution(1, "causal"),
    "Conv2D": _convolution(2),
    "Dense": LayerEntry(UNITS | DENSE | {"activation": activation()}, COMMON | KERNEL_BIAS_CONSTRAINTS | QUANTIZED),
    "Dropout": LayerEntry(
        {"rate": number(min=0, below=1)},
        WITHOUT_WEIGHTS | {"noise_shape": "each number is dropped by itself", "seed": SEED},
    ),
    "Embedding": LayerEntry(
        {
            "input_dim": integer(low=2, high=10_000_000),
            "output_dim": integer(),
            "embeddings_initializer": initializer("uniform"),
            "embeddings_regularizer": REGULARIZER,
            "mask_zero": flag(default=False),
            "activity_regularizer": REGULARIZER,
            "trainable": TRAINABLE,
        },
        COMMON
        | QUANTIZED
        | {"embeddings_constraint": CONSTRAINT, "weights": "training.from starts from the weights of a version"},
        ranks=(1,),
        takes=Takes.TOKENS,
        gives=Gives.STEPS,
    ),
    "Flatten": LayerEntry({}, WITHOUT_WEIGHTS | NO_FORMAT, gives=Gives.FLAT, padded=Padded.REFUSED),
    "GRU": _recurrent(GATED, reset_after=flag(default=True)),
    "GlobalAveragePooling1D": _global_pooling(1),
    "GlobalAveragePooling2D": _global_pooling(2),
    "GlobalMaxPooling1D": _global_pooling(1),
    "GlobalMaxPooling2D": _global_pooling(2),
    "LSTM": _recurrent(GATED, unit_forget_bias=flag(default=True)),
    "LayerNormalization": LayerEntry(_normalization(), NORMALIZATION_REFUSED),
    "MaxPooling1D": _pooling(1, (2,)),
    "MaxPooling2D": _pooling(2, (2, 2)),
    "MultiHeadAttention": LayerEntry(
        DENSE
        | ATTENTION_DROPOUT
        | {
            "num_heads": integer(high=1024),
            "key_dim": integer(),
            "value_dim": integer(None),
            "output_shape": integer(None),
        },
        COMMON
        | KERNEL_BIAS_CONSTRAINTS
        | {
            "attention_axes": "attention is over the steps, always",
            "sliding_window": "every step sees every other",
            "flash_attention": SPEED,
            "use_gate": "gated attention is not exported",
            "seed": SEED,
        },
        ranks=(2,),
        several=True,
    ),
    "PositionEmbedding": LayerEntry(
        {
            "kind": word("learned", "learned", "sinusoidal"),
            "sequence_length": integer(None),
            "initializer": initializer("glorot_uniform"),
            "max_wavelength": number(10_000, above=1),
            "trainable": TRAINABLE,
        },
        COMMON | {"activity_regularizer": "give it to another layer"},
        ranks=(2,),
        own=True,
    ),
    "Rescaling": LayerEntry({"scale": number(), "offset": number(0.0)}, WITHOUT_WEIGHTS),
    "SeparableConv2D": LayerEntry(
        _weights(depthwise="glorot_uniform", pointwise="glorot_uniform", bias="zeros")
        | {
            "filters": integer(),
            "kernel_size": sizes(2),
            "strides": sizes(2, (1, 1)),
            "dilation_rate": sizes(2, (1, 1)),
            "depth_multiplier": integer(1, high=256),
            "padding": word("valid", "valid", "same"),
            "activation": activation(),
            "use_bias": flag(default=True),
            "activity_regularizer": REGULARIZER,
            "trainable": TRAINABLE,
        },
        COMMON | NO_FORMAT | _refused("depthwise_constraint pointwise_constraint bias_constraint", CONSTRAINT),
        ranks=(3,),
        padded=Padded.REFUSED,
    ),
    "SimpleRNN": _recurrent(RECURRENT),
    "TextVectorization": LayerEntry(
        {
            "max_tokens": integer(None, low=3, high=10_000_000),
            "output_sequence_length": integer(high=16_384),
        },
        WITHOUT_WEIGHTS
        | {
            "standardize": "ASCII letters are lowered, always",
            "split": "tokens are runs of the characters a-z, 0-9 and ', always",
            "ngrams": "tokens are single words",
            "output_mode": "the numbers of tokens come out, for an Embedding",
            "pad_to_max_tokens": "it is for counts of tokens",
            "vocabulary": "it is found in the training part",
            "idf_weights": "the numbers of tokens come out, for an Embedding",
            "sparse": "it is for counts of tokens",
            "ragged": "all texts are brought to output_sequence_length",
            "encoding": "text is UTF-8",
        },
        ranks=(0,),
        takes=Takes.TEXT,
        gives=Gives.FLAT,
    ),
    "TransformerEncoder": LayerEntry(
        {
            "num_heads": integer(high=1024),
            "key_dim": integer(None),
            "intermediate_dim": integer(),
            "dropout": SHARE,
            "activation": Parameter(Kind.ACTIVATION, "relu"),
            "norm_first": flag(default=False),
            "epsilon": number(1e-5, above=0, max=1),
            "kernel_initializer": initializer("glorot_uniform"),
            "bias_initializer": initializer("zeros"),
            "kernel_regularizer": REGULARIZER,
            "bias_regularizer": REGULARIZER,
            "trainable": TRAINABLE,
        },
        COMMON | {"activity_regularizer": "give it to another layer"},
        ranks=(2,),
        own=True,
    ),
}
