"""In go long lists of numbers and words, out come the bytes of an operator's attributes as the file has them.

An attribute of ONNX's own classes takes 50 to 100 times the memory of the file, and a forest has millions of nodes. So
long attributes become bytes at once, part by part, and only the bytes are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import AttributeProto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

KINDS: Final = {
    "floats": AttributeProto.FLOATS,
    "ints": AttributeProto.INTS,
    "strings": AttributeProto.STRINGS,
}
FIELDS: Final = {name: AttributeProto.DESCRIPTOR.fields_by_name[name].number for name in ("floats", "ints", "strings")}
BYTES: Final = 2
"""The wire's type of fields with a length."""
FIXED: Final = 5
"""That of fields of 4 bytes."""
GROUP: Final = 7
"""Bits of a number in one byte."""


def varint(number: int) -> bytes:
    """Write one number."""
    found = bytearray()
    while number > (1 << GROUP) - 1:
        found.append(number & 0x7F | 0x80)
        number >>= GROUP
    found.append(number)
    return bytes(found)


def field(number: int, content: bytes | int) -> bytes:
    """Write a field: a message, or its head where only its length is given."""
    length = content if isinstance(content, int) else len(content)
    head = varint(number << 3 | BYTES) + varint(length)
    return head if isinstance(content, int) else head + content


def _integers(values: NDArray[np.int64]) -> bytes:
    """Write numbers of 0 or more, each with its tag, as ONNX does not pack them."""
    groups = np.ones(len(values), dtype=np.int64)
    rest = values >> GROUP
    while rest.any():
        groups += rest > 0
        rest >>= GROUP
    starts = np.concatenate([[0], np.cumsum(groups + 1)[:-1]]) if len(values) else groups
    found = np.empty(int((groups + 1).sum()), dtype=np.uint8)
    found[starts] = FIELDS["ints"] << 3
    for place in range(int(groups.max(initial=0))):
        has = groups > place
        more = (groups[has] > place + 1).astype(np.int64) << GROUP
        found[starts[has] + 1 + place] = (values[has] >> (GROUP * place)) & 0x7F | more
    return bytes(found.tobytes())


def _floats(values: NDArray[np.float32]) -> bytes:
    found = np.empty(len(values), dtype=[("tag", "u1"), ("value", "<f4")])
    found["tag"] = FIELDS["floats"] << 3 | FIXED
    found["value"] = values
    return bytes(found.tobytes())


class Packed:
    """One long attribute, as bytes."""

    def __init__(self, kind: str) -> None:
        """Start an empty one, of `floats`, `ints` or `strings`."""
        self._kind = kind
        self._parts: list[bytes] = []

    def add_numbers(self, values: NDArray[np.int64] | NDArray[np.float32]) -> None:
        """Add numbers."""
        if self._kind == "ints":
            self._parts.append(_integers(np.asarray(values, dtype=np.int64)))
        else:
            self._parts.append(_floats(np.asarray(values, dtype=np.float32)))

    def add_words(self, words: Sequence[bytes], which: NDArray[np.intp]) -> None:
        """Add words by their places among a few."""
        each = [field(FIELDS["strings"], word) for word in words]
        self._parts.append(b"".join([each[place] for place in which.tolist()]))

    def write(self, name: str) -> list[bytes]:
        """Return the attribute as a field of its node, in parts."""
        head = field(AttributeProto.NAME_FIELD_NUMBER, name.encode())
        tail = varint(AttributeProto.TYPE_FIELD_NUMBER << 3) + varint(KINDS[self._kind])
        size = len(head) + sum(map(len, self._parts)) + len(tail)
        return [field(NODE_ATTRIBUTE, size) + head, *self._parts, tail]


NODE_ATTRIBUTE: Final = 5
"""The field of a node that holds an attribute."""


def write_node(
    inputs: list[str], output: str, operator: str, domain: str, attributes: dict[str, list[bytes]]
) -> list[bytes]:
    """Return a node as a field of its graph, in parts; attributes are those of `Packed.write` and `write_small`."""
    head = (
        b"".join(field(1, name.encode()) for name in inputs) + field(2, output.encode()) + field(4, operator.encode())
    )
    tail = field(7, domain.encode()) if domain else b""
    parts = [part for name in sorted(attributes) for part in attributes[name]]
    size = len(head) + sum(map(len, parts)) + len(tail)
    return [field(1, size) + head, *parts, tail]


def write_small(attribute: AttributeProto) -> list[bytes]:
    """Return an attribute of ONNX's own class as a field of its node."""
    return [field(NODE_ATTRIBUTE, attribute.SerializeToString(deterministic=True))]


def total(parts: Iterator[bytes] | list[bytes]) -> int:
    """Count the bytes."""
    return sum(map(len, parts))
