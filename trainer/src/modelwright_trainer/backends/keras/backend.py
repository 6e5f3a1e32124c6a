"""What the library finds: names, parameters and ranks are refused here, before data is read and with nothing loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parse import check_network, expect_input, parse_network

if TYPE_CHECKING:
    from modelwright_trainer.backends import Estimator
    from modelwright_trainer.config import Candidate, Run


class NetworkBackend:
    """Keras on TensorFlow."""

    name = "keras"
    packages = ("keras", "tensorflow-cpu")

    def build(self, candidate: Candidate, path: str, run: Run, processors: int) -> Estimator:
        """Refuse names, parameters and ranks."""
        del processors  # Threads are pinned, or other containers would give other bytes.
        network = parse_network(candidate, path, run.task)
        check_network(network, expect_input(run.data), run.task)
        # The table of layers is written by a Python without NumPy, too.
        from .estimator import NetworkEstimator  # noqa: PLC0415

        return NetworkEstimator(network, run)
