"""Turn a cluster's own OpenAPI document into the JSON schemas that kubeconform reads.

In: `kubectl get --raw /openapi/v2` on standard input, and a folder to fill. Out: one schema for each kind, which
refers to one file of definitions. The types of a cluster are its own, custom resources among them, so nothing is
taken from the network and nothing of another version is compared with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DEFINITIONS = "_definitions.json"
# Types that JSON writes in more ways than OpenAPI v2 can say.
LOOSE: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse properties that an object does not list."""
    made = dict(schema)
    if made.get("x-kubernetes-int-or-string"):
        made["type"] = ["string", "integer"]
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = strict(made[key])
    if "properties" in made:
        made["properties"] = {name: strict(value) for name, value in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


def file_name(group: str, version: str, kind: str) -> str:
    """Give the name that kubeconform asks for: kind-group-version, the group without its domain."""
    parts = [kind.lower(), *([group.split(".", maxsplit=1)[0]] if group else []), version]
    return "-".join(parts) + ".json"


def main() -> None:
    """Read the document, write the schemas."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    definitions: dict[str, Any] = json.load(sys.stdin)["definitions"]
    made = {name: LOOSE.get(name) or strict(schema) for name, schema in definitions.items()}
    (folder / DEFINITIONS).write_text(json.dumps({"definitions": made}))
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            reference = {"$ref": f"{DEFINITIONS}#/definitions/{name}"}
            (folder / file_name(kind["group"], kind["version"], kind["kind"])).write_text(json.dumps(reference))


if __name__ == "__main__":
    main()
