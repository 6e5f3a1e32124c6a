"""Take features out of the code, one at a time, and see the test fail that is there for each.

In: the table `mutants.toml`, and what the runtime's and the trainer's tests need, as `tests/run` provides it. Arguments
select mutants by a part of their line or feature. Out: a line for each, and success only if all were noticed by their
tests. What is changed is a copy of the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
COPY = TOP / "target" / "mutants"
# Which tests of the trainer are run, and by which pytest; those of networks load TensorFlow.
TRAINER = {
    "modelwright-trainer": ("TRAINER_PYTEST", "trainer/tests"),
    "modelwright-trainer-keras": ("KERAS_PYTEST", "trainer/tests/keras"),
}
# What pytest ends with when tests were run and some failed.
PYTEST_FAILED = 1


def copy_checkout() -> None:
    """Copy what git tracks, as it is now."""
    COPY.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True).stdout
    present = b"\0".join(name for name in tracked.split(b"\0") if name and (TOP / name.decode()).exists())
    archive = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(archive, cwd=TOP, check=True, input=present, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract", "--touch"], cwd=COPY, check=True, input=packed)


def run_test(mutant: dict[str, Any]) -> tuple[bool, str]:
    """Run the test of a mutant; give whether it failed as a test does, and the last lines of what it said."""
    if mutant["package"] in TRAINER:
        pytest, tests = TRAINER[mutant["package"]]
        command = [os.environ[pytest], "-q", "-p", "no:cacheprovider", tests, "-k", mutant["test"]]
        environment = os.environ | {"PYTHONPATH": "trainer/src"}
        ended = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, check=False)
        return ended.returncode == PYTEST_FAILED, "\n".join(ended.stdout.splitlines()[-12:])
    # A copy of its own builds in a folder of its own. Some tests of the jobs serve what they have made.
    if mutant["package"] == "modelwright-jobs":
        build = ["cargo", "build", "--locked", "--quiet", "--package", "modelwright-serve"]
        subprocess.run(build, cwd=COPY, check=True)
    command = ["cargo", "test", "--locked", "--quiet", "--package", mutant["package"], "--", mutant["test"]]
    ended = subprocess.run(command, cwd=COPY, capture_output=True, text=True, check=False)
    said = ended.stdout + ended.stderr
    failed = any("test result: FAILED" in line for line in said.splitlines())
    return failed, "\n".join(said.splitlines()[-12:])


def stale(mutant: dict[str, Any], top: Path) -> str | None:
    """Give what is wrong where the code that a mutant changes is not there, or more than once."""
    places = (top / mutant["file"]).read_text().count(mutant["find"])
    return None if places == 1 else f"{mutant['file']} has {places} places like {mutant['find']!r}, and 1 was expected"


def judge(mutant: dict[str, Any]) -> str | None:
    """Try one mutant; give what is wrong, if anything is."""
    if wrong := stale(mutant, COPY):
        return wrong
    file = COPY / mutant["file"]
    code = file.read_text()
    file.write_text(code.replace(mutant["find"], mutant["with"]))
    try:
        failed, said = run_test(mutant)
    finally:
        file.write_text(code)
    return None if failed else f"{mutant['test']} did not fail:\n{said}"


def main() -> int:
    """Try every mutant that is asked for; with `--check`, see only that the code of each is there."""
    mutants = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())["mutant"]
    if sys.argv[1:] == ["--check"]:
        wrongs = [wrong for mutant in mutants if (wrong := stale(mutant, TOP))]
        print("\n".join(wrongs), end="\n" if wrongs else "")
        return 1 if wrongs else 0
    asked = [
        mutant
        for mutant in mutants
        if len(sys.argv) == 1 or any(part in f"{mutant['line']} {mutant['feature']}" for part in sys.argv[1:])
    ]
    copy_checkout()
    survivors = 0
    for mutant in asked:
        started = time.monotonic()
        wrong = judge(mutant)
        survivors += wrong is not None
        verdict = "noticed " if wrong is None else "SURVIVED"
        took = time.monotonic() - started
        print(f"{verdict} {mutant['line']:3} {took:4.0f} s  {mutant['feature']}: {mutant['test']}", flush=True)
        if wrong is not None:
            print(wrong, flush=True)
    print(f"{len(asked) - survivors} of {len(asked)} were noticed")
    return 1 if survivors or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
