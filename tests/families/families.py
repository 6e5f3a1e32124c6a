"""Train the examples of every family of models, have each proven, and say how good it is beside what is simpler.

Each example goes the way of a run: the operator's own code makes `run.json` of the manifest, the trainer trains, and
`modelwright-jobs prove` measures the exported model on rows that it has not seen and holds it against the gates.
All are trained in this one process, so TensorFlow is imported once.

In: the names of examples, or nothing for all; in the environment MODELWRIGHT_JOBS and MODELWRIGHT_RUNS, the
programs, and MODELWRIGHT_DATA, folders with data sets. Out: a line for each example, `ok` or `FAILED`; with
`--page FILE` the page that has them as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import baselines
from modelwright_trainer.config import parse_run
from modelwright_trainer.failure import RunError
from modelwright_trainer.progress import Progress
from modelwright_trainer.run import run_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOP: Final = Path(__file__).parents[2]
VOWEL_SEEDS: Final = (1, 2, 3, 4, 5)
PAGE: Final = """# Families of models

Each family that can be trained, by an [example](../examples) on real data ([which](data.md)): the metric is what
`prove` measured of the exported model on rows that were never trained on, the gate is the example's. `make families`
trains them and writes this page; it did so last on {date}, on an {processor}. Another kind of processor rounds
otherwise, and ends some thousandths away.

| family | example | metric | reached | gate | what is simpler, on the same rows |
| --- | --- | --- | --- | --- | --- |
{rows}

What is simpler and as good or better stands in bold: then take that.

The two Transformers over word order are the same network, one of them without its layer of positions: all sentences of
that task have the same words, so only their order tells, and what does not see it guesses.
"""


@dataclass(frozen=True)
class Example:
    """One example, and what it is held against."""

    manifest: str
    family: str
    data: str
    """The file of its data."""
    test: str = ""
    """The file of a test set of its own."""
    seeds: tuple[int, ...] = ()
    """With several, it is trained with each, and the median counts; the gate holds for each."""
    beside: Callable[[baselines.Parts], dict[str, float]] | None = None
    """What is simpler, and how good that is on the same rows."""
    better: bool = False
    """Whether it must be better than all of these. Where simple models win, the page says so."""


EXAMPLES: Final = (
    Example("training/diabetes.yaml", "linear regression", "diabetes.parquet"),
    Example("training/wine.yaml", "logistic regression, SVM", "wine.csv"),
    Example("training/tree.yaml", "decision tree", "iris.csv"),
    Example("training/digits.yaml", "random forest, MLP of scikit-learn", "digits.npz"),
    Example("mnist-keras/model.yaml", "MLP", "mnist.npz", beside=baselines.images, better=True),
    Example("networks/mnist-cnn.yaml", "CNN", "mnist.npz", beside=baselines.images, better=True),
    *(
        Example(
            f"networks/vowels-{name.lower()}.yaml",
            name,
            "japanese-vowels.npz",
            "japanese-vowels-test.npz",
            VOWEL_SEEDS,
            beside=baselines.sequences,
        )
        for name in ("LSTM", "GRU", "Transformer")
    ),
    Example("networks/word-order.yaml", "Transformer", "word-order.csv", beside=baselines.text, better=True),
    Example(
        "networks/word-order-without.yaml", "Transformer without positions", "word-order.csv", beside=baselines.text
    ),
    Example("networks/sunspots.yaml", "LSTM", "sunspots.csv", beside=baselines.series),
    Example("networks/snippets.yaml", "bidirectional LSTM", "snippets.csv", beside=baselines.text),
)
"""By the name of the manifest's file, or of its folder."""


@dataclass
class Result:
    """How an example did."""

    example: Example
    run: dict[str, Any]
    metric: str = ""
    gate: str = ""
    values: list[float] = field(default_factory=list)
    beside: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def value(self) -> float:
        """The metric, on rows that were not seen: the median of the seeds."""
        return statistics.median(self.values)

    @property
    def wins(self) -> bool:
        """Whether it is better than all that is simpler."""
        return not any(map(self.is_beaten_by, self.beside.values()))

    def is_beaten_by(self, value: float) -> bool:
        """Whether another one's value is as good or better."""
        return value <= self.value if self.metric.endswith("Error") else value >= self.value


class RefusedError(Exception):
    """The trainer or `prove` ended the run."""


def name_of(example: Example) -> str:
    """Return what an example is called."""
    path = Path(example.manifest)
    return path.parent.name if path.stem == "model" else path.stem


def told_by_operator(examples: Iterable[Example]) -> list[dict[str, Any]]:
    """Return what the operator's code makes of the manifests."""
    manifests = [TOP / "examples" / example.manifest for example in examples]
    done = subprocess.run([os.environ["MODELWRIGHT_RUNS"], *manifests], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def find_data(name: str) -> Path:
    """Return where a data set is."""
    for folder in os.environ["MODELWRIGHT_DATA"].split(":"):
        if (path := Path(folder) / name).exists():
            return path
    message = f"there is no {name} in {os.environ['MODELWRIGHT_DATA']}"
    raise SystemExit(message)


def train(example: Example, told: dict[str, Any], work: Path) -> None:
    """Train it as the `train` container does."""
    run = told["run"]
    for folder, file, place in (("data", example.data, run["data"]), ("test", example.test, run["data"].get("test"))):
        if file:
            (work / folder).mkdir()
            (work / folder / file).symlink_to(find_data(file))
            place["directory"] = str(work / folder)
    run["output"] = str(work / "out")
    try:
        run_training(parse_run(json.dumps(run)), Progress())
    except RunError as error:
        message = f"train: {error.reason}: {error.message}"
        raise RefusedError(message) from error


def prove(told: dict[str, Any], work: Path) -> dict[str, float]:
    """Have it measured and judged as the `prove` container does; return its metrics."""
    config = {
        "directory": str(work / "out"),
        "proof": str(work / "proof"),
        "goldenSamples": 8,
        "goldenSeed": 7,
        "deadlineSeconds": 600,
    }
    config |= {key: told[key] for key in ("judgement", "variants") if key in told}
    log = work / "termination"
    done = subprocess.run(
        [os.environ["MODELWRIGHT_JOBS"], "prove", "--termination-log", log],
        env=os.environ | {"MODELWRIGHT_PROVE": json.dumps(config)},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = log.read_text() if log.exists() else done.stderr[-2000:]
        message = f"prove: {said}"
        raise RefusedError(message)
    description = work / "proof/files/modelwright/description.json"
    metrics: dict[str, float] = json.loads(description.read_text()).get("metrics", {})
    return metrics


def begin(example: Example, told: dict[str, Any]) -> Result:
    """Return what it is measured by, before it was."""
    gate: dict[str, Any] = next(iter(told["judgement"]["gates"]), {})
    result = Result(example, told["run"], gate.get("metric", told["run"]["selection"]["metric"]))
    result.gate = " ".join(f"{sign} {gate[bound]}" for bound, sign in (("min", "≥"), ("max", "≤")) if bound in gate)
    return result


def try_example(example: Example, told: dict[str, Any], seeds: int | None = None) -> Result:
    """Train it with each of its seeds, have it proven, and hold it against what is simpler."""
    run = told["run"]
    result = begin(example, told)
    for seed in (example.seeds or (run["split"]["seed"],))[:seeds]:
        run["split"]["seed"] = seed
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            try:
                train(example, told, work)
                result.values.append(float(prove(told, work)[result.metric]))
            except RefusedError as refused:
                result.problem = f"seed {seed}: {refused}"
                return result
            if example.beside and not result.beside:
                result.beside = example.beside(baselines.Parts(run))
    result.problem = compare(result)
    return result


def compare(result: Result) -> str:
    """Return what is wrong beside what is simpler."""
    if result.example.better and not result.wins:
        best = ", ".join(f"{name} {value:.3f}" for name, value in result.beside.items())
        return f"{result.metric} is {result.value:.3f}, and no better than {best}"
    return ""


def show(result: Result, seconds: float) -> None:
    """Print a line."""
    word = "FAILED" if result.problem else "ok"
    values = f"{result.metric} {result.value:.3f}" if result.values else ""
    if len(result.values) > 1:
        values += f" (median of {', '.join(f'{value:.3f}' for value in result.values)})"
    beside = "; ".join(f"{name} {value:.3f}" for name, value in result.beside.items())
    words = (
        f"{name_of(result.example)}:",
        values,
        result.gate,
        f"beside {beside}" if beside else "",
        f"{seconds:.0f} s",
        result.problem,
    )
    print(f"{word:7} {' '.join(filter(None, words))}", flush=True)


def page(results: list[Result]) -> str:
    """Write them as a page."""
    rows = []
    for result in results:
        words = [(f"{name} {value:.3f}", result.is_beaten_by(value)) for name, value in result.beside.items()]
        beside = ", ".join(f"**{word}**" if better else word for word, better in words)
        value = f"{result.value:.3f}"
        if len(result.values) > 1:
            value += f" (median of {len(result.values)} seeds, {min(result.values):.3f} to {max(result.values):.3f})"
        link = f"[{name_of(result.example)}](../examples/{result.example.manifest})"
        cells = (result.example.family, link, result.metric, value, result.gate, beside)
        rows.append(f"| {' | '.join(cells)} |")
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    processor = next(
        (line.partition(": ")[2] for line in told.splitlines() if line.startswith("model name")), "unknown"
    )
    return PAGE.format(rows="\n".join(rows), date=f"{datetime.now(UTC):%Y-%m-%d}", processor=processor)


def main() -> int:
    """Try examples."""
    parser = argparse.ArgumentParser(description="Trains the examples of families of models, and has them proven.")
    parser.add_argument("--page", type=Path, help="where to write the table")
    parser.add_argument("names", nargs="*", help="examples; default: all")
    arguments = parser.parse_args()
    names = {name_of(example): example for example in EXAMPLES}
    if unknown := [name for name in arguments.names if name not in names]:
        parser.error(f"there is no example {', '.join(unknown)}; there are {', '.join(names)}")
    examples = [names[name] for name in arguments.names] or list(EXAMPLES)
    results = []
    for example, told in zip(examples, told_by_operator(examples), strict=True):
        started = time.monotonic()
        results.append(try_example(example, told))
        show(results[-1], time.monotonic() - started)
    if arguments.page and not any(result.problem for result in results):
        arguments.page.write_text(page(results))
    return int(any(result.problem for result in results))


if __name__ == "__main__":
    sys.exit(main())
