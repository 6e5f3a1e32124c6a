"""A cluster that has only what the chart's templates look up.

It shows what the chart says where a StorageClass is missing, or where another release is there. In: the objects as a
JSON list, then Helm's command. Out: what Helm says, with its exit status.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Group and version, kind, plural, and whether it is in a namespace: what the chart makes or looks up.
KINDS = [
    ("v1", "Namespace", "namespaces", False),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True),
    ("v1", "Service", "services", True),
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Secret", "secrets", True),
    ("apps/v1", "Deployment", "deployments", True),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", False),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", True),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False),
]


def root(version: str) -> str:
    """Give the path of a group and version."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def answer(path: str, objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Give what is at a path."""
    versions = sorted({version for version, *_ in KINDS})
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        named = [version for version in versions if "/" in version]
        groups = [(version.split("/")[0], {"groupVersion": version, "version": "v1"}) for version in named]
        listed = [{"name": name, "versions": [one], "preferredVersion": one} for name, one in groups]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    for version in versions:
        if path == root(version):
            of_version = [kind for kind in KINDS if kind[0] == version]
            resources = [
                {"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "list"]}
                for _, kind, plural, namespaced in of_version
            ]
            return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    return look_up(path, objects)


def look_up(path: str, objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Give an object, or a list of them."""
    for version, kind, plural, namespaced in KINDS:
        rest = path.removeprefix(root(version) + "/")
        if rest == path:
            continue
        parts = rest.split("/")
        namespace = parts[1] if namespaced and parts[0] == "namespaces" and parts[2:] else None
        parts = parts[2:] if namespace else parts
        if parts[0] != plural or parts[2:]:
            continue
        of_kind = [item for item in objects if item["kind"] == kind]
        found = [item for item in of_kind if namespace in (None, item["metadata"].get("namespace"))]
        if len(parts) == 1:
            return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": found}
        return next((item for item in found if item["metadata"]["name"] == parts[1]), None)
    return None


def main() -> int:
    """Serve the objects while Helm runs."""
    objects = json.loads(sys.argv[1])

    class Handler(BaseHTTPRequestHandler):
        """Answers reads alone."""

        def do_GET(self) -> None:
            """Answer with an object, or that there is none."""
            found = answer(self.path.split("?")[0], objects)
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            content = json.dumps(found or missing).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    helm = [*sys.argv[2:], "--kube-apiserver", f"http://127.0.0.1:{server.server_port}"]
    return subprocess.run(helm, check=False, stderr=subprocess.STDOUT).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
