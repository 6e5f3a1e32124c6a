"""The device that a training asked for: in goes TensorFlow, out comes its name, or that nothing of it was used."""

from __future__ import annotations

import os
from typing import Any, Final

from modelwright_trainer.failure import Reason, RunError

DEVICE_ENV: Final = "MODELWRIGHT_DEVICE"
"""What the container was given beside processors, such as `nvidia.com/gpu`; absent where nothing was asked for."""


def name_device(tf: Any) -> str:
    """Return what computes, by the name that its driver has for it."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def refuse_missing(tf: Any) -> None:
    """Refuse to train on processors beside a device that was asked for."""
    asked = os.environ.get(DEVICE_ENV)
    if asked and not tf.config.list_physical_devices("GPU"):
        message = (
            f"spec.training.resources.limits asks for {asked}, and TensorFlow sees none: the image needs CUDA, and the "
            "node NVIDIA's driver and container toolkit; mend the node, or remove the device to train on processors"
        )
        raise RunError(Reason.DEVICE_UNUSED, message)


def refuse_unused(tf: Any) -> None:
    """Refuse a training that left the device idle: somebody else would have used it, and nobody would see that."""
    asked = os.environ.get(DEVICE_ENV)
    if asked and not tf.config.experimental.get_memory_info("GPU:0")["peak"]:
        message = (
            f"spec.training.resources.limits asks for {asked}, and the training used none of the memory of "
            f"{name_device(tf)}: it was trained on processors; remove the device, or mend the node"
        )
        raise RunError(Reason.DEVICE_UNUSED, message)
