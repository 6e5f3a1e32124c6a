"""The variables of a version, which other trainings start from: one file, by `layer/variable`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.archive import read_archive
from modelwright_trainer.failure import Reason, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VARIABLES_FILE: Final = "variables.npz"


def read_variables(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the variables of a version."""
    try:
        return read_archive(folder / VARIABLES_FILE)
    except (OSError, ValueError) as error:
        message = (
            f"training.from: {VARIABLES_FILE} of the version cannot be read ({error}): it must be a version that a "
            "network was trained to, and none that was imported or made by an algorithm"
        )
        raise RunError(Reason.INVALID_NETWORK, message) from error
