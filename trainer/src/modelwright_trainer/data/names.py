"""Names of files: in goes a path as the system has it, out comes a refusal where it is no text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_trainer.failure import Reason, RunError

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def refuse_no_text(path: PurePosixPath) -> None:
    """Refuse a name that is not UTF-8: it may become a label, and goes into reports."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "surrogateescape")
        message = f"a file has the name {shown!r:.200}, which is not UTF-8: rename it"
        raise RunError(Reason.UNREADABLE_DATA, message) from error
