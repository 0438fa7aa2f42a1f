"""RTCP to bytes and back, and arbitrary bytes."""

from __future__ import annotations

import pytest
from aiortc import rtp as reference
from hypothesis import given
from hypothesis import strategies as st

from signaling import rtcp

ssrcs = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    rtcp.Block,
    ssrcs,
    st.integers(0, 255),
    st.integers(-(1 << 23), (1 << 23) - 1),
    ssrcs,
    ssrcs,
    ssrcs,
    ssrcs,
)


@given(ssrcs, st.integers(0, (1 << 64) - 1), ssrcs, ssrcs, ssrcs, st.lists(blocks, max_size=4))
def test_sender_report(ssrc, ntp, stamp, packets, octets, seen) -> None:  # type: ignore[no-untyped-def]
    report = rtcp.SenderReport(ssrc, ntp, stamp, packets, octets, seen)
    assert list(rtcp.parse(rtcp.sender_report(report))) == [report]


@given(ssrcs, st.lists(blocks, max_size=4))
def test_receiver_report_as_others_read_it(ssrc: int, seen: list[rtcp.Block]) -> None:
    data = rtcp.receiver_report(rtcp.ReceiverReport(ssrc, seen))
    assert list(rtcp.parse(data)) == [rtcp.ReceiverReport(ssrc, seen)]
    (theirs,) = reference.RtcpPacket.parse(data)
    assert isinstance(theirs, reference.RtcpRrPacket)
    assert [(one.ssrc, one.packets_lost) for one in theirs.reports] == [
        (one.ssrc, one.total_lost) for one in seen
    ]


@given(ssrcs, ssrcs, st.sets(st.integers(0, 0xFFFF), min_size=1, max_size=100))
def test_nack(own: int, ssrc: int, lost: set[int]) -> None:
    data = rtcp.nack(own, ssrc, lost)
    (back,) = rtcp.parse(data)
    assert isinstance(back, rtcp.Nack) and back.ssrc == ssrc and set(back.lost) == lost
    (theirs,) = reference.RtcpPacket.parse(data)
    assert isinstance(theirs, reference.RtcpRtpfbPacket)
    assert set(theirs.lost) == lost


@given(ssrcs, st.integers(0, 5_000_000), st.lists(ssrcs, max_size=3))
def test_remb(own: int, bitrate: int, streams: list[int]) -> None:
    (back,) = rtcp.parse(rtcp.remb(own, rtcp.Remb(bitrate, streams)))
    assert isinstance(back, rtcp.Remb) and list(back.ssrcs) == streams
    assert bitrate - (bitrate >> 17) <= back.bitrate <= bitrate


def test_requests_and_endings() -> None:
    compound = (
        rtcp.source_description([7], "name")
        + rtcp.picture_loss(1, 7)
        + bytes(reference.RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=b"\0\0\0\x08\1\0\0\0"))
        + rtcp.bye([7, 8])
    )
    assert list(rtcp.parse(compound)) == [
        rtcp.KeyframeRequest(7),
        rtcp.KeyframeRequest(8),
        rtcp.Bye((7, 8)),
    ]
    first = reference.RtcpPacket.parse(compound)[0]
    assert isinstance(first, reference.RtcpSdesPacket)
    assert first.chunks[0].items == [(1, b"name")]


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: b"\x81\xce\0\4" + rest))
def test_any_bytes(data: bytes) -> None:
    try:
        list(rtcp.parse(data))
    except ValueError:
        pass


def test_not_rtcp() -> None:
    with pytest.raises(ValueError):
        list(rtcp.parse(b"\x80\xc8\xff\xff"))


def test_ntp() -> None:
    assert rtcp.ntp_us(rtcp.ntp_time(0.5)) == (rtcp.NTP_EPOCH_S * 1_000_000) + 500_000
