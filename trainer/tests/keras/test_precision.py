"""Mixed precision: layers compute in 16 bits while they are trained, and what is exported is their weights of 32."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from modelwright_trainer.config import Metric, Task
from modelwright_trainer.failure import Reason, RunError
from networks import layer, network, softmax
from test_loop import CLASSES, FAMILIES, ROWS, SEED, Family, as_array, make_loop, rows_of

if TYPE_CHECKING:
    from conftest import Bench

POLICIES = {"mixed_bfloat16": ("bfloat16", 0.02), "mixed_float16": ("float16", 0.003)}
"""What layers compute in, and how far an answer in it may be from one in FP32: some of its own steps near 1."""
MIXED = {
    "mixed_bfloat16": ("MLP", "CNN", "LSTM", "GRU", "Transformer", "text"),
    "mixed_float16": ("CNN", "Bidirectional", "Transformer"),
}


@pytest.mark.parametrize(("policy", "name"), [(policy, name) for policy, names in MIXED.items() for name in names])
def test_a_family_is_trained_in_16_bits_with_weights_of_32(tensorflow: Any, policy: str, name: str) -> None:
    assert tensorflow
    kind, near = POLICIES[policy]
    family = FAMILIES[name]
    rows = rows_of(family, ROWS, 1)
    loop = make_loop(family, dtype_policy=policy)
    kinds = {made.compute_dtype for made in loop.model.made if made is not None}
    assert kinds == {kind, "float32"}, "the last layer alone computes in FP32"
    assert {variable.dtype for variable in loop.trainable} == {"float32"}
    first = [as_array(one) for one in loop.trainable]
    loop.fit(rows, rows, [])
    moved = [np.abs(as_array(one) - before).max() for one, before in zip(loop.trainable, first, strict=True)]
    assert np.median(moved) > 1e-4, moved
    asked = {
        key: values.astype(np.float32) if values.dtype == np.uint8 else values for key, values in rows.inputs.items()
    }
    mixed = loop.model({key: tensorflow.constant(values) for key, values in asked.items()}, training=False).numpy()
    answers = loop.answer(rows.inputs, 16)
    assert 0 < np.abs(answers - mixed).max() < near


def test_a_scale_of_the_loss_that_is_too_large_costs_steps_and_not_the_training(tensorflow: Any) -> None:
    from modelwright_trainer.backends.keras.loop import Rows  # noqa: PLC0415 - it loads TensorFlow

    assert tensorflow
    layers = [layer("a", "Dense", units=16, activation="relu"), layer("out", "Dense", units=1)]
    family = Family(layers, FAMILIES["MLP"].source, Task.REGRESSION, classes=0)
    loop = make_loop(family, dtype_policy="mixed_float16", epochs=30)
    given = rows_of(FAMILIES["MLP"], ROWS, 1).inputs
    # Gradients of such errors, times 32,768, are no numbers of FP16.
    rows = Rows(given, given["input"].sum(axis=1) * 100)
    loop.fit(rows, rows, [])
    scale, steps = float(loop.optimizer.dynamic_scale.numpy()), int(loop.optimizer.iterations.numpy())
    assert scale < 2.0**15
    assert 0 < steps < loop.position.epoch * 5, "steps were left out"
    losses = [point["loss"] for point in loop.position.history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_numbers_that_fp16_does_not_have_end_a_training_with_what_to_do(tensorflow: Any) -> None:
    from modelwright_trainer.backends.keras.loop import Rows  # noqa: PLC0415 - it loads TensorFlow

    assert tensorflow
    given = rows_of(FAMILIES["MLP"], ROWS, 1)
    rows = Rows({"input": given.inputs["input"] * 1e6}, given.truth)
    with pytest.raises(RunError, match=r"the loss became nan.*dtype_policy: mixed_bfloat16") as caught:
        make_loop(FAMILIES["MLP"], dtype_policy="mixed_float16").fit(rows, rows, [])
    assert caught.value.reason is Reason.NOT_FINITE
    loop = make_loop(FAMILIES["MLP"], dtype_policy="mixed_bfloat16")
    loop.fit(rows, rows, [])
    assert loop.position.epoch > 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_exports_a_graph_of_fp32_that_says_what_the_weights_say(
    tensorflow: Any, bench: Bench, policy: str
) -> None:
    assert tensorflow
    bench.write_bundled("digits")
    layers = [layer("a", "Dense", units=32, activation="relu"), layer("b", "BatchNormalization"), softmax(10)]
    parameters = {"epochs": 12, "batch_size": 32, "dtype_policy": policy}
    bench.run["candidates"] = [{"name": "net", "layers": layers, "parameters": parameters}]
    outcome = bench.train()
    assert outcome.metrics[Metric.ACCURACY] > 0.9
    report = json.loads((bench.out / "report.json").read_text())
    assert report["candidates"][0]["provenance"]["precision"] == policy
    model = onnx.load(bench.out / "model.onnx")
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds
    assert not kinds & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    evaluation = bench.evaluation()
    session = onnxruntime.InferenceSession(bench.out / "model.onnx", providers=["CPUExecutionProvider"])
    asked = {name[7:]: values for name, values in evaluation.items() if name.startswith("inputs/")}
    (found,) = session.run(["probabilities"], asked)
    assert np.abs(found - evaluation["outputs/probabilities"]).max() < 1e-5


def test_a_training_in_16_bits_is_gone_on_with_where_it_was(tensorflow: Any, tmp_path: Any) -> None:
    from modelwright_trainer.backends.keras.checkpoint import Checkpoint, digest_of  # noqa: PLC0415

    assert tensorflow
    rows = rows_of(FAMILIES["MLP"], ROWS, 1)
    whole = make_loop(FAMILIES["MLP"], dtype_policy="mixed_float16", epochs=4)
    whole.fit(rows, rows, [])

    class Killed(Exception):  # noqa: N818
        pass

    class Kill:
        def on_step(self, loop: Any) -> None:
            if loop.position.epoch == 2 and loop.position.step == 2:
                raise Killed

        def on_epoch(self, loop: Any) -> None:
            pass

    digest = digest_of(whole.network, SEED, (rows, rows), range(CLASSES))
    assert digest != digest_of(make_loop(FAMILIES["MLP"], epochs=4).network, SEED, (rows, rows), range(CLASSES))
    begun = make_loop(FAMILIES["MLP"], dtype_policy="mixed_float16", epochs=4)
    with pytest.raises(Killed):
        begun.fit(rows, rows, [], [Checkpoint(tmp_path, digest, [], seconds=0), Kill()])
    again = make_loop(FAMILIES["MLP"], dtype_policy="mixed_float16", epochs=4)
    checkpoint = Checkpoint(tmp_path, digest, [])
    assert checkpoint.restore(again)
    assert (again.position.epoch, again.position.step) == (2, 2)
    again.fit(rows, rows, [])
    for ours, theirs in zip(again.model.weights, whole.model.weights, strict=True):
        assert as_array(ours).tobytes() == as_array(theirs).tobytes(), ours.path


def test_another_policy_is_refused_by_the_nearest() -> None:
    with pytest.raises(RunError, match="dtype_policy") as caught:
        network([softmax(3)], parameters={"dtype_policy": "mixed_float32"})
    assert "mixed_bfloat16" in caught.value.message
