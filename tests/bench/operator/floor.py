"""How long the API server takes for the children alone: copies of them, made by curl, which does nothing else.

No operator can make them sooner. In go the address of the API server by plain HTTP, to read from, and a kubeconfig's
server and certificates, to write with; out comes a time.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import NAMESPACE

if TYPE_CHECKING:
    from api import Api

FLOOR_NAMESPACE = "floor"
# As many as the operator writes for at the same time.
CONNECTIONS = 16
LABEL = "modelwright.dev/deployment"
# In the order in which the operator makes them.
COLLECTIONS = {
    "services": "/api/v1",
    "controllerrevisions": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
}

Manifest = dict[str, Any]


def make_again(api: Api, kubeconfig: str) -> float:
    """Make a copy of every child in a namespace of its own, and give the seconds that it took."""
    children = [(plural, copy) for plural in COLLECTIONS for copy in copies(api, plural)]
    # One ModelDeployment after the other.
    children.sort(key=lambda child: child[1]["metadata"]["labels"][LABEL])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, flags = credentials(kubeconfig, folder)
        requests = []
        for number, (plural, copy) in enumerate(children):
            body = folder / f"{number}.json"
            body.write_text(json.dumps(copy))
            url = f"{server}{COLLECTIONS[plural]}/namespaces/{FLOOR_NAMESPACE}/{plural}"
            requests.append("\n".join([*flags, f'url = "{url}"', f'data-binary = "@{body}"', *ANSWER]))
        config = folder / "requests"
        config.write_text("\nnext\n".join(requests) + "\n")
        begun = time.monotonic()
        codes = subprocess.run(  # noqa: S603
            ["curl", "--parallel", "--parallel-max", str(CONNECTIONS), "--no-progress-meter", "--config", str(config)],  # noqa: S607
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout.split()
        took = time.monotonic() - begun
    if codes != ["201"] * len(children):
        sys.exit(f"of {len(children)} copies, {codes.count('201')} were made")
    return took


ANSWER = [
    'header = "content-type: application/json"',
    'output = "/dev/null"',
    'write-out = "%{http_code}\\n"',
]


def copies(api: Api, plural: str) -> list[Manifest]:
    """Give what the operator made of a kind, as it was sent."""
    found = api.get(f"{COLLECTIONS[plural]}/namespaces/{NAMESPACE}/{plural}?labelSelector={LABEL}")
    made = []
    for item in found["items"]:
        metadata = {key: item["metadata"].get(key, {}) for key in ("name", "labels", "annotations")}
        copy = {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}
        for given in ("clusterIP", "clusterIPs"):
            copy.get("spec", {}).pop(given, None)
        made.append(copy)
    return made


def credentials(kubeconfig: str, folder: Path) -> tuple[str, list[str]]:
    """Write the certificates of a kubeconfig of one cluster and user to files, and give the server and curl's flags."""
    config = json.loads(kubeconfig)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    flags = []
    for flag, data in {
        "cacert": cluster["certificate-authority-data"],
        "cert": user["client-certificate-data"],
        "key": user["client-key-data"],
    }.items():
        file = folder / flag
        file.write_bytes(base64.b64decode(data))
        flags.append(f'{flag} = "{file}"')
    return cluster["server"], flags
