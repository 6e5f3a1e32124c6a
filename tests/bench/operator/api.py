"""The API server as an administrator's tool sees it, by plain HTTP on loopback."""

from __future__ import annotations

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

CONNECTIONS = 8
TIMEOUT_SECONDS = 60

Manifest = dict[str, Any]


class Api:
    """Creates, reads and deletes."""

    def __init__(self, address: str) -> None:
        """Speak to `host:port`."""
        self.address = address

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> Manifest:
        """Read what is at a path."""
        return send(self._connection(), "GET", path)

    def delete(self, path: str) -> None:
        """Delete what is at a path."""
        send(self._connection(), "DELETE", path)

    def create_all(self, manifests: list[Manifest]) -> None:
        """Create all, as fast as the API server takes them."""

        def create_some(some: list[Manifest]) -> None:
            connection = self._connection()
            for manifest in some:
                send(connection, "POST", collection(manifest), manifest)

        shares = [manifests[first::CONNECTIONS] for first in range(CONNECTIONS)]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for done in [pool.submit(create_some, share) for share in shares]:
                done.result()


def collection(manifest: Manifest) -> str:
    """Give the path of the collection that a manifest of ours belongs to."""
    plural = f"{manifest['kind'].lower()}s"
    namespace = quote(manifest["metadata"]["namespace"])
    return f"/apis/{manifest['apiVersion']}/namespaces/{namespace}/{plural}"


def send(connection: http.client.HTTPConnection, method: str, path: str, body: Manifest | None = None) -> Manifest:
    """Send one request; what is refused ends the measurement."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"content-type": "application/json"})
    response = connection.getresponse()
    answer: Manifest = json.loads(response.read())
    if response.status >= http.client.BAD_REQUEST:
        sys.exit(f"{method} {path}: HTTP {response.status}: {answer.get('message')}")
    return answer
