"""The resources that are measured: as small as users write them, all of one source."""

from __future__ import annotations

from typing import Any

NAMESPACE = "bench"
API_VERSION = "modelwright.dev/v1alpha1"
DIGEST = "0123456789abcdef" * 4

Manifest = dict[str, Any]


def model(name: str) -> Manifest:
    """Give a Model that imports."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"source": {"uri": "https://models.example/digits.onnx", "sha256": DIGEST}},
    }


def version(name: str, spec_hash: str) -> Manifest:
    """Give version 1 of the Model of that name, as a backup brings it back."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {
            "name": f"{name}-v1",
            "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/managed-by": "modelwright",
                "modelwright.dev/model": name,
                "modelwright.dev/version": "1",
            },
            "annotations": {"modelwright.dev/applied-hash": f"v1-{DIGEST}"},
        },
        "spec": {
            "model": name,
            "version": 1,
            "specHash": spec_hash,
            "modelDigest": DIGEST,
            "artifact": {
                "uri": f"oci://store.example:5000/models/bench/{name}@sha256:{DIGEST}",
                "sha256": DIGEST,
                "sizeBytes": 1_000_000,
                "opset": 17,
            },
            "signature": {
                "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 784]}],
                "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
            },
            "goldenSamples": {"count": 16, "tolerance": "0.001", "source": "Synthetic"},
            "provenance": {
                "dataSha256": DIGEST,
                "images": {"runtime": "r:1"},
                "job": f"{name}-run",
                "startedAt": "2026-11-25T00:00:00Z",
                "finishedAt": "2026-11-25T00:00:10Z",
            },
        },
    }


def deployment(name: str) -> Manifest:
    """Give a ModelDeployment that follows the Model of its name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": name, "replicas": 1},
    }
