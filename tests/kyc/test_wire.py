"""What crosses the pipe comes out as it went in, and garbage is refused."""

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyc import wire
from kyc.check import Finding, Guidance, Picture, Verdict

KEYS = st.text(max_size=8).filter(lambda key: key != "$blob")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
    | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_body_comes_out_as_it_went_in(body: wire.Body) -> None:
    assert wire.read(io.BytesIO(b"".join(wire.pack(body)))) == body


def test_a_finding_comes_out_as_it_went_in() -> None:
    finding = Finding(
        "id_card_front",
        Verdict.PASSED,
        "read",
        score=0.98,
        values={"name": {"value": "冯伟超", "confidence": 0.98}},
        pictures=[Picture("portrait", b"\xff\xd8\x00", 17)],
        models={"text_detection": "09"},
        media_time_us=17,
        also=[Finding("card_copy", Verdict.NOT_CHECKED, "too_small")],
        template=b"\x00\x01",
    )
    stream = io.BytesIO(b"".join(wire.pack(wire.encode_answer(finding))))
    body = wire.read(stream)
    assert body is not None
    assert wire.decode_answer(body) == finding


def test_guidance_comes_out_as_it_went_in() -> None:
    guidance = Guidance("closer", 0.5, "left", 3.2, [[0.1, 0.2], [0.9, 0.2]])
    body = wire.read(io.BytesIO(b"".join(wire.pack(wire.encode_answer(guidance)))))
    assert body is not None
    assert wire.decode_answer(body) == guidance


def test_the_end_of_the_stream_is_no_message() -> None:
    assert wire.read(io.BytesIO(b"")) is None


def message(head: object) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack(">I", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", wire.HEAD_LIMIT + 1) + b"{",
        struct.pack(">I", 9) + b"{",
        struct.pack(">I", 1) + b"{",
        message([]),
        message({"body": {}}),
        message({"body": [], "blobs": []}),
        message({"body": {}, "blobs": [-1]}),
        message({"body": {}, "blobs": [wire.BLOB_LIMIT + 1]}),
        message({"body": {}, "blobs": [3]}) + b"ab",
        message({"body": {"a": {"$blob": 1}}, "blobs": []}),
        message({"body": {"a": {"$blob": "x"}}, "blobs": []}),
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(wire.Garbled):
        wire.read(io.BytesIO(data))
