"""The rest of the table: losses, optimizers, schedules, activations, initializers, regularizers, callbacks, `fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.config import Task

from .table import LAYERS, SEED, SPEED
from .words import Entry, Kind, Parameter, flag, integer, number, word

if TYPE_CHECKING:
    from collections.abc import Mapping

LOSSES: Final[dict[Task, tuple[str, ...]]] = {
    Task.CLASSIFICATION: ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"),
    Task.REGRESSION: (
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
    ),
}
"""The first is the default."""
LOSS_ALIASES: Final = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
LOSSES_REFUSED: Final = {
    "kl_divergence": "labels are classes: use categorical_crossentropy",
    "poisson": "use mean_squared_error",
    "binary_focal_crossentropy": "use binary_crossentropy, with class_weight",
    "categorical_focal_crossentropy": "use categorical_crossentropy, with class_weight",
    "categorical_generalized_cross_entropy": "use categorical_crossentropy",
    "cosine_similarity": "one number is predicted",
    "hinge": "probabilities come out: use binary_crossentropy",
    "squared_hinge": "probabilities come out: use binary_crossentropy",
    "categorical_hinge": "probabilities come out: use categorical_crossentropy",
    "dice": "it is for segmentation",
    "tversky": "it is for segmentation",
    "circle": "it is for embeddings",
    "ctc": "it is for sequences of labels",
}
PROBABILITIES: Final = {
    "sparse_categorical_crossentropy": "softmax",
    "categorical_crossentropy": "softmax",
    "binary_crossentropy": "sigmoid",
}
"""The activation that a classification ends with, by its loss."""

ACTIVATIONS: Final = (
    "linear",
    "relu",
    "leaky_relu",
    "relu6",
    "elu",
    "celu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "softplus",
    "softsign",
    "exponential",
    "log_sigmoid",
    "softmax",
)
ACTIVATIONS_REFUSED: Final = dict.fromkeys(
    (
        "glu",
        "hard_shrink",
        "log_softmax",
        "soft_shrink",
        "sparse_plus",
        "sparse_sigmoid",
        "sparsemax",
        "squareplus",
        "tanh_shrink",
        "threshold",
    ),
    "it is not exported",
)

FANS: Final = {
    "seed": SEED,
    "input_axes": "fans are found by the shape",
    "output_axes": "fans are found by the shape",
}


def _scaled(name: str) -> Entry:
    return Entry({}, FANS, (name,))


INITIALIZERS: Final[dict[str, Entry]] = {
    "Constant": Entry({"value": number(0.0)}, {}, ("constant",)),
    "GlorotNormal": _scaled("glorot_normal"),
    "GlorotUniform": _scaled("glorot_uniform"),
    "HeNormal": _scaled("he_normal"),
    "HeUniform": _scaled("he_uniform"),
    "Identity": Entry({"gain": number(1.0)}, {}, ("identity",)),
    "LecunNormal": _scaled("lecun_normal"),
    "LecunUniform": _scaled("lecun_uniform"),
    "Ones": Entry({}, {}, ("ones", "one")),
    "Orthogonal": Entry({"gain": number(1.0)}, {"seed": SEED}, ("orthogonal",)),
    "RandomNormal": Entry(
        {"mean": number(0.0), "stddev": number(0.05, min=0)}, {"seed": SEED}, ("random_normal", "normal")
    ),
    "RandomUniform": Entry(
        {"minval": number(-0.05), "maxval": number(0.05)}, {"seed": SEED}, ("random_uniform", "uniform")
    ),
    "TruncatedNormal": Entry(
        {"mean": number(0.0), "stddev": number(0.05, min=0)}, {"seed": SEED}, ("truncated_normal",)
    ),
    "VarianceScaling": Entry(
        {
            "scale": number(1.0, above=0),
            "mode": word("fan_in", "fan_in", "fan_out", "fan_avg"),
            "distribution": word("truncated_normal", "truncated_normal", "untruncated_normal", "uniform"),
        },
        FANS,
        ("variance_scaling",),
    ),
    "Zeros": Entry({}, {}, ("zeros", "zero")),
}
INITIALIZERS_REFUSED: Final = {"STFT": "it is for spectra"}

REGULARIZERS: Final[dict[str, Entry]] = {
    "L1": Entry({"l1": number(0.01, min=0)}, {}, ("l1",)),
    "L1L2": Entry({"l1": number(0.0, min=0), "l2": number(0.0, min=0)}, {}, ("l1l2",)),
    "L2": Entry({"l2": number(0.01, min=0)}, {}, ("l2",)),
}
REGULARIZERS_REFUSED: Final = {"OrthogonalRegularizer": "use L1, L2 or L1L2"}

INITIAL: Final = {"initial_learning_rate": number(above=0)}
STEPS: Final = {"decay_steps": integer(high=2**31 - 1)}
NAMED: Final = {"name": "nothing shows it"}
DECAY: Final = INITIAL | STEPS | {"decay_rate": number(above=0), "staircase": flag(default=False)}
SCHEDULES: Final[dict[str, Entry]] = {
    "CosineDecay": Entry(
        INITIAL
        | STEPS
        | {
            "alpha": number(0.0, min=0, max=1),
            "warmup_target": number(None, above=0),
            "warmup_steps": integer(0, low=0, high=2**31 - 1),
        }
        | {"initial_learning_rate": number(min=0)},
        NAMED,
    ),
    "ExponentialDecay": Entry(DECAY, NAMED),
    "InverseTimeDecay": Entry(DECAY, NAMED),
    "PiecewiseConstantDecay": Entry(
        {
            "boundaries": Parameter(Kind.NUMBERS, above=0),
            "values": Parameter(Kind.NUMBERS, above=0),
        },
        NAMED,
    ),
    "PolynomialDecay": Entry(
        INITIAL
        | STEPS
        | {
            "end_learning_rate": number(0.0001, min=0),
            "power": number(1.0, above=0),
            "cycle": flag(default=False),
        },
        NAMED,
    ),
}

AVERAGED: Final = "the weights of the last or of the best epoch are kept, not their average"
GRADIENTS: Final = {
    "weight_decay": number(None, min=0),
    "clipnorm": number(None, above=0),
    "clipvalue": number(None, above=0),
    "global_clipnorm": number(None, above=0),
}
OPTIMIZER_REFUSED: Final = NAMED | {
    "use_ema": AVERAGED,
    "ema_momentum": AVERAGED,
    "ema_overwrite_frequency": AVERAGED,
    "loss_scale_factor": "networks compute in float32",
    "gradient_accumulation_steps": "give a larger batch_size",
}
BETA: Final = {"min": 0, "below": 1}
ADAM: Final = GRADIENTS | {
    "learning_rate": Parameter(Kind.RATE, 0.001, above=0),
    "beta_1": number(0.9, **BETA),
    "beta_2": number(0.999, **BETA),
    "epsilon": number(1e-7, above=0),
    "amsgrad": flag(default=False),
}
OPTIMIZERS: Final[dict[str, Entry]] = {
    "Adam": Entry(ADAM, OPTIMIZER_REFUSED),
    "AdamW": Entry(ADAM | {"weight_decay": number(0.004, min=0)}, OPTIMIZER_REFUSED),
    "RMSprop": Entry(
        GRADIENTS
        | {
            "learning_rate": Parameter(Kind.RATE, 0.001, above=0),
            "rho": number(0.9, **BETA),
            "momentum": number(0.0, **BETA),
            "epsilon": number(1e-7, above=0),
            "centered": flag(default=False),
        },
        OPTIMIZER_REFUSED,
    ),
    "SGD": Entry(
        GRADIENTS
        | {
            "learning_rate": Parameter(Kind.RATE, 0.01, above=0),
            "momentum": number(0.0, **BETA),
            "nesterov": flag(default=False),
        },
        OPTIMIZER_REFUSED,
    ),
}
DEFAULT_OPTIMIZER: Final = "Adam"

METRICS: Final[dict[Task, str]] = {Task.CLASSIFICATION: "accuracy", Task.REGRESSION: "mean_absolute_error"}
"""What is told of each epoch beside the loss."""
CALLBACKS: Final[dict[str, Entry]] = {
    "EarlyStopping": Entry(
        {
            "monitor": word(
                "val_loss",
                "val_loss",
                "loss",
                "val_accuracy",
                "accuracy",
                "val_mean_absolute_error",
                "mean_absolute_error",
            ),
            "min_delta": number(0, min=0),
            "patience": integer(0, low=0, high=100_000),
            "mode": word("auto", "auto", "min", "max"),
            "baseline": number(None),
            "restore_best_weights": flag(default=False),
            "start_from_epoch": integer(0, low=0, high=100_000),
        },
        {"verbose": "the log says when training stops early"},
    )
}
CALLBACKS_REFUSED: Final = {
    "BackupAndRestore": "run.checkpoint keeps where training is",
    "CSVLogger": "report.json has the loss of each epoch",
    "LearningRateScheduler": "give the optimizer's learning_rate a schedule",
    "ModelCheckpoint": "EarlyStopping's restore_best_weights keeps the best epoch, run.checkpoint the last",
    "OrbaxCheckpoint": "run.checkpoint keeps where training is",
    "ReduceLROnPlateau": "give the optimizer's learning_rate a schedule",
    "RemoteMonitor": "progress is told by kubectl get model -w",
    "SwapEMAWeights": AVERAGED,
    "TensorBoard": "report.json and curves.svg have the loss of each epoch",
    "TerminateOnNaN": "training ends at a loss that is not finite, always",
}
POLICIES: Final = ("float32", "mixed_bfloat16", "mixed_float16")
"""What layers compute in while a network is trained; its weights are FP32, always."""
FIT: Final = Entry(
    {
        "epochs": integer(1, high=100_000),
        "batch_size": integer(32, high=1_048_576),
        "shuffle": flag(default=True),
        "class_weight": Parameter(Kind.WEIGHTS, None, nullable=True, min=0),
        "dtype_policy": word("float32", *POLICIES),
    },
    {
        "x": "data is what is learned from",
        "y": "data.label names the labels",
        "verbose": "the log and the progress tell each epoch",
        "callbacks": "they stand beside the layers",
        "validation_split": "split.validation is the validation part",
        "validation_data": "split.validation is the validation part",
        "sample_weight": "rows have no weights; class_weight weighs classes",
        "initial_epoch": "run.checkpoint goes on where training was",
        "steps_per_epoch": "an epoch is the training part, once",
        "validation_steps": "the validation part is used whole",
        "validation_batch_size": SPEED,
        "validation_freq": "each epoch is measured",
    },
)


def _as_json(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {name: entries[name].as_json() for name in sorted(entries)}


def build_layers_json() -> dict[str, Any]:
    """Return the whole table as `runtime/contract/src/layers.json` has it."""
    return {
        "layers": _as_json(LAYERS),
        "losses": {
            str(task): [*names, *(alias for alias, name in LOSS_ALIASES.items() if name in names)]
            for task, names in LOSSES.items()
        },
        "lossesRefused": LOSSES_REFUSED,
        "optimizers": _as_json(OPTIMIZERS),
        "schedules": _as_json(SCHEDULES),
        "activations": list(ACTIVATIONS),
        "activationsRefused": ACTIVATIONS_REFUSED,
        "initializers": _as_json(INITIALIZERS),
        "initializersRefused": INITIALIZERS_REFUSED,
        "regularizers": _as_json(REGULARIZERS),
        "regularizersRefused": REGULARIZERS_REFUSED,
        "callbacks": _as_json(CALLBACKS),
        "callbacksRefused": CALLBACKS_REFUSED,
        "fit": FIT.as_json(),
    }
