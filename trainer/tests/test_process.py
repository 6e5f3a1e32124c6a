"""The process: exit codes, the termination message, progress while it runs, and its end by a signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest
from modelwright_trainer.processors import count_processors
from modelwright_trainer.progress import Progress, serve_progress

if TYPE_CHECKING:
    from conftest import Bench

SOURCES = Path(__file__).parents[1] / "src"


def start(bench: Bench, port: int = 0, limit: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the trainer on a run, by a command that limits it."""
    (bench.folder / "run.json").write_text(json.dumps(bench.run))
    (bench.folder / "termination").touch()
    command = [*limit, sys.executable, "-m", "modelwright_trainer", "--run", str(bench.folder / "run.json")]
    command += ["--termination-log", str(bench.folder / "termination"), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603


def finish(bench: Bench, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Return exit code, termination message and log."""
    try:
        output, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output == ""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return process.returncode, json.loads((bench.folder / "termination").read_text()), lines


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def ask(port: int, path: str = "/progress") -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def read_until(log: IO[str] | None, words: str) -> None:
    assert log is not None
    for line in log:
        if words in line:
            return
    pytest.fail(f"the log ended before {words}")


def test_a_run_ends_with_its_files_and_report(bench: Bench) -> None:
    bench.write_bundled("iris").candidate("RandomForest", n_estimators=10)
    code, message, log = finish(bench, start(bench))
    assert code == 0
    assert message["succeeded"]["chosen"] == "only"
    assert message["succeeded"]["rows"] == {"train": 75, "validation": 30, "test": 45}
    assert [line["message"] for line in log] == ["data read", "candidate trained", "run succeeded"]
    names = ["calibration.npz", "evaluation.npz", "model.onnx", "report.json", "train.json"]
    assert sorted(path.name for path in bench.out.iterdir()) == names


def test_bad_input_ends_with_code_64(bench: Bench) -> None:
    bench.write("a,target\n1,0\n").candidate("RandomForrest")
    code, message, log = finish(bench, start(bench))
    assert (code, message["failed"]["reason"]) == (64, "UnknownAlgorithm")
    assert log[-1]["error"] == message["failed"]["message"]


def test_no_run_ends_with_code_64(bench: Bench) -> None:
    process = start(bench)
    (bench.folder / "run.json").unlink()
    code, message, _ = finish(bench, process)
    assert (code, message["failed"]["reason"]) == (64, "InvalidRun")


def test_an_output_that_cannot_be_written_ends_with_code_75(bench: Bench) -> None:
    bench.write_bundled("iris").out.write_text("in the way")
    code, message, _ = finish(bench, start(bench))
    assert (code, message["failed"]["reason"]) == (75, "FileError")
    assert str(bench.out) in message["failed"]["message"]


def test_too_little_memory_says_where_more_is_given(bench: Bench) -> None:
    # Without the limit it would be 5 GB, and no machine's end.
    bench.write_bundled("iris").candidate("MLP", hidden_layer_sizes=[25_000, 25_000], max_iter=1)
    code, message, _ = finish(bench, start(bench, limit=("prlimit", f"--as={4 << 30}")))
    assert (code, message["failed"]["reason"]) == (64, "OutOfMemory")
    assert "spec.training.resources" in message["failed"]["message"]


def test_a_full_disk_is_told(bench: Bench) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    bench.write_bundled("iris").out.mkdir()
    (bench.out / "model.onnx").symlink_to("/dev/full")
    code, message, _ = finish(bench, start(bench))
    assert (code, message["failed"]["reason"]) == (64, "NoSpace")


def write_slow(bench: Bench) -> Bench:
    """Write a run that takes minutes, in a library that no Python interrupts."""
    random = np.random.default_rng(0)
    np.savez(
        bench.folder / "data" / "data.npz", x=random.normal(size=(20_000, 50)), target=random.integers(0, 2, 20_000)
    )
    bench.run["data"]["format"] = "NPZ"
    bench.run["candidates"] = [
        {"name": "quick", "algorithm": "DecisionTree", "parameters": {"max_depth": 1}},
        {"name": "slow", "algorithm": "SVM", "parameters": {"C": 1000.0}},
    ]
    return bench


def test_progress_is_told_while_it_runs_and_a_signal_ends_it_at_once(bench: Bench) -> None:
    port = free_port()
    process = start(write_slow(bench), port)
    try:
        read_until(process.stderr, "candidate trained")
        progress = ask(port)
        while progress["activity"] != "slow":
            progress = ask(port)
        assert (progress["done"], progress["total"], progress["metric"]) == (1, 2, "Accuracy")
        assert 0 < float(progress["best"]) < 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 143
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_stops_no_run(bench: Bench) -> None:
    bench.write_bundled("iris")
    with closing(socket.socket()) as taken:
        taken.bind(("", 0))
        taken.listen()
        code, _, log = finish(bench, start(bench, taken.getsockname()[1]))
    assert code == 0
    assert log[0]["message"] == "progress is not served"


def test_progress_answers_one_path() -> None:
    server = serve_progress(Progress(total=2), 0)
    assert server is not None
    try:
        port = server.server_address[1]
        assert ask(port) == {"activity": "reading", "done": 0, "total": 2}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(port, "/metrics")
    finally:
        server.shutdown()
        server.server_close()


def test_who_asks_and_goes_leaves_no_trace(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator gives up after some seconds, and what it asked may be busy for longer."""
    progress, gone, told = Progress(), threading.Event(), threading.Event()
    answer = progress.as_json
    monkeypatch.setattr(progress, "as_json", lambda: gone.wait(10) and answer())
    server = serve_progress(progress, 0)
    assert server is not None
    errors: list[BaseException | None] = []
    say = server.handle_error

    def handle(*of: Any) -> None:
        errors.append(sys.exception())
        say(*of)
        told.set()

    monkeypatch.setattr(server, "handle_error", handle)
    try:
        with closing(socket.create_connection(("127.0.0.1", server.server_address[1]))) as asking:
            asking.sendall(b"GET /progress HTTP/1.1\r\n\r\n")
            # It ends by a reset, as a pod's does that is killed.
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.set()
        assert told.wait(10)
    finally:
        server.shutdown()
        server.server_close()
    assert [isinstance(error, ConnectionError) for error in errors] == [True]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_processors_are_counted_by_the_quota(tmp_path: Path, files: dict[str, str], most: int | None) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert count_processors(tmp_path) == (most or len(os.sched_getaffinity(0)))


def test_onnx_runtime_reports_nothing_to_its_makers() -> None:
    """What they look for is set before they are imported, whatever the environment says."""
    program = "import modelwright_trainer.export, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "ORT_DISABLE_TELEMETRY": "0"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert run.stdout == "1\n"
