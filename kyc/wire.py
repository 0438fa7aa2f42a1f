"""The bytes between the serving process and the inference process.

A message is ``>I`` length of the head, the head as UTF-8 JSON, then the blobs one after another;
the head's ``blobs`` lists their lengths. Wherever ``bytes`` stood in the body the head holds
``{"$blob": n}``. Nothing here can name a class or run code, so neither side need trust the other.
"""

from __future__ import annotations

import json
import logging
import struct
from asyncio import StreamReader
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

from kyc.check import BadInput, Error, Finding, Guidance, Picture, Verdict

log = logging.getLogger(__name__)

HEAD_LIMIT = 1 << 20
BLOB_LIMIT = 64 << 20  # a 4K frame is 25 MB
_LENGTH = struct.Struct(">I")

Body = dict[str, Any]


class Garbled(Error):
    """The other side sent what is no message."""


def pack(body: Body) -> list[bytes]:
    """Turn a body into chunks to write; blobs are not copied."""
    blobs: list[bytes] = []
    head = {"body": _lift(body, blobs), "blobs": [len(blob) for blob in blobs]}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    return [_LENGTH.pack(len(text)) + text, *blobs]


def read(stream: BinaryIO) -> Body | None:
    """Read one message from a blocking stream; None at its end."""
    prefix = stream.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    head, lengths = _head(_exactly(stream, _head_length(prefix)))
    return _body(head, [_exactly(stream, length) for length in lengths])


def serve(source: BinaryIO, sink: BinaryIO, handle: Callable[[Body], Body]) -> None:
    """Answer the requests of a source until it ends; one that fails ends no other."""
    while (request := read(source)) is not None:
        number = request.get("number", 0)
        answer = _reply(request, handle)
        if number:
            for chunk in pack({**answer, "number": number}):
                sink.write(chunk)
            sink.flush()


def _reply(request: Body, handle: Callable[[Body], Body]) -> Body:
    try:
        return handle(request)
    except BadInput as error:
        return {"bad_input": error.code}
    except Exception as error:
        # The type only: an exception's text may quote what was read or said.
        log.error("x %s failed: %s", request.get("verb"), type(error).__name__)
        return {"error": type(error).__name__}


async def receive(stream: StreamReader) -> Body:
    """Read one message from an asyncio stream; IncompleteReadError at its end."""
    prefix = await stream.readexactly(_LENGTH.size)
    head, lengths = _head(await stream.readexactly(_head_length(prefix)))
    return _body(head, [await stream.readexactly(length) for length in lengths])


def encode_answer(answer: Guidance | Finding) -> Body:
    """A check's answer as a body."""
    if isinstance(answer, Guidance):
        return {"guidance": asdict(answer)}
    return {"finding": asdict(answer)}


def decode_answer(body: Body) -> Guidance | Finding:
    """The inverse of :func:`encode_answer`."""
    if "guidance" in body:
        return Guidance(**body["guidance"])
    return _finding(body["finding"])


def _finding(body: Body) -> Finding:
    return Finding(
        **{
            **body,
            "verdict": Verdict(body["verdict"]),
            "pictures": [Picture(**picture) for picture in body["pictures"]],
            "also": [_finding(each) for each in body["also"]],
        }
    )


def _body(head: Any, blobs: list[bytes]) -> Body:
    try:
        body = _drop(head, blobs)
    except (IndexError, TypeError) as error:
        raise Garbled("a blob is missing") from error
    if not isinstance(body, dict):
        raise Garbled("body is no object")
    return body


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise Garbled("message cut off")
    return data


def _head_length(prefix: bytes) -> int:
    (length,) = _LENGTH.unpack(prefix)
    if length > HEAD_LIMIT:
        raise Garbled("head too long")
    return int(length)


def _head(text: bytes) -> tuple[Any, list[int]]:
    try:
        head = json.loads(text)
        body, lengths = head["body"], [int(length) for length in head["blobs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Garbled("head is not a message") from error
    if any(length < 0 for length in lengths) or sum(lengths) > BLOB_LIMIT:
        raise Garbled("blobs too large")
    return body, lengths


def _lift(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        blobs.append(bytes(value))
        return {"$blob": len(blobs) - 1}
    if isinstance(value, dict):
        return {key: _lift(item, blobs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lift(item, blobs) for item in value]
    return value


def _drop(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$blob"}:
            return blobs[value["$blob"]]
        return {key: _drop(item, blobs) for key, item in value.items()}
    if isinstance(value, list):
        return [_drop(item, blobs) for item in value]
    return value
