"""Words that a network cannot have: each ends with its reason and a message that names it and the way out.

Nothing here loads TensorFlow.
"""

from __future__ import annotations

import pytest
from networks import (
    AT,
    DENSE,
    EVEN,
    GOOD,
    IMAGES,
    REGRESSION,
    Case,
    adam,
    convolution,
    dense,
    early,
    is_refused,
    layer,
    rate,
    softmax,
)

CASES = {
    # Names
    "unknown layer": Case(
        "UnknownLayer", ["layers[0].type of layer 'a' is 'Dens'", "did you mean 'Dense'"], [layer("a", "Dens", units=1)]
    ),
    "a layer of Keras' that is not offered": Case(
        "UnknownLayer", ["'Lambda'", "there are Activation, Add"], [layer("a", "Lambda")]
    ),
    "unknown parameter": Case(
        "UnknownParameter", [f"{AT}.unit: Dense 'a' has no parameter 'unit'", "did you mean 'units'"], dense(unit=3)
    ),
    "refused parameter": Case(
        "InvalidParameter", [f"{AT}.kernel_constraint", "constraints are not offered"], dense(kernel_constraint="x")
    ),
    "precision": Case("InvalidParameter", [f"{AT}.dtype", "compute in float32"], dense(dtype="float16")),
    "a seed of one's own": Case(
        "InvalidParameter",
        ["layers[1].parameters.seed", "split.seed"],
        [DENSE, layer("d", "Dropout", rate=0.1, seed=1)],
    ),
    "missing parameter": Case(
        "InvalidParameter",
        [f"{AT}.units of Dense 'a' is missing", "a whole number from 1 to 65536"],
        [layer("a", "Dense")],
    ),
    "null in place of a value": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is null"], dense(units=None)),
    # Values
    "no units": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is 0", "from 1 to 65536"], dense(units=0)),
    "negative units": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is -3"], dense(units=-3)),
    "half a unit": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is 1.5", "a whole number"], dense(units=1.5)),
    "true units": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is true"], dense(units=True)),
    "units as text": Case("InvalidParameter", [f"{AT}.units of Dense 'a' is \"four\""], dense(units="four")),
    "too many units": Case("InvalidParameter", ["is 1000000000"], dense(units=10**9)),
    "a flag as text": Case("InvalidParameter", [f"{AT}.use_bias", "true or false"], dense(use_bias="yes")),
    "unknown activation": Case(
        "InvalidParameter",
        [f"{AT}.activation of Dense 'a' is \"rleu\"", "did you mean 'relu'"],
        dense(activation="rleu"),
    ),
    "activation that is not exported": Case(
        "InvalidParameter", ["sparsemax", "it is not exported"], dense(activation="sparsemax")
    ),
    "activation of no step": Case(
        "InvalidParameter",
        ["activation of LSTM 'a' is \"gelu\"", "one of tanh, sigmoid"],
        [layer("a", "LSTM", units=2, activation="gelu"), softmax(3)],
        EVEN,
    ),
    "unknown initializer": Case(
        "InvalidParameter",
        [f"{AT}.kernel_initializer", "did you mean 'he_normal'"],
        dense(kernel_initializer="he_norml"),
    ),
    "initializer that is not offered": Case(
        "InvalidParameter", ["STFT", "it is for spectra"], dense(kernel_initializer={"type": "STFT"})
    ),
    "parameter of an initializer": Case(
        "InvalidParameter",
        [f"{AT}.kernel_initializer.parameters.stddev of the Initializer RandomNormal is -1", "from 0"],
        dense(kernel_initializer={"type": "RandomNormal", "parameters": {"stddev": -1}}),
    ),
    "unknown regularizer": Case(
        "InvalidParameter", [f"{AT}.kernel_regularizer", "did you mean 'l2'"], dense(kernel_regularizer="l22")
    ),
    "parameter of a regularizer": Case(
        "UnknownParameter",
        ["kernel_regularizer.parameters.l2", "L1 has no parameter 'l2'", "it has l1"],
        dense(kernel_regularizer={"type": "L1", "parameters": {"l2": 0.1}}),
    ),
    "field of a regularizer": Case(
        "InvalidParameter",
        ["no field candidates[0].layers[0].parameters.kernel_regularizer.typ", "did you mean 'type'"],
        dense(kernel_regularizer={"typ": "L1"}),
    ),
    "all is dropped": Case(
        "InvalidParameter", ["rate of Dropout 'd' is 1", "from 0 below 1"], [layer("d", "Dropout", rate=1), softmax(3)]
    ),
    "not a number": Case(
        "InvalidParameter",
        ["scale of Rescaling", "must be a number"],
        [layer("r", "Rescaling", scale=[1, 2]), softmax(3)],
    ),
    "kernel of three sizes": Case(
        "InvalidParameter",
        ["kernel_size of Conv2D 'c' is [3, 3, 3]", "a list of 2"],
        convolution(kernel_size=[3, 3, 3]),
        IMAGES,
    ),
    "kernel of size 0": Case(
        "InvalidParameter", ["kernel_size of Conv2D 'c' is 0"], convolution(kernel_size=0), IMAGES
    ),
    "causal images": Case(
        "InvalidParameter",
        ["padding of Conv2D 'c' is \"causal\"", "valid, same"],
        convolution(padding="causal"),
        IMAGES,
    ),
    "stride and dilation": Case(
        "InvalidNetwork",
        ["strides of layer 'c' is [2, 2]", "dilation_rate"],
        convolution(strides=2, dilation_rate=2),
        IMAGES,
    ),
    "unequal strides": Case(
        "InvalidNetwork",
        ["strides of layer 'c' is [1, 2]", "two equal numbers"],
        [layer("c", "SeparableConv2D", filters=2, kernel_size=2, strides=[1, 2]), layer("f", "Flatten"), softmax(3)],
        IMAGES,
    ),
    "groups": Case("InvalidParameter", ["groups", "one group"], convolution(groups=2), IMAGES),
    "channels first": Case(
        "InvalidParameter", ["data_format", "the last axis"], convolution(data_format="channels_first"), IMAGES
    ),
    "nothing within": Case(
        "InvalidParameter", ["layer of Bidirectional 'b' is missing"], [layer("b", "Bidirectional"), softmax(3)], EVEN
    ),
    "a Dense within": Case(
        "InvalidParameter",
        ['parameters.layer.type is "Dense"', "SimpleRNN, LSTM, GRU"],
        [layer("b", "Bidirectional", layer={"type": "Dense", "parameters": {"units": 2}}), softmax(3)],
        EVEN,
    ),
    "parameters within": Case(
        "InvalidParameter",
        ["parameters.layer.parameters.units", "is 0"],
        [layer("b", "Bidirectional", layer={"type": "GRU", "parameters": {"units": 0}}), softmax(3)],
        EVEN,
    ),
    # Loss, optimizer, schedule, callbacks, fit
    "loss of another task": Case(
        "InvalidParameter", ["candidates[0].loss is 'mse' (it is for a Regression)"], GOOD, more={"loss": "mse"}
    ),
    "loss of a classification": Case(
        "InvalidParameter",
        ["it is for a Classification"],
        [DENSE],
        task=REGRESSION,
        more={"loss": "sparse_categorical_crossentropy"},
    ),
    "misspelt loss": Case(
        "InvalidParameter",
        ["did you mean 'mean_squared_error'"],
        [DENSE],
        task=REGRESSION,
        more={"loss": "mean_square_error"},
    ),
    "refused loss": Case("InvalidParameter", ["'hinge' (probabilities come out"], GOOD, more={"loss": "hinge"}),
    "unknown optimizer": Case(
        "InvalidParameter",
        ['optimizer.type is "Adem"', "did you mean 'Adam'"],
        GOOD,
        more={"optimizer": {"type": "Adem"}},
    ),
    "optimizer's parameter": Case(
        "UnknownParameter", ["did you mean 'learning_rate'"], GOOD, more=adam(learning_rates=1)
    ),
    "no learning": Case(
        "InvalidParameter", ["learning_rate of the optimizer Adam is 0", "above 0"], GOOD, more=adam(learning_rate=0)
    ),
    "momentum of 1": Case(
        "InvalidParameter",
        ["momentum of the optimizer SGD is 1"],
        GOOD,
        more={"optimizer": {"type": "SGD", "parameters": {"momentum": 1}}},
    ),
    "two clips": Case("InvalidParameter", ["absent beside clipnorm"], GOOD, more=adam(clipnorm=1, clipvalue=1)),
    "averaged weights": Case("InvalidParameter", ["use_ema", "not their average"], GOOD, more=adam(use_ema=True)),
    "unknown schedule": Case("InvalidParameter", ["did you mean 'CosineDecay'"], GOOD, more=rate("CosinDecay")),
    "schedule without its steps": Case(
        "InvalidParameter",
        ["decay_steps of the LearningRate CosineDecay is missing"],
        GOOD,
        more=rate("CosineDecay", initial_learning_rate=0.1),
    ),
    "boundaries without values": Case(
        "InvalidParameter",
        ["one number more than boundaries, which has 2"],
        GOOD,
        more=rate("PiecewiseConstantDecay", boundaries=[5, 9], values=[0.1, 0.2]),
    ),
    "boundaries that fall": Case(
        "InvalidParameter",
        ["steps that ascend"],
        GOOD,
        more=rate("PiecewiseConstantDecay", boundaries=[9, 5], values=[0.1, 0.2, 0.3]),
    ),
    "half a warm-up": Case(
        "InvalidParameter",
        ["together with warmup_target"],
        GOOD,
        more=rate("CosineDecay", initial_learning_rate=0.1, decay_steps=5, warmup_steps=2),
    ),
    "unknown callback": Case(
        "InvalidParameter", ["did you mean 'EarlyStopping'"], GOOD, more={"callbacks": [{"type": "EarlyStoping"}]}
    ),
    "refused callback": Case(
        "InvalidParameter", ["callbacks[0].type", "report.json"], GOOD, more={"callbacks": [{"type": "TensorBoard"}]}
    ),
    "monitor of another task": Case(
        "InvalidParameter",
        ["monitor of the callback EarlyStopping", "val_mean_absolute_error"],
        [layer("a", "Dense", units=1)],
        task=REGRESSION,
        more=early(monitor="val_accuracy"),
    ),
    "negative patience": Case("InvalidParameter", ["patience", "is -1"], GOOD, more=early(patience=-1)),
    "no epochs": Case("InvalidParameter", ["epochs of candidate 'net' is 0"], GOOD, more={"parameters": {"epochs": 0}}),
    "batches of nothing": Case("InvalidParameter", ["batch_size"], GOOD, more={"parameters": {"batch_size": 0}}),
    "misspelt epochs": Case("UnknownParameter", ["did you mean 'epochs'"], GOOD, more={"parameters": {"epoch": 3}}),
    "a validation part of fit's": Case(
        "InvalidParameter",
        ["validation_split", "split.validation is"],
        GOOD,
        more={"parameters": {"validation_split": 0.1}},
    ),
    "class weights of a regression": Case(
        "InvalidParameter",
        ["class_weight", "for a Classification"],
        [layer("a", "Dense", units=1)],
        task=REGRESSION,
        more={"parameters": {"class_weight": {"a": 1}}},
    ),
    "a negative class weight": Case(
        "InvalidParameter", ["class_weight", "at least 0"], GOOD, more={"parameters": {"class_weight": {"a": -1}}}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_cannot_be_is_refused(name: str) -> None:
    is_refused(CASES[name])
