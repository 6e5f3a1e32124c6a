"""The Python client of KServe, as it comes from PyPI."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferOutput, InferRequest, RESTConfig

from serving import DATATYPES, Server

Serve = Callable[..., Server]


def request(model: str, datatype: str, array: Any, *, binary: bool) -> InferRequest:
    tensor = InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="7")


def check(output: InferOutput, datatype: str, array: Any) -> None:
    came = output.as_numpy()
    if datatype == "BYTES":
        texts = [text if isinstance(text, str) else text.decode() for text in came.ravel()]
        assert texts == [text.decode() for text in array.ravel()]
    else:
        np.testing.assert_array_equal(came, array)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype_goes_and_comes_over_http(serve: Serve, datatype: str, *, binary: bool) -> None:
    if datatype == "BF16":
        pytest.skip("this client does not know BF16")
    if datatype == "FP16" and not binary:
        pytest.skip("this client sends FP16 as binary data only")
    model = f"identity_{datatype.lower()}"
    array = DATATYPES[datatype]

    async def infer() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
        sent = request(model, datatype, array, binary=binary)
        return await client.infer(f"http://{serve(model).http}", sent, model_name=model)

    answer = asyncio.run(infer())
    check(answer.outputs[0], datatype, array)
    assert answer.id == "7"


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("raw", [True, False])
def test_every_datatype_goes_and_comes_over_grpc(serve: Serve, datatype: str, *, raw: bool) -> None:
    if datatype == "BF16":
        pytest.skip("this client does not know BF16")
    if datatype == "FP16" and not raw:
        pytest.skip("FP16 has no typed contents")
    model = f"identity_{datatype.lower()}"
    array = DATATYPES[datatype]

    async def infer() -> Any:
        client = InferenceGRPCClient(serve(model).grpc)
        try:
            return await client.infer(request(model, datatype, array, binary=raw))
        finally:
            await client.close()

    answer = asyncio.run(infer())
    check(answer.outputs[0], datatype, array)


def test_readiness_is_told_over_both(serve: Serve) -> None:
    server = serve("linear")

    async def ask() -> list[bool]:
        rest = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
        grpc = InferenceGRPCClient(server.grpc)
        url = f"http://{server.http}"
        try:
            return [
                await rest.is_server_live(url),
                await rest.is_server_ready(url),
                await rest.is_model_ready(url, "linear"),
                await grpc.is_server_live(),
                await grpc.is_server_ready(),
                await grpc.is_model_ready("linear"),
            ]
        finally:
            await grpc.close()

    assert asyncio.run(ask()) == [True] * 6
