"""Share the instructions of a request out to the parts of a program, from what valgrind's callgrind wrote.

In: a dump of a program that has its symbols and line tables. Out: instructions by part. Each is counted where it was
written, wherever the compiler put it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWN, HTTP, RUNTIME, BINDING = "Modelwright", "HTTP and gRPC libraries", "Tokio", "ort, the binding"
STANDARD, OTHER = "Rust's standard library", "other libraries"
ONNXRUNTIME, ALLOCATOR, COPIES = "ONNX Runtime", "memory allocator", "copying and filling"
LIBC = "rest of the C libraries"
PARTS = (ONNXRUNTIME, HTTP, OWN, ALLOCATOR, STANDARD, COPIES, RUNTIME, OTHER, BINDING, LIBC)

# By object, file and function, in this order.
BY_OBJECT = ((r"libonnxruntime", ONNXRUNTIME),)
BY_FILE = (
    (r"malloc/", ALLOCATOR),
    (r"(^|/)runtime/(core|serve)/src/|bench/serving/floor/", OWN),
    (r"/(actix|httparse|http-|h2-|hyper|tonic|tower|prost|local-|bytes-|bytestring|smallvec)[^/]*/", HTTP),
    (r"/(tokio|mio)[^/]*/", RUNTIME),
    (r"/ort-[^/]*/", BINDING),
    (r"/registry/|/deps/", OTHER),
    (r"/library/|^/rustc/", STANDARD),
)
BY_FUNCTION = (
    (r"^operator (new|delete)|malloc|free$|rdl_(de)?alloc|rust_(de)?alloc", ALLOCATOR),
    (r"^__?mem(cpy|move|set|cmp)", COPIES),
)

LINE = re.compile(r"^(ob|fl|fi|fe|fn|cob|cfi|cfl|cfn)=(?:\((\d+)\))?\s*(.*)$")
# A place may be written as the distance from the one before.
COST = re.compile(r"^(?:[+-]?\d+|\*) (\d+)$")


def part(obj: str, file: str, function: str) -> str:
    """Name the part that a line of a function belongs to."""
    for rules, text in ((BY_OBJECT, obj), (BY_FUNCTION, function), (BY_FILE, file)):
        for pattern, name in rules:
            if re.search(pattern, text):
                return name
    return LIBC


def share_out(dump: Path) -> Counter[str]:
    """Add the instructions of a dump up by part, without those of functions that are called."""
    names: dict[tuple[str, str], str] = {}
    here = {"ob": "", "file": "", "fn": ""}
    found: Counter[str] = Counter()
    is_call, total = False, 0
    for line in dump.read_text().splitlines():
        if match := LINE.match(line):
            kind, number, name = match.groups()
            # The names of objects, of files and of functions are each numbered by themselves.
            what = {"ob": "ob", "fn": "fn"}.get(kind.removeprefix("c"), "file")
            if number and name:
                names[what, number] = name
            if not kind.startswith("c"):
                here[what] = names.get((what, number), name)
        elif line.startswith("calls="):
            is_call = True
        elif match := COST.match(line):
            if not is_call:
                found[part(here["ob"], here["file"], here["fn"])] += int(match[1])
            is_call = False
        elif line.startswith("totals:"):
            total = int(line.split()[1])
    if sum(found.values()) != total:
        message = f"{dump}: {sum(found.values())} instructions were found, and there are {total}"
        raise ValueError(message)
    return found
