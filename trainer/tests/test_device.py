"""A device that was asked for is used, or the run ends and says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from modelwright_trainer.backends.keras.device import DEVICE_ENV, name_device, refuse_missing, refuse_unused
from modelwright_trainer.backends.keras.start import describe
from modelwright_trainer.failure import Reason, RunError


def tensorflow_with(peak: int | None) -> Any:
    """Return what TensorFlow says of a GPU of which so many bytes were used at most; without a number, of none."""
    gpus = [] if peak is None else ["gpu"]
    experimental = SimpleNamespace(
        get_device_details=lambda _gpu: {"device_name": "NVIDIA H100"}, get_memory_info=lambda _name: {"peak": peak}
    )
    return SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda _kind: gpus, experimental=experimental))


def test_a_gpu_of_which_no_memory_was_used_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_ENV, "nvidia.com/gpu")
    refuse_missing(tensorflow_with(0))
    with pytest.raises(RunError, match=r"asks for nvidia.com/gpu, .* none of the memory of NVIDIA H100") as caught:
        refuse_unused(tensorflow_with(0))
    assert caught.value.reason is Reason.DEVICE_UNUSED
    refuse_unused(tensorflow_with(4096))
    monkeypatch.delenv(DEVICE_ENV)
    refuse_unused(tensorflow_with(0))


def test_a_gpu_that_is_not_seen_ends_the_run_before_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_missing(tensorflow_with(None))
    monkeypatch.setenv(DEVICE_ENV, "nvidia.com/gpu")
    with pytest.raises(RunError, match=r"asks for nvidia.com/gpu, and TensorFlow sees none") as caught:
        refuse_missing(tensorflow_with(None))
    assert caught.value.reason is Reason.DEVICE_UNUSED


def test_a_report_names_the_device_as_its_driver_does() -> None:
    assert describe(tensorflow_with(4096), "mixed_float16") | {"threads": 0} == {
        "device": "NVIDIA H100",
        "threads": 0,
        "deterministicOperators": True,
        "precision": "mixed_float16",
    }
    assert name_device(tensorflow_with(None)) == "CPU"
