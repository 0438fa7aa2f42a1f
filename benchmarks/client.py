"""A browser's connection without its codecs: aiortc shakes hands, packets go by the short way.

Real ICE, DTLS and SRTP; the media is put into packets, protected and sent here, and what comes
is counted off the protected header.  This is the benchmarks' own seam to aiortc's private names.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aioice.ice
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_128_GCM, RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters

from signaling import rtcp

HEADER = struct.Struct("!BBHII")
RING = 512
REPORT_S = 1.0
REMB_BPS = 2_500_000
NACK_S, NACK_TRIES = 0.1, 10
PACED_PIECES = 10
"Frames of more pieces than this are spread: a browser's pacer does not send 100 packets at once."
SAMPLE = 8
"Of so many packets one is opened: to time it and to see that it is what was sent."
MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"


def use_address(address: str) -> None:
    """Let every connection of this process offer this address only."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]


class _Sender(RTCRtpSender):
    """Sends nothing by itself."""

    parameters: RTCRtpSendParameters

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        self.parameters = parameters

    async def stop(self) -> None:
        pass


class _Receiver(RTCRtpReceiver):
    """Decodes nothing."""

    parameters: RTCRtpReceiveParameters

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        self.parameters = parameters

    async def stop(self) -> None:
        pass


class _Connection(RTCPeerConnection):
    """A peer connection whose senders and receivers leave the packets alone."""

    def __init__(self) -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))

    def _RTCPeerConnection__createTransceiver(
        self, direction: str, kind: str, sender_track: Any = None
    ) -> RTCRtpTransceiver:
        transceiver: RTCRtpTransceiver = super()._RTCPeerConnection__createTransceiver(  # type: ignore[misc]
            direction=direction, kind=kind, sender_track=sender_track
        )
        transport = transceiver.sender.transport
        sender, receiver = _Sender(kind, transport), _Receiver(kind, transport)
        receiver._set_rtcp_ssrc(sender._ssrc)
        transceiver._RTCRtpTransceiver__sender = sender  # type: ignore[attr-defined]
        transceiver._RTCRtpTransceiver__receiver = receiver  # type: ignore[attr-defined]
        wanted = "audio/opus" if kind == "audio" else "video/vp8"
        codecs = RTCRtpSender.getCapabilities(kind).codecs
        transceiver.setCodecPreferences([one for one in codecs if one.mimeType.lower() == wanted])
        return transceiver

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:
        dtls: RTCDtlsTransport = super()._RTCPeerConnection__createDtlsTransport()  # type: ignore[misc]
        dtls._srtp_profiles = [SRTP_AEAD_AES_128_GCM]  # the same for whoever is at the other end
        return dtls


class Incoming:
    """One stream that arrives: what came, what is missing."""

    def __init__(self, ssrc: int, sequence: int, *, video: bool) -> None:
        self.ssrc = ssrc
        self.video = video
        self.received = 0
        self.base = self.highest = sequence - 1 + 0x10000
        self.missing: dict[int, tuple[float, int]] = {}
        "Extended sequence number -> (when to ask for it, how often it was asked for)."
        self.heard: tuple[int, float] | None = None
        "Middle of the last sender report's NTP time, and when it came."
        self._prior = (0, 0)

    def add(self, sequence: int, now: float) -> bool:
        """Note a packet; false for a second copy."""
        step = ((sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
        if step <= 0:
            if self.missing.pop(self.highest + step, None) is None:
                return False
        else:
            for ahead in range(1, min(step, 1000)):
                self.missing[self.highest + ahead] = (now + 0.01, 0)
            self.highest += step
        self.received += 1
        return True

    def due(self, now: float, again_s: float) -> list[int]:
        """Sequence numbers to ask for now."""
        asked = []
        for number, (when, tries) in self.missing.items():
            if now >= when and tries < NACK_TRIES:
                self.missing[number] = (now + again_s, tries + 1)
                asked.append(number & 0xFFFF)
        return asked

    def block(self, now: float) -> rtcp.Block:
        """The report block of this stream."""
        expected = self.highest - self.base
        interval = expected - self._prior[0]
        lost = interval - (self.received - self._prior[1])
        self._prior = expected, self.received
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        last, delay = 0, 0
        if self.heard is not None:
            last, delay = self.heard[0], int((now - self.heard[1]) * 65536)
        total = max(0, expected - self.received)
        return rtcp.Block(self.ssrc, fraction, total, self.highest & 0xFFFFFFFF, 0, last, delay)


class Outgoing:
    """One stream that is sent: its numbers and the ring for those that ask again."""

    def __init__(self, ssrc: int, payload_type: int, rate: int, extension: bytes) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.rate = rate
        self.extension = extension
        "Header extension in front of the send time, or empty."
        self.sequence = random.randrange(1 << 15)
        self.timestamp = random.getrandbits(32)
        self.at = 0.0
        "When what the latest timestamp stands for was there (monotonic seconds)."
        self.packets = 0
        self.octets = 0
        self.ring: dict[int, bytes] = {}
        self.again: dict[int, float] = {}
        "When a packet was sent again last, by its number."

    def packet(self, payload: bytes, marker: bool, now: float) -> bytes:
        """The next packet, not yet protected."""
        second = self.payload_type | (0x80 if marker else 0)
        sequence = self.sequence
        self.sequence = (sequence + 1) & 0xFFFF
        first, extension = 0x80, self.extension
        if extension:
            # 24 bits of 1/2**18 s, two bytes of padding
            first = 0x90
            extension += (int(now * 262_144) & 0xFFFFFF).to_bytes(3, "big") + b"\0\0"
        data = HEADER.pack(first, second, sequence, self.timestamp, self.ssrc) + extension + payload
        self.ring[sequence % RING] = data
        self.packets += 1
        self.octets += len(payload)
        return data

    def report(self, now: float) -> rtcp.SenderReport:
        """The sender report: the timestamp of this very moment."""
        timestamp = self.timestamp + int((now - self.at) * self.rate)
        ntp = rtcp.ntp_time(now + _WALL)
        return rtcp.SenderReport(
            self.ssrc, ntp, timestamp & 0xFFFFFFFF, self.packets, self.octets & 0xFFFFFFFF
        )


_WALL = time.time() - time.monotonic()


class Client:
    """One side of a call. `sends` false: a viewer, who only receives."""

    def __init__(self, *, sends: bool = True) -> None:
        self.sends = sends
        self.streams: dict[int, Incoming] = {}
        "What arrives, by SSRC."
        self.packets = self.frames = self.pictures_asked = self.asked_again = self.sent = 0
        "Packets and pictures that came, key frames and packets the server asked for, packets sent."
        self.connection = _Connection()
        self.remb_bps = REMB_BPS
        self.resend_bps = float(REMB_BPS)
        "What may be sent again."
        self._resend_bits, self._resent_at = 0.0, 0.0
        self.report_now = False
        "Do not wait for the next second."
        self.on_key_frame_wanted: Callable[[], None] = lambda: None
        self.on_packet: Callable[[bytes, float], None] | None = None
        "Gets every packet opened, with its arrival."
        self.on_sample: Callable[[bytes, float], None] | None = None
        "Gets one of `SAMPLE` packets opened, with its arrival."
        self.on_remb: Callable[[int], None] = lambda bps: None
        self.on_report: Callable[[rtcp.Block], None] = lambda block: None
        self.resent = False
        "Whether the packet now given out came late or again."
        self.bad = 0
        "Samples that could not be opened."
        self.offered_at = 0.0
        "When the offer was sent (monotonic seconds)."
        self._paced: deque[tuple[bytes, bool]] = deque()
        self._reported_at = 0.0
        direction = "sendrecv" if sends else "recvonly"
        self._audio = self.connection.addTransceiver("audio", direction)
        self._video = self.connection.addTransceiver("video", direction)
        self._picture = random.randrange(1 << 15)

    # --- the handshake --------------------------------------------------------------------

    async def offer(self) -> str:
        """An offer for the other end."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def answer(self, offer: str) -> str:
        """The answer to the other end's offer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """The other end's answer; aiortc goes on connecting by itself."""
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connected(self, wait_s: float = 20) -> None:
        """Wait for the connection and take over its packets."""
        up = asyncio.Event()

        def look() -> None:
            if self.connection.connectionState in ("connected", "failed", "closed"):
                up.set()

        self.connection.on("connectionstatechange", look)
        look()
        await asyncio.wait_for(up.wait(), wait_s)
        if self.connection.connectionState != "connected":
            raise ConnectionError(f"the connection {self.connection.connectionState}")
        self._take_over()

    def _take_over(self) -> None:
        dtls = self._video.sender.transport
        pair = dtls.transport._connection._nominated[1]
        self._protect = dtls._tx_srtp.protect
        self._protect_rtcp = dtls._tx_srtp.protect_rtcp
        self._unprotect = dtls._rx_srtp.unprotect
        self._unprotect_rtcp = dtls._rx_srtp.unprotect_rtcp
        self._peer, self._sendto = pair.remote_addr, pair.protocol.transport.sendto
        self.audio = self._outgoing(self._audio, 48_000, with_time=False)
        self.video = self._outgoing(self._video, 90_000, with_time=True)
        self._video_type = self.video.payload_type
        self._pass_on = pair.protocol.datagram_received
        pair.protocol.datagram_received = self._received  # type: ignore[method-assign,assignment]
        self._reported_at = time.monotonic() - random.random() * REPORT_S

    def _outgoing(self, transceiver: RTCRtpTransceiver, rate: int, *, with_time: bool) -> Outgoing:
        sender, receiver = transceiver.sender, transceiver.receiver
        assert isinstance(sender, _Sender) and isinstance(receiver, _Receiver)
        parameters = getattr(sender, "parameters", None) or receiver.parameters
        ids = {extension.uri: extension.id for extension in parameters.headerExtensions}
        self._ids = ids
        extension = b""
        if with_time and MID_URI in ids and SEND_TIME_URI in ids:
            mid = (transceiver.mid or "0")[:1].encode()
            extension = bytes((0xBE, 0xDE, 0, 2, ids[MID_URI] << 4)) + mid
            extension += bytes((ids[SEND_TIME_URI] << 4 | 2,))
        number = parameters.codecs[0].payloadType
        assert number is not None
        return Outgoing(sender._ssrc, number, rate, extension)

    def extension_id(self, uri: str) -> int:
        """The negotiated number of a header extension of the picture; 0 if there is none."""
        return self._ids.get(uri, 0)

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()

    # --- out ------------------------------------------------------------------------------

    def send_sound(self, packet: bytes, ticks: int, now: float, taken: float | None = None) -> None:
        """Send one Opus packet, `ticks` of 1/48000 s after the one before.

        `taken`: when the microphone took it, if that is not now.
        """
        stream = self.audio
        stream.timestamp = (stream.timestamp + ticks) & 0xFFFFFFFF
        stream.at = now if taken is None else taken
        self._sendto(self._protect(stream.packet(packet, False, now)), self._peer)
        self.sent += 1

    def send_picture(
        self, pieces: list[bytes], ticks: int, now: float, taken: float | None = None
    ) -> None:
        """Send one VP8 frame, `ticks` of 1/90000 s after the one before; a large one by and by."""
        self.drain(len(self._paced), now)
        stream = self.video
        stream.timestamp = (stream.timestamp + ticks) & 0xFFFFFFFF
        stream.at = now if taken is None else taken
        self._picture = (self._picture + 1) & 0x7FFF
        number = (self._picture | 0x8000).to_bytes(2, "big")
        # RFC 7741: extended, picture id present; S only in the first packet of the frame
        begins, goes_on = b"\x90\x80" + number, b"\x80\x80" + number
        last = len(pieces) - 1
        for index, piece in enumerate(pieces):
            payload = (goes_on if index else begins) + piece
            if index < PACED_PIECES:
                self._send_piece(payload, index == last, now)
            else:
                self._paced.append((payload, index == last))

    def drain(self, count: int, now: float) -> bool:
        """Send waiting pieces; true while some are left."""
        for _ in range(min(count, len(self._paced))):
            self._send_piece(*self._paced.popleft(), now)
        return bool(self._paced)

    def _send_piece(self, payload: bytes, marker: bool, now: float) -> None:
        self._sendto(self._protect(self.video.packet(payload, marker, now)), self._peer)
        self.sent += 1

    def report(self, now: float) -> None:
        """Send what a browser sends each second, and ask again for what is missing."""
        for stream in self.streams.values():
            if stream.video and stream.missing:
                lost = stream.due(now, NACK_S)
                if lost:
                    self._send_rtcp(rtcp.nack(self.video.ssrc, stream.ssrc, lost))
        if now - self._reported_at < REPORT_S and not self.report_now:
            return
        self.report_now = False
        self._reported_at = now
        parts = []
        if self.sends:
            parts = [rtcp.sender_report(one.report(now)) for one in (self.audio, self.video)]
        blocks = [stream.block(now) for stream in self.streams.values()]
        parts.append(rtcp.receiver_report(rtcp.ReceiverReport(self.video.ssrc, blocks)))
        parts.append(rtcp.source_description([self.audio.ssrc, self.video.ssrc], "load"))
        pictures = [stream.ssrc for stream in self.streams.values() if stream.video]
        if pictures:
            parts.append(rtcp.remb(self.video.ssrc, rtcp.Remb(self.remb_bps, pictures)))
        self._send_rtcp(b"".join(parts))

    def want_key_frame(self) -> None:
        """Ask for a key frame of every picture that comes."""
        for stream in self.streams.values():
            if stream.video:
                self._send_rtcp(rtcp.picture_loss(self.video.ssrc, stream.ssrc))

    def _send_rtcp(self, data: bytes) -> None:
        self._sendto(self._protect_rtcp(data), self._peer)

    # --- in -------------------------------------------------------------------------------

    def _received(self, data: bytes, source: tuple[Any, ...]) -> None:
        if not 127 < data[0] < 192:
            self._pass_on(data, source)
            return
        now = time.monotonic()
        if 192 <= data[1] <= 223:
            self._heed(self._unprotect_rtcp(data), now)
            return
        _, second, sequence, _, ssrc = HEADER.unpack_from(data)
        stream = self.streams.get(ssrc)
        if stream is None:
            video = second & 0x7F == self._video_type
            stream = self.streams[ssrc] = Incoming(ssrc, sequence, video=video)
        again = stream.highest - stream.base
        if not stream.add(sequence, now):
            return
        self.resent = stream.highest - stream.base == again
        self.packets += 1
        if second & 0x80 and stream.video:
            self.frames += 1
        if self.on_packet is not None:
            self.on_packet(self._unprotect(data), now)
        elif self.on_sample is not None and not self.packets % SAMPLE:
            try:
                self.on_sample(self._unprotect(data), now)
            except Exception:
                self.bad += 1

    def _heed(self, data: bytes, now: float) -> None:
        for report in rtcp.parse(data):
            if isinstance(report, rtcp.SenderReport | rtcp.ReceiverReport):
                for block in report.blocks:
                    self.on_report(block)
            match report:
                case rtcp.SenderReport(ssrc) if ssrc in self.streams:
                    self.streams[ssrc].heard = report.ntp >> 16 & 0xFFFFFFFF, now
                case rtcp.KeyframeRequest():
                    self.pictures_asked += 1
                    self.on_key_frame_wanted()
                case rtcp.Nack(ssrc, lost):
                    self._send_again(ssrc, list(lost), now)
                case rtcp.Remb(bitrate):
                    self.on_remb(bitrate)

    def _send_again(self, ssrc: int, lost: list[int], now: float) -> None:
        """As browsers do: within the rate, and the same packet not twice in a round trip."""
        self.asked_again += len(lost)
        stream = self.video if ssrc == self.video.ssrc else self.audio
        passed, self._resent_at = now - self._resent_at, now
        self._resend_bits = min(
            self.resend_bps, self._resend_bits + min(1.0, passed) * self.resend_bps
        )
        for sequence in lost:
            data = stream.ring.get(sequence % RING)
            if data is None or data[2:4] != sequence.to_bytes(2, "big"):
                continue
            if now - stream.again.get(sequence, 0.0) < NACK_S or self._resend_bits <= 0:
                continue
            stream.again[sequence] = now
            self._resend_bits -= 8 * len(data)
            self._sendto(self._protect(data), self._peer)
