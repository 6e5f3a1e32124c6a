"""What is measured: which servers, with which models, over which protocols and how many connections."""

from __future__ import annotations

from dataclasses import dataclass

from rounds import Cell

OURS, RAW, ECHO, PARSE = "Modelwright", "ONNX Runtime by itself", "echo", "serde"
# Ours, where its instructions over gRPC stand beside those over binary.
OVER_GRPC = "Modelwright, gRPC"
# Those whose transport is no Python; the slowest of them sets the rates at which latencies are compared.
NATIVE = ("Triton", "mosec")
PYTHON = ("MLServer", "KServe")
PEERS = (*NATIVE, *PYTHON)
CONNECTIONS = 16
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Group:
    """Servers of one model that are measured in the same rounds."""

    workload: str
    title: str
    protocols: tuple[str, ...]
    servers: tuple[str, ...]
    # Beside 16, for the native servers and the first protocol.
    other_connections: tuple[int, ...] = ()
    has_rates: bool = False
    # How long servers take to start, and their memory then.
    shows_start: bool = False
    # So many times as long as others, where a request takes long.
    stretch: int = 1
    # ONNX Runtime by itself on all cores, as servers use them, and not on one.
    on_all_cores: bool = False
    # serde's parse of the JSON, beside the servers.
    has_parse: bool = False

    def cells(self, offered: dict[str, tuple[str, ...]]) -> list[Cell]:
        """List what is measured of the servers that are there, which offer these protocols."""
        there = [server for server in (OURS, *self.servers) if server in offered]
        cells = [
            Cell(self.workload, protocol, server, CONNECTIONS)
            for protocol in self.protocols
            for server in there
            if protocol in offered[server]
        ]
        cells += [
            Cell(self.workload, self.protocols[0], server, connections)
            for connections in self.other_connections
            for server in there
            if server not in PYTHON
        ]
        return cells

    def rates(self, offered: dict[str, tuple[str, ...]]) -> list[Cell]:
        """List what is measured at a given rate."""
        if not self.has_rates:
            return []
        there = [server for server in (OURS, *self.servers) if server in offered and server not in PYTHON]
        return [
            Cell(self.workload, self.protocols[0], server, CONNECTIONS, share) for share in SHARES for server in there
        ]


GROUPS = (
    Group("mlp", "MLP 784-256-128-10", ("binary", "json", "grpc"), PEERS, (1, 4, 64), has_rates=True, shows_start=True),
    Group("mlp-32", "the MLP with 32 rows", ("binary",), NATIVE),
    Group("cnn", "CNN over 28x28", ("binary",), NATIVE),
    Group("forest", "forest of 100 trees", ("json",), NATIVE),
    Group("linear", "linear model of 10 numbers", ("json",), NATIVE),
    Group("image", "3x224x224 in, 602 KB of binary or 1 MB of JSON", ("binary", "json"), ("Triton",), has_parse=True),
    Group("image-through", "3x224x224 in and out", ("binary",), ("Triton",)),
    Group("bert-mini", "BERT-mini, 8 to 256 tokens", ("binary",), NATIVE, stretch=2, on_all_cores=True),
)
