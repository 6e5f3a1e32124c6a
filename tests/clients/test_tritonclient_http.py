"""The client of Triton over HTTP, as it comes from PyPI."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.http as client

from serving import DATATYPES, Server

Serve = Callable[..., Server]


def connect(server: Server) -> Any:
    return client.InferenceServerClient(server.http, network_timeout=60.0)


def tensor(name: str, datatype: str, array: Any, *, binary: bool = True) -> Any:
    made = client.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize(("sent", "asked"), [(True, True), (True, False), (False, True), (False, False)])
def test_every_datatype_goes_and_comes_as_binary_data_and_as_json(
    serve: Serve, datatype: str, *, sent: bool, asked: bool
) -> None:
    if datatype in ("FP16", "BF16") and not (sent and asked):
        pytest.skip("this client sends and reads halves as binary data only")
    model = f"identity_{datatype.lower()}"
    array = DATATYPES[datatype]
    inputs = [tensor("x", datatype, array, binary=sent)]
    outputs = [client.InferRequestedOutput("y", binary_data=asked)]
    answer = connect(serve(model)).infer(model, inputs, outputs=outputs, request_id="7")
    came = answer.as_numpy("y")
    if datatype == "BYTES" and not asked:
        came = np.char.encode(came.astype(str), "utf-8").astype(np.object_)
    np.testing.assert_array_equal(came, array)
    assert answer.get_response()["id"] == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_bodies_and_answers_may_be_compressed(serve: Serve, algorithm: str) -> None:
    array = np.ones((100, 4), np.float32)
    answer = connect(serve("linear")).infer(
        "linear",
        [tensor("x", "FP32", array)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert answer.as_numpy("y").shape == (100, 3)


def test_the_best_classes_are_answered_by_name(serve: Serve) -> None:
    outputs = [client.InferRequestedOutput("probabilities", class_count=2)]
    inputs = [tensor("x", "FP32", np.float32([[0.25, 0.125, 0.75]]))]
    answer = connect(serve("zipmap")).infer("zipmap", inputs, outputs=outputs)
    assert answer.as_numpy("probabilities").tolist() == [[b"0.75:0:bird", b"0.25:1:cat"]]


def test_many_requests_at_once(serve: Serve) -> None:
    many = client.InferenceServerClient(serve("linear").http, concurrency=8)
    requests = [many.async_infer("linear", [tensor("x", "FP32", np.full((1, 4), i, np.float32))]) for i in range(64)]
    for i, request in enumerate(requests):
        expected = np.float32([[0.5 + 2.25 * i, -1 + 2.75 * i, 2 + 3.25 * i]])
        np.testing.assert_allclose(request.get_result().as_numpy("y"), expected, rtol=1e-5)


def test_what_is_served_is_told(serve: Serve) -> None:
    server = connect(serve("two_in_two_out", "--version", "3"))
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.is_model_ready("two_in_two_out")
    assert server.is_model_ready("two_in_two_out", "3")
    assert not server.is_model_ready("two_in_two_out", "4")
    assert server.get_server_metadata()["name"] == "modelwright"
    metadata = server.get_model_metadata("two_in_two_out", "3")
    assert [output["datatype"] for output in metadata["outputs"]] == ["FP32", "INT64"]
    assert server.get_model_config("two_in_two_out")["output"][1]["data_type"] == "TYPE_INT64"
    assert server.get_model_repository_index()[0]["state"] == "READY"
    statistics = server.get_inference_statistics("two_in_two_out")["model_stats"][0]
    assert statistics["version"] == "3"
    assert server.get_inference_statistics()["model_stats"] == [statistics]


def test_refusals_are_errors_with_their_words(serve: Serve) -> None:
    server = connect(serve("linear"))
    with pytest.raises(client.InferenceServerException, match="expected \\[-1,4\\]"):
        server.infer("linear", [tensor("x", "FP32", np.ones((1, 5), np.float32))])
    with pytest.raises(client.InferenceServerException, match='model "other" is not served here'):
        server.infer("other", [tensor("x", "FP32", np.ones((1, 4), np.float32))])
