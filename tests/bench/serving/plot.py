"""Draws what the MLP costs on each server, as an SVG that needs nothing else."""

from __future__ import annotations

import math
import statistics
from html import escape

from matrix import CONNECTIONS, OURS, PEERS
from rounds import Cell, Results

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 150, 70, 16, 10, 56
COLOURS = {"binary": "#1f6feb", "json": "#d29922", "grpc": "#2da44e"}
NAMES = {"binary": "binary tensors", "json": "JSON", "grpc": "gRPC"}
LEAST = 10.0


def draw(results: Results) -> str:
    """Draw a bar for each server and protocol, on a logarithmic scale."""
    bars: dict[str, dict[str, float]] = {}
    for server in (OURS, *PEERS):
        for protocol in COLOURS:
            values = results.series(Cell("mlp", protocol, server, CONNECTIONS), "microseconds")
            if values:
                bars.setdefault(server, {})[protocol] = statistics.median(values)
    most = 10 ** math.ceil(math.log10(max((v for server in bars.values() for v in server.values()), default=1000)))
    height = TOP + sum(len(server) * BAR + GAP for server in bars.values()) + 30

    def place(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(value, LEAST) / LEAST) / math.log10(most / LEAST)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20">CPU µs a request, logarithmic: MLP, one row, {CONNECTIONS} connections</text>',
    ]
    for number, (protocol, colour) in enumerate(COLOURS.items()):
        x = LEFT + number * 130.0
        parts.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15}" y="39">{NAMES[protocol]}</text>')
    value = LEAST
    while value <= most:
        x = place(value)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 22}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{value:g}</text>')
        value *= 10
    y = float(TOP)
    for server, protocols in bars.items():
        middle = y + len(protocols) * BAR / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(server)}</text>')
        for protocol, microseconds in protocols.items():
            length = place(microseconds) - LEFT
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{COLOURS[protocol]}"/>'
            )
            parts.append(f'<text x="{LEFT + length + 5:.1f}" y="{y + 11}">{microseconds:.0f}</text>')
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>", ""])
