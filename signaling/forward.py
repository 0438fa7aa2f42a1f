"""The seam to aiortc and aioice: the only module that touches their private names.

Two ways for media, behind the same Link. The fast one takes SRTP datagrams off the socket,
unprotects them, and protects and sends what the streams give back: no parsing into objects,
no task, no queue, no decoder thread. STUN and DTLS stay with the libraries. The parsed one
lets aiortc read the packets and is slower; it is used when a name of the fast way is missing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pylibsrtp
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport
from aiortc.rtcrtpparameters import (
    RTCRtpCodecCapability,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import AnyRtcpPacket, RtpPacket
from OpenSSL import SSL
from pylibsrtp import _binding

from signaling.codecs import CODECS, VideoCodec
from signaling.datagrams import SLOT, Address, Destination
from signaling.guard import DATAGRAM_BYTES, Guard
from signaling.layer import Layer
from signaling.port import QUIET_S, Port, Share
from signaling.rtp import UNPACK, Packet
from signaling.sdp import simulcast_extensions
from signaling.stream import RID_URI, Link

log = logging.getLogger(__name__)

AEAD_PROFILES = [
    profile
    for profile in (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM)
    if profile in SRTP_PROFILES
]
AEAD_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
)
DTLS_1_2 = 0xFEFD
H264_CONSTRAINED_BASELINE = "42e01f"
"As aiortc writes it; what is offered need only have the same profile."
NAME_BYTES = 8
"Of chance in our ICE user name fragment."
TRAILER_BYTES = 148
"What SRTP and SRTCP may add to a packet."

Path = Literal["fast", "parsed"]


class Unsupported(RuntimeError):
    """The installed aiortc or aioice is not one this module knows."""


def _probe() -> dict[str, tuple[object, tuple[str, ...]]]:
    """Objects whose private names the two ways rely on, with these names."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    gatherer = RTCIceGatherer(iceServers=[])
    dtls = RTCDtlsTransport(RTCIceTransport(gatherer), [RTCCertificate.generateCertificate()])
    sender, receiver = RTCRtpSender("audio", dtls), RTCRtpReceiver("audio", dtls)
    transceiver = RTCRtpTransceiver("audio", receiver, sender)
    ice = gatherer._connection
    both: dict[str, tuple[object, tuple[str, ...]]] = {
        "connection": (
            connection,
            (
                "_RTCPeerConnection__createTransceiver",
                "_RTCPeerConnection__createDtlsTransport",
                "_RTCPeerConnection__certificates",
            ),
        ),
        "transceiver": (
            transceiver,
            (
                "_RTCRtpTransceiver__sender", "_RTCRtpTransceiver__receiver", "_headerExtensions",
            ),
        ),
        "dtls": (
            dtls,
            (
                "_srtp_profiles", "_register_rtp_receiver", "_unregister_rtp_receiver",
                "_register_rtp_sender", "_unregister_rtp_sender", "_send_rtp",
                "_rtp_header_extensions_map",
            ),
        ),
        "certificate": (RTCCertificate, ("_create_ssl_context",)),
        "sender": (sender, ("_ssrc", "_stream_id", "_handle_rtcp_packet")),
        "receiver": (
            receiver,
            ("_set_rtcp_ssrc", "_handle_rtp_packet", "_handle_rtcp_packet", "_handle_disconnect"),
        ),
        "ice": (
            ice, ("get_component_candidates", "_protocols", "_check_list", "_local_username"),
        ),
        "protocol": (StunProtocol, ("datagram_received", "connection_made", "connection_lost")),
    }  # fmt: skip
    fast: dict[str, tuple[object, tuple[str, ...]]] = {
        "fast dtls": (dtls, ("_rx_srtp", "_tx_srtp")),
        "fast transport": (dtls.transport, ("_connection",)),
        "fast ice": (ice, ("_nominated",)),
        "fast pair": (CandidatePair, ("remote_addr",)),
        "fast session": (pylibsrtp.Session(), ("_srtp",)),
        "fast libsrtp": (
            _binding.lib,
            ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"),
        ),
    }
    return both | fast


def missing_names() -> list[str]:
    """Names this module relies on that the installed libraries lack; needs a running loop."""
    try:
        probe = _probe()
    except Exception as error:
        return [f"probe: {error!r}"]
    return [
        f"{where}.{name}"
        for where, (holder, names) in probe.items()
        for name in names
        if not hasattr(holder, name)
    ]


class _Chosen:
    """The way chosen for this process."""

    path: Path | None = None


def check() -> Path:
    """Choose the way, once; call it at start-up. Raises Unsupported if neither would work."""
    if _Chosen.path is None:
        missing = missing_names()
        needed = [name for name in missing if not name.startswith("fast ")]
        if needed or not AEAD_PROFILES:
            raise Unsupported(f"aiortc/aioice lack {needed or 'AEAD protection profiles'}")
        _Chosen.path = "parsed" if missing else "fast"
        if missing:
            log.warning("x media takes the slower, parsed way: the libraries lack %s", missing)
    return _Chosen.path


# --- the wire --------------------------------------------------------------------------------


FFI, SRTP = _binding.ffi, _binding.lib
SIZE = FFI.new("int *")
PROTECT, UNPROTECT = SRTP.srtp_protect, SRTP.srtp_unprotect
TAG_BYTES = 16
"What AES-GCM adds to a packet (RFC 7714)."


def _context(session: pylibsrtp.Session) -> Any:
    """libsrtp's own session, called without pylibsrtp's wrapper: that costs as much as the cipher.

    Everything runs on the event loop's thread, and nothing is awaited in between: one SIZE
    serves all.
    """
    return session._srtp[0]


def _crypted(session: pylibsrtp.Session, data: bytes, run: Callable[..., int]) -> bytes | None:
    """A packet encrypted or decrypted; None if it cannot be."""
    buffer = FFI.new("char[]", len(data) + TRAILER_BYTES)
    FFI.memmove(buffer, data, len(data))
    SIZE[0] = len(data)
    return None if run(_context(session), buffer, SIZE) else bytes(FFI.buffer(buffer, SIZE[0]))


class FastWire:
    """Protects in the port's memory; the port sends a batch at a time."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._dtls = dtls
        self._nominated = dtls.transport._connection._nominated
        self._pair: CandidatePair | None = None
        "The pair the following are for."
        self._port: Port
        self._outbox: memoryview
        self._base: Any
        self._srtp: Any
        self._destination: Destination

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        """Protect and send RTP."""
        pair = self._nominated.get(1)
        if pair is None or (pair is not self._pair and not self._turn_to(pair)):
            return
        port, outbox, srtp, base = self._port, self._outbox, self._srtp, self._base
        at = port.space(sum(map(len, packets)) + TRAILER_BYTES * len(packets), len(packets))
        sizes = []
        for data in packets:
            size = len(data)
            outbox[at : at + size] = data
            SIZE[0] = size
            if not PROTECT(srtp, base + at, SIZE):
                size = SIZE[0]
                sizes.append(size)
                at += size
        port.push(sizes, self._destination)

    def _turn_to(self, pair: CandidatePair) -> bool:
        """Whether packets can go to this pair from now on."""
        session, share = self._dtls._tx_srtp, pair.protocol.transport
        if session is None or not isinstance(share, Share):
            return False
        self._pair, self._port, self._srtp = pair, share.port, _context(session)
        self._outbox = memoryview(share.port.outbox.memory)
        self._base = FFI.from_buffer(share.port.outbox.memory)
        self._destination = Destination(pair.remote_addr)
        return True

    def send_rtcp(self, data: bytes) -> None:
        """Protect and send RTCP."""
        pair, session = self._nominated.get(1), self._dtls._tx_srtp
        if pair is None or session is None or len(data) > DATAGRAM_BYTES:
            return
        protected = _crypted(session, data, SRTP.srtp_protect_rtcp)
        if protected is not None:
            pair.protocol.transport.sendto(protected, pair.remote_addr)


class ParsedWire:
    """Sends through aiortc, a task for each packet (tasks run in order)."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._dtls = dtls
        self._tasks: set[asyncio.Task[None]] = set()

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        """Send RTP."""
        for data in packets:
            self.send_rtcp(data)

    def send_rtcp(self, data: bytes) -> None:
        """Send RTCP, or RTP: aiortc tells them apart by their second byte."""
        if self._dtls.state == "connected":
            task = asyncio.ensure_future(self._dtls._send_rtp(data))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("x packet not sent: %r", task.exception())


# --- aiortc's classes, without encoders and decoders -------------------------------------------


class AeadCertificate(RTCCertificate):
    """A certificate whose DTLS takes authenticated encryption only."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(AEAD_SUITES)
        context.set_min_proto_version(DTLS_1_2)
        return context


def _extensions(parameters: RTCRtpSendParameters | RTCRtpReceiveParameters) -> dict[str, int]:
    return {extension.uri: extension.id for extension in parameters.headerExtensions}


def _codecs(parameters: RTCRtpSendParameters | RTCRtpReceiveParameters) -> dict[int, str]:
    """Payload type -> codec, the preferred first."""
    named = ((one.payloadType, one.name.lower()) for one in parameters.codecs)
    return {number: name for number, name in named if number is not None and name in CODECS}


def _preferences(kind: str, video_codec: VideoCodec) -> list[RTCRtpCodecCapability]:
    """What may be answered, in this order.

    Without RTX in the answer lost packets come again under their own SSRC.
    """
    capabilities = RTCRtpSender.getCapabilities(kind).codecs
    if kind == "audio":
        return [one for one in capabilities if one.mimeType.lower() == "audio/opus"]
    wanted = [
        one
        for one in capabilities
        if one.mimeType.lower() == "video/vp8"
        or one.parameters.get("profile-level-id") == H264_CONSTRAINED_BASELINE
    ]
    return sorted(wanted, key=lambda one: one.name.lower() != video_codec)


def _hand_over(link: Link, packet: AnyRtcpPacket) -> None:
    """The parsed way gives one packet to each stream that it concerns: the link needs it once."""
    if packet is not link.handed_over:
        link.handed_over = packet
        link.received_rtcp(bytes(packet), time.monotonic())


class ForwardSender(RTCRtpSender):
    """Sends nothing by itself: opens the downlink that does."""

    link: Link
    send_rtp: Callable[[Sequence[bytes]], None]

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """The connection is up."""
        self.transport._register_rtp_sender(self, parameters)
        self.link.name = parameters.rtcp.cname or ""
        downlink = self.link.downlinks.get(self._ssrc)
        if downlink is not None:
            numbers = {name: number for number, name in reversed(_codecs(parameters).items())}
            downlink.open(numbers, _extensions(parameters), self.send_rtp)

    async def stop(self) -> None:
        """The connection ends."""
        self.transport._unregister_rtp_sender(self)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        _hand_over(self.link, packet)


class ForwardReceiver(RTCRtpReceiver):
    """Decodes nothing and starts no thread: hands packets to the link."""

    link: Link

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """The connection is up."""
        codecs = _codecs(parameters)
        # The parsed way routes by payload type, and drops where several receivers have the same
        # (camera and screen): one of them takes all, the link tells the streams apart.
        if not self.link.payload_types & codecs.keys():
            self.transport._register_rtp_receiver(self, parameters)
        ssrcs = [encoding.ssrc for encoding in parameters.encodings]
        self.link.open_uplink(parameters.muxId, codecs, ssrcs, _extensions(parameters))

    async def stop(self) -> None:
        """The connection ends."""
        self.transport._unregister_rtp_receiver(self)

    def _handle_disconnect(self) -> None:
        """There is no decoder to stop."""

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        _hand_over(self.link, packet)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        plain = packet.serialize(self.transport._rtp_header_extensions_map)
        self.link.received_rtp(plain, time.monotonic())


class ForwardingConnection(RTCPeerConnection):
    """A peer connection that forwards, through given ports.

    VP8 or H.264 (constrained baseline), `video_codec` before the other, and Opus.
    """

    def __init__(self, ports: Sequence[Port], link: Link, video_codec: VideoCodec = "vp8") -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._path = check()
        self._ports = tuple(ports)
        self._link = link
        self._video_codec = video_codec
        self.doors: list[Door] = []
        self.wire: FastWire | ParsedWire | None = None
        self._RTCPeerConnection__certificates = [AeadCertificate.generateCertificate()]

    # The wire protocol: streams are made before the transport is known to them.

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        """Protect and send RTP; nothing before the connection is up."""
        if self.wire is not None:
            self.wire.send_rtp(packets)

    def send_rtcp(self, data: bytes) -> None:
        """Protect and send RTCP; nothing before the connection is up."""
        if self.wire is not None:
            self.wire.send_rtcp(data)

    def _RTCPeerConnection__createTransceiver(
        self, direction: str, kind: str, sender_track: Any = None
    ) -> RTCRtpTransceiver:
        transceiver: RTCRtpTransceiver = super()._RTCPeerConnection__createTransceiver(  # type: ignore[misc]
            direction=direction, kind=kind, sender_track=sender_track
        )
        transport = transceiver.sender.transport
        sender, receiver = ForwardSender(kind, transport), ForwardReceiver(kind, transport)
        sender.link = receiver.link = self._link
        assert self.wire is not None  # made with the first transceiver's transport
        sender.send_rtp = self.wire.send_rtp
        receiver._set_rtcp_ssrc(sender._ssrc)
        transceiver._RTCRtpTransceiver__sender = sender  # type: ignore[attr-defined]
        transceiver._RTCRtpTransceiver__receiver = receiver  # type: ignore[attr-defined]
        transceiver.setCodecPreferences(_preferences(kind, self._video_codec))
        return transceiver

    async def setRemoteDescription(self, description: RTCSessionDescription) -> None:
        """Also take simulcast where it is offered, of which aiortc knows nothing."""
        await super().setRemoteDescription(description)
        names = simulcast_extensions(description.sdp)
        for transceiver in self.getTransceivers():
            if transceiver.mid in names:
                transceiver._headerExtensions.append(
                    RTCRtpHeaderExtensionParameters(id=names[transceiver.mid], uri=RID_URI)
                )

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:
        dtls: RTCDtlsTransport = super()._RTCPeerConnection__createDtlsTransport()  # type: ignore[misc]
        dtls._srtp_profiles = AEAD_PROFILES
        self.wire = FastWire(dtls) if self._path == "fast" else ParsedWire(dtls)
        self._keep_to_ports(dtls)
        return dtls

    def _keep_to_ports(self, dtls: RTCDtlsTransport) -> None:
        """Let aioice use our ports instead of sockets of its own."""
        connection = dtls.transport._connection
        # All calls of a port are told apart by this name: aioice's four letters may meet again.
        connection._local_username = secrets.token_hex(NAME_BYTES)

        async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
            found = []
            for port in self._ports:
                protocol = StunProtocol(connection)
                door = Door(dtls, connection, protocol, self._link, fast=self._path == "fast")
                try:
                    share = port.join(door, protocol.connection_lost)
                except OSError as error:
                    log.error("x no media at %s: %s", port, error)
                    continue
                door.share = share
                protocol.connection_made(share)
                protocol.local_candidate = _candidate(component, *share.get_extra_info("sockname"))
                connection._protocols.append(protocol)
                found.append(protocol.local_candidate)
                self.doors.append(door)
            return found

        connection.get_component_candidates = gather  # type: ignore[method-assign]


def _candidate(component: int, host: str, number: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=host,
        port=number,
        type="host",
    )


class Door:
    """What a port calls for the datagrams of one connection."""

    share: Share

    def __init__(
        self,
        dtls: RTCDtlsTransport,
        connection: Connection,
        protocol: StunProtocol,
        link: Link,
        *,
        fast: bool,
    ) -> None:
        self.name = connection.local_username.encode()
        self.guard = _guard(connection, protocol, link)
        self._dtls = dtls
        self._protocol = protocol
        self._link = link
        self._layers = link.layers
        self._fast = fast
        self._heard_at = float("-inf")
        self._inbox: bytearray
        self._slots: list[Any]
        self._srtp: Any = None
        "libsrtp's session once the handshake is done."

    def heard(self, now: float) -> bool:
        """Whether something authentic came within QUIET_S."""
        times = [one.heard_at for one in self._layers.values() if one.heard_at is not None]
        return now - max([self._heard_at, *times]) < QUIET_S

    def received(self, data: bytes, source: Address, now: float) -> None:
        """A datagram of any kind."""
        if not self.guard.admits(data, source, now):
            return
        if data[0] < 128 or not self._fast:
            try:
                self._protocol.datagram_received(data, source)
            except Exception as error:  # a STUN parser may stumble over hostile bytes
                self.guard.dropped["malformed"] += 1
                log.debug("x datagram refused: %r", error)
            return
        session: pylibsrtp.Session | None = self._dtls._rx_srtp
        if session is None:
            return
        control = 192 <= data[1] <= 223
        plain = _crypted(session, data, SRTP.srtp_unprotect_rtcp if control else UNPROTECT)
        if plain is None:
            self.guard.forged(now)
            return
        self._heard_at = now
        if control:
            self._link.received_rtcp(plain, now)
        else:
            self._open(session, source)
            self._link.received_rtp(plain, now)

    def _open(self, session: pylibsrtp.Session, source: Address) -> None:
        """The address is authentic: media from there goes the short way from now on."""
        port = self.share.port
        self._inbox = port.inbox.memory
        base = FFI.from_buffer(self._inbox)
        self._slots = [base + at for at in range(0, len(self._inbox), SLOT)]
        self._srtp = _context(session)
        port.known(self.share, source, self._media)

    def _media(self, first: int, sizes: Sequence[int], now: float) -> Sequence[int]:
        """Datagrams from where authentic media came; answers with those that are none.

        Nearly all of a call are media of a known stream. The guard has answered for so many of
        these in advance; they need only be decrypted, where they stand, and handed to their
        stream, one run of packets after another.
        """
        inbox, slots, srtp = self._inbox, self._slots, self._srtp
        layers, guard, copy = self._layers, self.guard, self.share.port.inbox.datagram
        others: list[int] = []
        run: list[Packet] = []
        last: Layer | None = None
        for slot, size in enumerate(sizes, first):
            header = UNPACK(inbox, slot * SLOT)
            layer = layers.get(header[4])
            if layer is None or header[0] & 0xC0 != 0x80 or not 28 < size < SLOT:
                others.append(slot)
                continue
            guard.credit -= 1
            if guard.credit < 0 and not guard.renew(now):
                continue
            SIZE[0] = size
            if UNPROTECT(srtp, slots[slot], SIZE):
                guard.forged(now)
                continue
            try:
                packet = Packet(copy(slot, size - TAG_BYTES), now, header)
            except ValueError:  # no RTP inside
                guard.dropped["malformed"] += 1
                continue
            if layer is not last:
                if last is not None:
                    last.receive(run)
                run, last = [], layer
            run.append(packet)
        if last is not None:
            last.receive(run)
        return others


def _guard(connection: Connection, protocol: StunProtocol, link: Link) -> Guard:
    passed = (CandidatePair.State.IN_PROGRESS, CandidatePair.State.SUCCEEDED)

    def is_peer(address: Address) -> bool:
        return any(
            pair.remote_addr == address and pair.state in passed for pair in connection._check_list
        )

    return Guard(
        connection.local_username,
        is_peer=is_peer,
        is_transaction=lambda number: number in protocol.transactions,
        is_stream=link.is_stream,
    )


def name_streams(transceiver: RTCRtpTransceiver, stream: str) -> int:
    """Put a transceiver's outgoing track into a media stream; returns its SSRC.

    Browsers keep audio and video of one stream together, so each person gets one.
    """
    transceiver.sender._stream_id = stream
    return int(transceiver.sender._ssrc)
