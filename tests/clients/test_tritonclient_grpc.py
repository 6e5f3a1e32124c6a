"""The client of Triton over gRPC, as it comes from PyPI."""

import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving import DATATYPES, Server

Serve = Callable[..., Server]


def connect(server: Server) -> Any:
    return client.InferenceServerClient(server.grpc)


def tensor(name: str, datatype: str, array: Any) -> Any:
    made = client.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_goes_and_comes(serve: Serve, datatype: str) -> None:
    model = f"identity_{datatype.lower()}"
    array = DATATYPES[datatype]
    outputs = [client.InferRequestedOutput("y")]
    answer = connect(serve(model)).infer(model, [tensor("x", datatype, array)], outputs=outputs, request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("y"), array)
    assert answer.get_response().id == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_messages_may_be_compressed(serve: Serve, algorithm: str) -> None:
    array = np.ones((100, 4), np.float32)
    answer = connect(serve("linear")).infer("linear", [tensor("x", "FP32", array)], compression_algorithm=algorithm)
    assert answer.as_numpy("y").shape == (100, 3)


def test_the_best_classes_are_answered_by_name(serve: Serve) -> None:
    outputs = [client.InferRequestedOutput("probabilities", class_count=2)]
    inputs = [tensor("x", "FP32", np.float32([[0.25, 0.125, 0.75]]))]
    answer = connect(serve("zipmap")).infer("zipmap", inputs, outputs=outputs)
    assert answer.as_numpy("probabilities").tolist() == [[b"0.75:0:bird", b"0.25:1:cat"]]


def test_many_calls_at_once(serve: Serve) -> None:
    server = connect(serve("linear"))
    answers: queue.Queue[tuple[int, Any, Any]] = queue.Queue()
    for i in range(64):
        array = np.full((1, 4), i, np.float32)
        server.async_infer(
            "linear", [tensor("x", "FP32", array)], lambda result, error, i=i: answers.put((i, result, error))
        )
    for _ in range(64):
        i, result, error = answers.get(timeout=30)
        assert error is None
        expected = np.float32([[0.5 + 2.25 * i, -1 + 2.75 * i, 2 + 3.25 * i]])
        np.testing.assert_allclose(result.as_numpy("y"), expected, rtol=1e-5)


def open_stream(server: Any) -> "queue.Queue[tuple[Any, Any]]":
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    server.start_stream(lambda result, error: answers.put((result, error)))
    return answers


def test_a_stream_is_answered_in_order_and_goes_on_after_an_error(serve: Serve) -> None:
    server = connect(serve("linear"))
    answers = open_stream(server)
    for i in range(100):
        width = 5 if i == 50 else 4
        array = np.full((1, width), i, np.float32)
        server.async_stream_infer("linear", [tensor("x", "FP32", array)], request_id=str(i))
    for i in range(100):
        result, error = answers.get(timeout=30)
        if i == 50:
            assert "expected [-1,4]" in str(error)
            continue
        assert error is None
        assert result.get_response().id == str(i)
        expected = np.float32([[0.5 + 2.25 * i, -1 + 2.75 * i, 2 + 3.25 * i]])
        np.testing.assert_allclose(result.as_numpy("y"), expected, rtol=1e-5)
    server.stop_stream()


def test_a_stream_to_a_server_that_leaves_is_answered_and_ended(serve: Serve) -> None:
    process = serve("linear", "--version", "8")
    server = connect(process)
    answers = open_stream(server)
    inputs = [tensor("x", "FP32", np.ones((1, 4), np.float32))]
    server.async_stream_infer("linear", inputs)
    assert answers.get(timeout=30)[1] is None
    process.process.send_signal(signal.SIGTERM)
    result, error = answers.get(timeout=30)
    assert result is None
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert "open another stream" in str(error)
    server.stop_stream()
    assert process.process.wait(timeout=30) == 0


def test_what_is_served_is_told(serve: Serve) -> None:
    server = connect(serve("two_in_two_out", "--version", "3"))
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.is_model_ready("two_in_two_out")
    assert server.get_server_metadata().name == "modelwright"
    metadata = server.get_model_metadata("two_in_two_out", "3")
    assert [output.datatype for output in metadata.outputs] == ["FP32", "INT64"]
    config = server.get_model_config("two_in_two_out").config
    assert [output.data_type for output in config.output] == [11, 9]
    assert config.backend == "onnxruntime"
    assert server.get_model_repository_index().models[0].state == "READY"
    statistics = server.get_inference_statistics("two_in_two_out").model_stats[0]
    assert statistics.version == "3"


def test_refusals_are_errors_with_code_and_words(serve: Serve) -> None:
    server = connect(serve("linear"))
    with pytest.raises(client.InferenceServerException, match="expected \\[-1,4\\]") as refusal:
        server.infer("linear", [tensor("x", "FP32", np.ones((1, 5), np.float32))])
    assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(client.InferenceServerException, match='model "other" is not served here') as refusal:
        server.infer("other", [tensor("x", "FP32", np.ones((1, 4), np.float32))])
    assert refusal.value.status() == "StatusCode.NOT_FOUND"


def test_the_clients_patience_ends_a_call(serve: Serve) -> None:
    server = connect(serve("slow"))
    rounds = np.array(100_000_000, np.int64)
    with pytest.raises(client.InferenceServerException) as refusal:
        server.infer(
            "slow",
            [tensor("rounds", "INT64", rounds), tensor("x", "FP32", np.array(1, np.float32))],
            client_timeout=0.3,
        )
    assert "DEADLINE_EXCEEDED" in str(refusal.value.status()) or "Deadline" in str(refusal.value)


def test_grpcs_own_health_service_answers(serve: Serve) -> None:
    with grpc.insecure_channel(serve("linear").grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ["", "inference.GRPCInferenceService"]:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_server_that_leaves_loses_no_call(serve: Serve) -> None:
    server = serve("linear", "--version", "9")
    stop = threading.Event()
    sent, failed = [0], []

    def load() -> None:
        link = connect(server)
        while not stop.is_set():
            try:
                link.infer("linear", [tensor("x", "FP32", np.ones((1, 4), np.float32))])
                sent[0] += 1
            except client.InferenceServerException as error:
                failed.append(error)
            time.sleep(0.002)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    while sent[0] < 200:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    # Endpoints still name the pod for a while.
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, f"{len(failed)} of {sent[0]}: {failed[0]}"
    assert server.process.wait(timeout=30) == 0
