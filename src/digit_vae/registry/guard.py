"""What stands before MLflow's scoring app: limits on a request, and mistakes told in one sentence.

By itself the app takes a body of any size, answers a mistake with a stack trace and all that it was sent, and has
pages of its own about its interface.
"""

import json
import textwrap
from collections.abc import Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 16 * 2**20  # bytes: 1,000 images, with 20 characters for each pixel
MOST_INPUTS = 1000  # images or points of a request: the answer has some 16 MB
SCORING, PING = "/invocations", "/ping"
JSON = "application/json"
EXPECTED = (
    'expected a JSON object such as {"inputs": [28 rows of 28 numbers for each image], "params": {"task": "encode"}}'
)
PARAMS, INPUTS = "params", ({"inputs"}, {"instances"})
MISTAKES = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
LONGEST = 200  # characters of what MLflow or a client said


class Guard:
    """An ASGI middleware around MLflow's scoring app."""

    def __init__(self, app: ASGIApp, params: Sequence[str], largest_body: int = LARGEST_BODY) -> None:
        """params: the names of the model's parameters. largest_body: in bytes."""
        self._app = app
        self._params = params
        self._largest_body = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == PING:
            await self._app(scope, receive, send)
            return
        for message in await self._answer(scope, receive):
            await send(message)

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        if scope["path"] != SCORING:
            return _refusal(f"expected {PING} or {SCORING}; received {_short(scope['path'])}", HTTPStatus.NOT_FOUND)
        body, size = await self._read(receive)
        if scope["method"] == "POST" and (complaint := self._complaint(scope, body, size)):
            return _refusal(complaint)
        return await self._ask(scope, body)

    async def _read(self, receive: Receive) -> tuple[bytes, int]:
        """The body and its size. What is beyond the limit is read and dropped, so that the client hears the answer."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= self._largest_body:
                parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts), size

    def _complaint(self, scope: Scope, body: bytes, size: int) -> str | None:
        if size > self._largest_body:
            return f"expected a body of at most {self._largest_body:,} bytes; received {size:,}"
        kind = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        if kind.partition(";")[0].strip().lower() != JSON:
            return f"expected the content type {JSON}; received {_short(kind) or 'none'}"
        return misformed(body, self._params)

    async def _ask(self, scope: Scope, body: bytes) -> list[Message]:
        """The app's answer to this body, a mistake in one sentence."""
        answer: list[Message] = []

        async def give() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def take(message: Message) -> None:
            answer.append(message)

        await self._app(scope, give, take)
        if answer[0]["status"] not in MISTAKES:
            return answer
        return _refusal(sentence(b"".join(message.get("body", b"") for message in answer)))


def misformed(body: bytes, params: Sequence[str]) -> str | None:
    """What is wrong with the outermost parts of a body, in words; None where nothing is."""
    try:
        content = json.loads(body)
    except RecursionError:
        return f"{EXPECTED}; received lists within too many others"
    except ValueError as error:
        return f"{EXPECTED}; received no JSON ({error})"
    if not isinstance(content, dict) or content.keys() - {PARAMS} not in INPUTS:
        return f"{EXPECTED}; received {_short(', '.join(content) if isinstance(content, dict) else str(content))}"
    [inputs] = [value for key, value in content.items() if key != PARAMS]
    if not isinstance(inputs, list):
        return f"{EXPECTED}; received inputs {_short(json.dumps(inputs))}"
    if len(inputs) > MOST_INPUTS:
        return f"expected at most {MOST_INPUTS} inputs in a request; received {len(inputs)}"
    return misnamed(content.get(PARAMS) or {}, params)


def misnamed(given: object, params: Sequence[str]) -> str | None:
    """What is wrong with the parameters of a request, in words; None where nothing is.

    MLflow would take a parameter that it does not know for none at all.
    """
    if not isinstance(given, dict):
        return f"{EXPECTED}; received params {_short(json.dumps(given))}"
    if unknown := [name for name in given if name not in params]:
        return f"expected params of {', '.join(params)}; received {_short(', '.join(unknown))}"
    return None


def sentence(answer: bytes) -> str:
    """What MLflow's answer to a mistake says, without the input and the stack trace.

    The model's own sentences are kept; in front of MLflow's stands what is expected.
    """
    try:
        said = str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.decode("utf-8", "replace")
    reason = _short(said.partition("\nInput:")[0].rpartition("Error: ")[2].strip())
    return reason if reason.startswith("expected ") else f"{EXPECTED}; received what MLflow refuses: {reason}"


def _refusal(complaint: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> list[Message]:
    content = json.dumps({"error_code": status.name, "message": complaint}).encode()
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(content)).encode())]
    return [
        {"type": "http.response.start", "status": status.value, "headers": headers},
        {"type": "http.response.body", "body": content},
    ]


def _short(text: str) -> str:
    return textwrap.shorten(text, LONGEST, placeholder=" ...")
