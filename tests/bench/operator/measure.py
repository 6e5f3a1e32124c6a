"""Measure what the operator costs, on an API server that nobody else uses.

In: the kind, how many resources, the address of the API server by plain HTTP, its audit log of the operator's
requests, the operator's executable, a folder for its log and the figures, and an administrator's kubeconfig as JSON.
Out: a table in Markdown, each figure beside the one that is to be reached, and the same figures as JSON. Ends with 1
where one is missed.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from audit import Audit, Request
from floor import make_again
from manifests import NAMESPACE, deployment, model, version
from process import Operator

from api import Api

IDLE_SECONDS = 60
# No request for so long is the end of what a change caused: longer than the operator waits for what nobody announces.
QUIET_SECONDS = 20
LONGEST_SECONDS = 900
CHILD = {"Model": "jobs", "ModelDeployment": "replicasets"}


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def verdict(self) -> str:
        """How the figure stands to what is to be reached."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "**missed**"

    def line(self) -> str:
        """Render the figure as a row."""
        target = "" if self.target is None else f"≤ {self.target:g}"
        return f"| {self.name} | {self.value:.4g} {self.unit} | {target} | {self.verdict} |"


def settle(audit: Audit, operator: Operator) -> None:
    """Wait until the operator has asked for nothing for a while."""
    begun = time.monotonic()
    seen, since = -1, begun
    while time.monotonic() - since < QUIET_SECONDS:
        operator.check()
        if time.monotonic() - begun > LONGEST_SECONDS:
            sys.exit(f"the operator still sends requests after {LONGEST_SECONDS} s")
        count = len(audit.read())
        if count != seen:
            seen, since = count, time.monotonic()
        time.sleep(0.5)


def by_verb(requests: list[Request], count: int) -> str:
    """Render requests by verb and resource, a resource of ours each."""
    tally = Counter((request.verb, request.resource) for request in requests)
    rows = [f"| {verb} | {resource} | {sent / count:.3f} |" for (verb, resource), sent in sorted(tally.items())]
    return "\n".join(["| verb | of | per resource |", "| --- | --- | --- |", *rows])


def prepare(kind: str, count: int, api: Api, audit: Audit, operator: Operator) -> None:
    """Make what the measured resources need, before they are there."""
    if kind != "ModelDeployment":
        return
    # The hash of the common source is the operator's word, on the Job of a Model that no other step uses.
    api.create_all([model("probe")])
    settle(audit, operator)
    labels = api.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"][0]["metadata"]["annotations"]
    spec_hash = labels["modelwright.dev/spec-hash"]
    api.delete(f"/apis/modelwright.dev/v1alpha1/namespaces/{NAMESPACE}/models/probe")
    names = [f"m-{number:05}" for number in range(count)]
    api.create_all([version(name, spec_hash) for name in names])
    api.create_all([model(name) for name in names])
    settle(audit, operator)
    resolved = api.get(f"/apis/modelwright.dev/v1alpha1/namespaces/{NAMESPACE}/models")["items"]
    missing = [item["metadata"]["name"] for item in resolved if item.get("status", {}).get("currentVersion") != 1]
    if missing or len(resolved) != count:
        sys.exit(f"{len(resolved)} Models of {count}, of which {len(missing)} have not found their version")


def measure_creation(kind: str, count: int, api: Api, audit: Audit, operator: Operator) -> tuple[list[Figure], str]:
    """Create all at once, and count until the operator is quiet."""
    make = model if kind == "Model" else deployment
    audit.skip()
    processor = operator.processor_seconds()
    begun = time.time()
    api.create_all([make(f"m-{number:05}") for number in range(count)])
    created = time.time()
    settle(audit, operator)
    processor = operator.processor_seconds() - processor
    requests = audit.skip()
    children = [r for r in requests if r.resource == CHILD[kind] and r.verb in {"create", "patch"} and r.made]
    if len(children) < count:
        sys.exit(f"the operator made {len(children)} {CHILD[kind]} of {count}")
    writes = [request for request in requests if request.writes]
    # The targets are for 1000: time and work grow with the number.
    share = count / 1000
    figures = [
        Figure("all created after", created - begun, "s"),
        Figure("last pod made by the controller manager after", last_pod(api) - begun, "s"),
        Figure("last child made after", max(r.time for r in children) - begun, "s", 8 * share if share >= 1 else 8),
        Figure("last request after", max(r.time for r in requests) - begun, "s", 15 * share if share >= 1 else 15),
        Figure("requests a resource", len(requests) / count, "", 10),
        Figure("writes a resource", len(writes) / count, "", 8),
        # Before a first revision is made, its owner is asked for once: it may be gone.
        Figure("reads a resource", sum(r.reads for r in requests) / count, "", int(kind == "ModelDeployment")),
        Figure("refused or conflicting a resource", sum(r.failed for r in requests) / count, ""),
        Figure("operator's processor time", processor, "s", 4 * share),
        Figure("operator's memory, at most", operator.peak_megabytes(), "MB", 40),
        Figure("operator's memory now", operator.resident_megabytes(), "MB"),
    ]
    return figures, by_verb(requests, count)


def last_pod(api: Api) -> float:
    """Give when the controller manager made the last pod; before that, no status can be the last."""
    pods = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    return max(datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp() for pod in pods)


def measure_idleness(audit: Audit, operator: Operator) -> list[Figure]:
    """Let nothing happen."""
    audit.skip()
    processor = operator.processor_seconds()
    time.sleep(IDLE_SECONDS)
    requests = audit.skip()
    return [
        Figure(f"writes in {IDLE_SECONDS} idle seconds", sum(r.writes for r in requests), "", 0),
        Figure(f"reads in {IDLE_SECONDS} idle seconds", sum(r.reads for r in requests), "", 0),
        Figure(f"processor time in {IDLE_SECONDS} idle seconds", operator.processor_seconds() - processor, "s"),
    ]


def measure_restart(audit: Audit, operator: Operator) -> tuple[list[Figure], str]:
    """End the operator and start it with everything there."""
    operator.stop()
    audit.skip()
    begun = time.time()
    operator.start()
    settle(audit, operator)
    requests = audit.skip()
    lists = [request for request in requests if request.verb in {"list", "watch"}]
    others = [request for request in requests if request.verb not in {"list", "watch"}]
    figures = [
        Figure("restart: last list after", max(request.time for request in lists) - begun, "s", 3),
        Figure("restart: last request after", max(request.time for request in requests) - begun, "s", 3),
        Figure("restart: requests", len(requests), ""),
        Figure("restart: other than lists and watches", len(others), "", 0),
        Figure("restart: processor time", operator.processor_seconds(), "s"),
        Figure("restart: memory, at most", operator.peak_megabytes(), "MB", 40),
    ]
    return figures, by_verb(requests, 1)


def main() -> None:
    """Run the measurements of one kind."""
    kind, number, address, audit_log, executable, folder, kubeconfig = sys.argv[1:]
    count, place = int(number), Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    api, audit = Api(address), Audit(Path(audit_log))
    operator = Operator(executable, place / f"{kind}.log")
    operator.start()
    try:
        settle(audit, operator)
        prepare(kind, count, api, audit, operator)
        creation, verbs = measure_creation(kind, count, api, audit, operator)
        idleness = measure_idleness(audit, operator)
        restart, restart_verbs = measure_restart(audit, operator)
    finally:
        operator.stop()
    floor = []
    if kind == "ModelDeployment":
        took = make_again(api, Path(kubeconfig).read_text())
        floor = [Figure("the same children by curl alone", took, "s")]
    figures = [*creation, *floor, *idleness, *restart]
    table = "\n".join(["| figure | measured | to reach | |", "| --- | --- | --- | --- |", *(f.line() for f in figures)])
    print(f"## {count} of kind {kind}\n\n{table}\n\n{verbs}\n\nRestart, in all:\n\n{restart_verbs}\n", flush=True)
    result = {figure.name: figure.value for figure in figures}
    (place / f"{kind}-{count}.json").write_text(json.dumps(result, indent=1) + "\n")
    missed = [figure.name for figure in figures if "missed" in figure.verdict]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
