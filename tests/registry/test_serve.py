"""MLflow's scoring app behind the guard, over HTTP: what it answers, and that it lives on."""

import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest
import uvicorn

from digit_vae.base.errors import exit_status
from digit_vae.base.ports import HOST
from digit_vae.registry import serve
from digit_vae.registry.serve import MOST_CONNECTIONS, application, configuration

IMAGE = np.zeros((1, 28, 28))


@pytest.fixture(scope="module")
def port(packaged):
    """Of a server over the packaged model."""
    with pytest.MonkeyPatch.context() as patched, socket.create_server((HOST, 0)) as connection:
        patched.setenv("__MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")  # put back as it was: the app sets it
        patched.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "60")
        server = uvicorn.Server(configuration(application(packaged.model)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [connection]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield connection.getsockname()[1]
        server.should_exit = True
        thread.join()


def asked(port, method="POST", path="/invocations", body=None, kind="application/json", **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request(method, path, body, headers if kind is None else {"Content-Type": kind, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def request(inputs, **params):
    return json.dumps({"inputs": np.asarray(inputs).tolist(), "params": params})


def test_an_answer_is_what_the_model_says(port, packaged, digits):
    images = digits[:3, ..., 0].astype(np.float32)
    status, answer = asked(port, body=request(images, scale="0-255", seed=3))
    wanted = packaged.model.predict(images, params={"scale": "0-255", "seed": 3})
    assert status == 200
    predictions = json.loads(answer)["predictions"]
    assert predictions.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(predictions[name], value, rtol=1e-6)


def test_two_addresses_answer_and_no_other(port):
    assert asked(port, "GET", "/ping", kind=None)[0] == 200
    for path in ("/nothing", "/docs", "/redoc", "/openapi.json", "/version", "/health", "/invocations/"):
        assert asked(port, "GET", path, kind=None)[0] == 404, path
    assert asked(port, "GET", kind=None)[0] == 405


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:5002", 200), ("elsewhere.example", 400), ("", 400)]
)
def test_a_name_that_leads_here_from_elsewhere_is_refused(port, host, status):
    assert asked(port, "GET", "/ping", kind=None, Host=host)[0] == status
    assert asked(port, body=request(IMAGE, task="encode"), Host=host)[0] == status


def test_too_many_connections_at_once_are_told_so(port):
    waiting = [socket.create_connection((HOST, port)) for _ in range(MOST_CONNECTIONS)]
    assert asked(port, body=request(IMAGE, task="encode"))[0] == 503
    for connection in waiting:
        connection.close()
    answers = (asked(port, body=request(IMAGE, task="encode"))[0] for _ in range(100))
    assert any(status == 200 for status in answers)


DEEP = "[" * 100_000
BAD = {
    "shape": (request(np.zeros((1, 20, 28))), ("(N, 28, 28)", "(1, 20, 28)")),
    "axes": (request(np.zeros((28, 28))), ("(28, 28)",)),
    "ragged": ('{"inputs": [[[1, 2], [3]]]}', ("inhomogeneous",)),
    "text": ('{"inputs": [[["a"]]]}', ("'a'",)),
    "NaN": (request(np.full((1, 28, 28), np.nan)), ("NaN",)),
    "infinity": (request(np.full((1, 28, 28), np.inf)), ("infinity",)),
    "null": ('{"inputs": [[[null]]], "params": {"task": "decode"}}', ("expected", "float32")),
    "range": (request(np.full((1, 28, 28), 2.0)), ("from 0 to 1", "2")),
    "scale": (request(IMAGE, scale="2"), ("0-255", "'2'")),
    "parameter's kind": (request(IMAGE, samples="many"), ("samples",)),
    "unknown parameter": (request(IMAGE, tsak="encode"), ("task", "tsak")),
    "no parameters": ('{"inputs": [[[0]]], "params": [1]}', ("params",)),
    "nothing": ("", ("JSON",)),
    "half": ('{"inputs": [[', ("JSON",)),
    "no UTF-8": (b"\xff\xfe\xff", ("JSON",)),
    "list": ("[1, 2]", ("inputs", "[1, 2]")),
    "other keys": ('{"images": []}', ("inputs", "images")),
    "two keys": ('{"inputs": [], "instances": []}', ("inputs", "instances")),
    "points": (request(np.zeros((1001, 1, 3)), task="decode"), ("1000", "1001")),
    "far point": (request(np.full((1, 1, 3), 3e38), task="decode"), ("1000", "3e+38")),
    "digits": (request(np.zeros((1, 1, 1)), task="generate", count=1001), ("1000", "1001")),
    "huge count": (request(np.zeros((1, 1, 1)), task="generate", count=10**400), ("expected",)),
    "samples": (request(np.zeros((41, 28, 28)), samples=1000), ("40000", "41000")),
    "named inputs": ('{"inputs": {"a": [[[0]]]}}', ("inputs", '"a"')),
    "deep": (DEEP, ("within",)),
    "deep within": (f'{{"inputs": {DEEP}{"]" * len(DEEP)}}}', ("within",)),
    "100 MB": (b"[" + b"1," * 50_000_000 + b"1]", ("16,777,216", "100,000,003")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_sentence_and_the_server_lives_on(port, name):
    body, words = BAD[name]
    status, answer = asked(port, body=body)
    message = json.loads(answer)["message"]
    assert status == 400
    assert all(word in message for word in words), message
    assert "Traceback" not in answer
    assert "\n" not in message
    assert len(message) < 500
    assert asked(port, body=request(IMAGE, task="encode"))[0] == 200


@pytest.mark.parametrize("kind", [None, "text/csv", "application/json; charset=latin-1", "application/json; a=b"])
def test_another_kind_of_content_is_refused(port, kind):
    status, answer = asked(port, body=request(IMAGE), kind=kind)
    assert status == 400
    assert json.loads(answer)["message"].startswith("expected ")


def test_a_port_that_is_taken_is_one_sentence(port, capsys):
    assert exit_status(lambda: serve.main(["--port", str(port)])) == 1
    said = capsys.readouterr().err
    assert str(port) in said
    assert said.count("\n") == 1
