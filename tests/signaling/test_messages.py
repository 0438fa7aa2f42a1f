"""The wire: what parses, what is refused, and that the document tells the same."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import messages
from signaling.messages import CLIENT_MESSAGES, SERVER_MESSAGES, Malformed, encode, parse

PROTOCOL = Path(messages.__file__).with_name("PROTOCOL.md").read_text()


def _documented(heading: str) -> dict[str, set[str]]:
    section = PROTOCOL.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.M)
    return {name: set(re.findall(r"`(\w+)`", re.sub(r"\{.*?\}", "", cell))) for name, cell in rows}


@pytest.mark.parametrize(
    ("heading", "known"),
    [("Client to server", CLIENT_MESSAGES), ("Server to client", SERVER_MESSAGES)],
)
def test_each_message_is_documented_with_its_fields(heading: str, known: dict[str, type]) -> None:
    fields = {name: {item.name for item in dataclasses.fields(cls)} for name, cls in known.items()}
    assert _documented(heading) == fields


def test_each_error_code_is_documented() -> None:
    here = Path(messages.__file__).parent
    sources = "".join(path.read_text() for path in here.glob("*.py"))
    raised = set(re.findall(r'(?:Malformed|OfferRefused|Error)\(\s*"([a-z_]+)"', sources))
    documented = set(re.findall(r"`([a-z_]+)`", PROTOCOL.split("## Error codes")[1]))
    assert raised <= documented


def test_a_message_comes_out_as_it_went_in() -> None:
    offer = messages.Offer(call=3, sdp="v=0\r\n")
    assert parse(encode(offer)) == offer
    assert parse('{"type":"stats","kbps":12}') == messages.Stats(kbps=12.0)
    assert parse('{"type":"leave","more":1}') == messages.Leave()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_json"),
        ("nonsense", "not_json"),
        ('{"type":"ping","t":NaN}', "not_json"),
        ("[" * 60_000, "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        ("[]", "not_an_object"),
        ('{"type":"leave","x":' + "[" * 9 + "]" * 9 + "}", "too_deep"),
        ('{"type":"leave","x":"' + "é" * 33_000 + '"}', "too_large"),
        ("{}", "unknown_type"),
        ('{"type":["join"]}', "unknown_type"),
        ('{"type":"welcome"}', "unknown_type"),
        ('{"type":"join"}', "bad_field"),
        ('{"type":"join","room":7}', "bad_field"),
        ('{"type":"join","room":"\\ud800"}', "bad_field"),
        ('{"type":"join","room":"' + "x" * 129 + '"}', "bad_field"),
        ('{"type":"offer","call":true,"sdp":""}', "bad_field"),
        ('{"type":"offer","call":1e3,"sdp":""}', "bad_field"),
        ('{"type":"offer","call":9007199254740993,"sdp":""}', "bad_field"),
        ('{"type":"media","microphone":1,"camera":true}', "bad_field"),
        ('{"type":"ping","t":1e999}', "bad_field"),
        ('{"type":"screen"}', "bad_field"),
        ('{"type":"screen","on":1}', "bad_field"),
        ('{"type":"offer","call":1,"sdp":"","screen_mid":12}', "bad_field"),
        ('{"type":"offer","call":1,"sdp":"","screen_mid":"' + "1" * 17 + '"}', "bad_field"),
    ],
)
def test_refused(text: str | bytes, code: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse(text)
    assert refusal.value.code == code


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_fields = sorted(
    {item.name for cls in CLIENT_MESSAGES.values() for item in dataclasses.fields(cls)}
)


@given(
    st.text()
    | st.binary()
    | st.dictionaries(
        st.sampled_from(["type", *_fields]), st.sampled_from(sorted(CLIENT_MESSAGES)) | _json
    ).map(json.dumps)
)
def test_anything_is_a_message_or_malformed(text: str | bytes) -> None:
    try:
        message = parse(text)
    except Malformed as refusal:
        assert refusal.code and refusal.message
    else:
        assert parse(encode(message)) == message
