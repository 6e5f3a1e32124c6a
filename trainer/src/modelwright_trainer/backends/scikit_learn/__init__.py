"""scikit-learn: every algorithm of the run that is not a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .algorithms import build_estimator
from .estimator import ScikitLearnEstimator

if TYPE_CHECKING:
    from modelwright_trainer.config import Candidate, Run


class ScikitLearn:
    """The library."""

    name = "scikit_learn"
    packages = ("scikit-learn", "scipy")

    def build(self, candidate: Candidate, path: str, run: Run, processors: int) -> ScikitLearnEstimator:
        """Return an estimator, or refuse its name or parameters."""
        return ScikitLearnEstimator(build_estimator(candidate, path, run, processors), candidate, path)


BACKEND: Final = ScikitLearn()
