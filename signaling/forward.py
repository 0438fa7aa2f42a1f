"""The seam to aiortc and aioice: the only module that touches their private names.

Two ways for media, behind the same Link. The fast one takes SRTP datagrams off the socket,
unprotects them, and protects and sends what the streams give back: no parsing into objects,
no task, no queue, no decoder thread. STUN and DTLS stay with the libraries. The parsed one
lets aiortc read the packets and is slower; it is used when a name of the fast way is missing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pylibsrtp
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
from signaling.guard import DATAGRAM_BYTES, SSRC, Address, Guard
from signaling.rtp import Packet
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
TRAILER_BYTES = 148
"What SRTP and SRTCP may add to a packet."
LOOK_EVERY = 32
"Packets between two looks at the socket's state."
SEND_BUFFER_BYTES = 1 << 20
"Media waiting for the kernel beyond this is dropped: late media is no use."

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
        "ice": (ice, ("get_component_candidates", "_protocols", "_check_list", "_queue")),
        "protocol": (StunProtocol, ("datagram_received",)),
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


BUFFER = _binding.ffi.new("char[]", DATAGRAM_BYTES + TRAILER_BYTES)
VIEW = _binding.ffi.buffer(BUFFER)
SIZE = _binding.ffi.new("int *")
SRTP_PROTECT, SRTP_UNPROTECT = _binding.lib.srtp_protect, _binding.lib.srtp_unprotect


class Srtp:
    """A pylibsrtp session called without its wrapper, which costs as much as the cipher.

    Everything runs on the event loop's thread and nothing is awaited between filling the
    buffer and copying out of it, so one buffer serves all.
    """

    def __init__(self, session: pylibsrtp.Session) -> None:
        self._session = session  # frees libsrtp's state when it goes
        self._srtp = session._srtp[0]

    def protect(self, data: bytes) -> bytes | None:
        """The packet encrypted; None if it cannot be."""
        size = len(data)
        if size > DATAGRAM_BYTES:
            return None
        VIEW[0:size] = data
        SIZE[0] = size
        if SRTP_PROTECT(self._srtp, BUFFER, SIZE):
            return None
        protected: bytes = VIEW[0 : SIZE[0]]
        return protected

    def unprotect(self, data: bytes) -> bytes | None:
        """The packet decrypted; None if it is forged, replayed or broken."""
        size = len(data)
        if size > DATAGRAM_BYTES:
            return None
        VIEW[0:size] = data
        SIZE[0] = size
        if SRTP_UNPROTECT(self._srtp, BUFFER, SIZE):
            return None
        plain: bytes = VIEW[0 : SIZE[0]]
        return plain

    def protect_rtcp(self, data: bytes) -> bytes | None:
        """RTCP encrypted."""
        return self._control(data, _binding.lib.srtp_protect_rtcp)

    def unprotect_rtcp(self, data: bytes) -> bytes | None:
        """RTCP decrypted."""
        return self._control(data, _binding.lib.srtp_unprotect_rtcp)

    def _control(self, data: bytes, run: Callable[..., int]) -> bytes | None:
        if len(data) > DATAGRAM_BYTES:
            return None
        VIEW[0 : len(data)] = data
        SIZE[0] = len(data)
        found: bytes | None = None if run(self._srtp, BUFFER, SIZE) else VIEW[0 : SIZE[0]]
        return found


class FastWire:
    """Protects and sends at once on the nominated pair's socket."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._dtls = dtls
        self._nominated = dtls.transport._connection._nominated
        self._srtp: Srtp | None = None
        self._pair: CandidatePair | None = None
        "The pair these are for:"
        self._until_look = 0
        self._protect: Callable[[bytes], bytes | None] = lambda data: None
        self._sendto: Callable[[bytes, Address], object] = lambda data, address: None
        self._address: Address = ("", 0)

    def _ready(self) -> Srtp | None:
        if self._srtp is None and self._dtls._tx_srtp is not None:
            self._srtp = Srtp(self._dtls._tx_srtp)
        return self._srtp

    def send_rtp(self, data: bytes) -> None:
        """Protect and send RTP."""
        pair = self._nominated.get(1)
        # Not looked at one by one: so few packets cannot fill memory.
        if pair is not self._pair or self._until_look <= 0:
            if not self._look(pair):
                return
        self._until_look -= 1
        protected = self._protect(data)
        if protected is not None:
            self._sendto(protected, self._address)

    def _look(self, pair: CandidatePair | None) -> bool:
        """Whether packets can go to this pair; if so, the next ones need not ask."""
        srtp = self._srtp or self._ready()
        if pair is None or srtp is None:
            return False
        transport: Any = pair.protocol.transport
        if transport.get_write_buffer_size() > SEND_BUFFER_BYTES or transport.is_closing():
            return False
        self._pair, self._until_look, self._protect = pair, LOOK_EVERY, srtp.protect
        self._sendto, self._address = transport.sendto, pair.remote_addr
        return True

    def send_rtcp(self, data: bytes) -> None:
        """Protect and send RTCP."""
        srtp = self._srtp or self._ready()
        pair = self._nominated.get(1)
        if srtp is None or pair is None or pair.protocol.transport.is_closing():
            return
        protected = srtp.protect_rtcp(data)
        if protected is not None:
            pair.protocol.transport.sendto(protected, pair.remote_addr)


class ParsedWire:
    """Sends through aiortc, a task for each packet (tasks run in order)."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        self._dtls = dtls
        self._tasks: set[asyncio.Task[None]] = set()

    def send_rtp(self, data: bytes) -> None:
        """Send RTP."""
        if self._dtls.state == "connected":
            task = asyncio.ensure_future(self._dtls._send_rtp(data))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    send_rtcp = send_rtp  # aiortc tells them apart by their second byte

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
    send_rtp: Callable[[bytes], None]

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
    """A peer connection that forwards; its host candidates are on given addresses only.

    VP8 or H.264 (constrained baseline), `video_codec` before the other, and Opus.
    """

    def __init__(
        self, addresses: Sequence[str], link: Link, video_codec: VideoCodec = "vp8"
    ) -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._path = check()
        self._addresses = list(addresses)
        self._link = link
        self._video_codec = video_codec
        self.guard: Guard | None = None
        self.wire: FastWire | ParsedWire | None = None
        self._RTCPeerConnection__certificates = [AeadCertificate.generateCertificate()]

    # The wire protocol: streams are made before the transport is known to them.

    def send_rtp(self, data: bytes) -> None:
        """Protect and send RTP; nothing before the connection is up."""
        if self.wire is not None:
            self.wire.send_rtp(data)

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
        self._keep_to_addresses(dtls)
        return dtls

    def _keep_to_addresses(self, dtls: RTCDtlsTransport) -> None:
        """Let aioice use our addresses, and put the guard before each socket it opens."""
        connection = dtls.transport._connection
        gather = connection.get_component_candidates

        async def guarded(component: int, addresses: list[str], timeout: int = 5) -> Any:
            found = await gather(component, self._addresses, timeout)
            for protocol in connection._protocols:
                protocol.datagram_received = self._door(  # type: ignore[method-assign,assignment]
                    dtls, connection, protocol
                )
            while not connection._queue.empty():  # what came in before the guard stood
                connection._queue.get_nowait()
            return found

        connection.get_component_candidates = guarded  # type: ignore[method-assign]

    def _door(
        self, dtls: RTCDtlsTransport, connection: Connection, protocol: StunProtocol
    ) -> Callable[[Any, Any], None]:
        """What a socket calls for each datagram."""
        link, pass_on, fast = self._link, protocol.datagram_received, self._path == "fast"
        guard = self.guard = _guard(connection, protocol, link)
        opened: list[Srtp] = []  # once the handshake is done
        monotonic, dropped, layers = time.monotonic, guard.dropped, link.layers

        def datagram_received(data: bytes, source: Any) -> None:
            # Nearly every datagram of a call is media of a known stream from where the last
            # came. The guard has answered for so many of these in advance; they need only
            # be decrypted and handed to their stream. All others take the long way.
            if opened and source == guard.known and guard.credit > 0 and len(data) > 12:
                layer = layers.get(SSRC(data, 8)[0])
                if layer is not None and data[0] & 0xC0 == 0x80:
                    guard.credit -= 1
                    plain = opened[0].unprotect(data)
                    now = monotonic()
                    if plain is None:
                        guard.forged(now)
                        return
                    try:
                        layer.receive(Packet(plain, now))
                    except ValueError:  # no RTP inside
                        dropped["malformed"] += 1
                    return
            otherwise(data, source)

        def otherwise(data: bytes, source: Any) -> None:
            address: Address = source if len(source) == 2 else source[:2]  # IPv6 has four parts
            now = monotonic()
            if not guard.admits(data, address, now):
                return
            if data[0] < 128 or not fast:
                try:
                    pass_on(data, source)
                except Exception as error:  # a STUN parser may stumble over hostile bytes
                    dropped["malformed"] += 1
                    log.debug("x datagram refused: %r", error)
                return
            if not opened:
                session: pylibsrtp.Session | None = dtls._rx_srtp
                if session is None:
                    return
                opened.append(Srtp(session))
            control = 192 <= data[1] <= 223
            plain = opened[0].unprotect_rtcp(data) if control else opened[0].unprotect(data)
            if plain is None:
                guard.forged(now)
            elif control:
                link.received_rtcp(plain, now)
            else:
                guard.known = source
                link.received_rtp(plain, now)

        return datagram_received


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
