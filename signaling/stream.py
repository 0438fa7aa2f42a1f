"""Media streams inside the server: one Uplink from a publisher to any number of Downlinks.

No sockets here: a Link is given bytes and gives bytes. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from signaling import rtcp
from signaling.downlink import SEND_TIME_URI, WALL_CLOCK, Downlink
from signaling.layer import Layer
from signaling.line import Line
from signaling.rate import LOSS_LOW
from signaling.rtp import Packet, timestamp_delta
from signaling.uplink import LEVEL_URI, NOTHING, RID_URI, Arrival, Uplink

__all__ = [
    "LEVEL_URI", "MID_URI", "NOTHING", "RID_URI", "SEND_TIME_URI", "WALL_CLOCK",
    "Arrival", "Downlink", "Link", "Uplink",
]  # fmt: skip

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
OLD_S = 2.0
"Packets asked for that are no longer kept may be so old."
QUEUED_US = 2_000_000
STREAMS = 64
"Most streams a browser is known to send."


class Link:
    """All streams of one browser connection, and the RTCP that belongs to them."""

    def __init__(self, media_time: Callable[[float], int]) -> None:
        self.name = ""
        "The canonical name (CNAME) our streams go by, the same as in the answer."
        self.uplinks: dict[str, Uplink] = {}
        "By mid."
        self.downlinks: dict[int, Downlink] = {}
        "By SSRC."
        self.line = Line()
        self.layers: dict[int, Layer] = {}
        "What the browser sends, by SSRC."
        self.handed_over: object = None
        "The last RTCP packet that came in parsed."
        self._compared: set[int] = set()
        "Streams whose first sender report has come."
        self._media_time = media_time
        self._codecs: dict[str, dict[int, str]] = {}
        self._mid_extension = 0
        self._rid_extension = 0

    def open_uplink(
        self, mid: str, codecs: dict[int, str], ssrcs: Sequence[int], extensions: dict[str, int]
    ) -> None:
        """The connection is up; what was negotiated for this uplink."""
        uplink = self.uplinks.get(mid)
        if uplink is None:
            return
        uplink.open(codecs, extensions)
        self._codecs[mid] = codecs
        self._mid_extension = extensions.get(MID_URI, self._mid_extension)
        self._rid_extension = extensions.get(RID_URI, self._rid_extension)
        for ssrc in ssrcs[:1] if not uplink.layered else ():
            self._learn(ssrc, uplink.stream(ssrc))

    @property
    def payload_types(self) -> set[int]:
        """All that the browser may send, once the connection is up."""
        return {number for codecs in self._codecs.values() for number in codecs}

    @property
    def receivable(self) -> frozenset[str]:
        """The video codecs the browser can be sent; empty before the connection is up."""
        videos = (one.receivable for one in self.downlinks.values() if one.kind == "video")
        return frozenset().union(*videos)

    # --- packets --------------------------------------------------------------------------

    def is_stream(self, ssrc: int) -> bool:
        """Whether packets of this SSRC are expected."""
        return ssrc in self.layers

    def received_rtp(self, data: bytes, now: float) -> None:
        """An unprotected RTP packet came."""
        try:
            packet = Packet(data, now)
        except ValueError:
            return
        layer = self.layers.get(packet.ssrc) or self._adopt(packet)
        if layer is not None:
            layer.receive((packet,))

    def _adopt(self, packet: Packet) -> Layer | None:
        """Find the stream of an unknown SSRC: by MID and RID, else by payload type."""
        mid, rid = None, ""
        for number, value in packet.extensions():
            if number == self._mid_extension:
                mid = value.decode("ascii", "replace")
            elif number == self._rid_extension:
                rid = value.decode("ascii", "replace")
        if mid is None:
            fitting = [m for m, codecs in self._codecs.items() if packet.payload_type in codecs]
            mid = fitting[0] if len(fitting) == 1 else None
        uplink = self.uplinks.get(mid) if mid is not None else None
        if uplink is None or packet.payload_type not in self._codecs.get(mid or "", ()):
            return None
        layer = uplink.stream(packet.ssrc, rid)
        self._learn(packet.ssrc, layer)
        return layer

    def _learn(self, ssrc: int, layer: Layer | None) -> None:
        """A layer has one SSRC: packets of a former one are those of a stranger again."""
        if layer is None:
            return
        for former in [one for one, known in self.layers.items() if known is layer]:
            del self.layers[former]
        if len(self.layers) < STREAMS:
            self.layers[ssrc] = layer

    # --- feedback -------------------------------------------------------------------------

    def received_rtcp(self, data: bytes, now: float) -> None:
        """An unprotected RTCP packet came."""
        try:
            for report in rtcp.parse(data):
                self._heed(report, now)
        except ValueError:
            return

    def _heed(self, report: rtcp.Report, now: float) -> None:
        if isinstance(report, rtcp.SenderReport | rtcp.ReceiverReport):
            for block in report.blocks:
                if block.ssrc in self.downlinks:
                    self._reported(self.downlinks[block.ssrc], block, now)
        match report:
            case rtcp.SenderReport(ssrc) if ssrc in self.layers:
                self._compare(self.layers[ssrc], report, now)
                self.layers[ssrc].sender_report(report, now)
            case rtcp.Nack(ssrc, lost) if ssrc in self.downlinks:
                self._missed(self.downlinks[ssrc], list(lost), now)
            case rtcp.KeyframeRequest(ssrc) if ssrc in self.downlinks:
                self.downlinks[ssrc].request_keyframe(now)
            case rtcp.Remb(bitrate, ssrcs) if any(ssrc in self.downlinks for ssrc in ssrcs):
                self.line.estimated(bitrate)

    def _compare(self, layer: Layer, report: rtcp.SenderReport, now: float) -> None:
        """The first report may have queued longer than the packets it tells of: theirs counts.

        Else sound and pictures would both be moved to and fro, and apart meanwhile.
        """
        here = self._media_time(now)
        line = layer.clock.timestamp_at(here)
        if report.ssrc in self._compared or line is None:
            return
        self._compared = {ssrc for ssrc in self._compared if ssrc in self.layers} | {report.ssrc}
        behind = timestamp_delta(line, report.timestamp) * 1_000_000 // layer.codec.rate
        if 0 < behind < QUEUED_US:
            layer.sender_clock.add(rtcp.ntp_us(report.ntp), here - behind)

    def _reported(self, downlink: Downlink, block: rtcp.Block, now: float) -> None:
        downlink.reported(block, now)
        source_loss = downlink.layer.loss if downlink.layer is not None else 0.0
        self.line.reported(block.fraction_lost / 256, source_loss)
        if block.last_report and downlink.round_trip_s is not None:
            self.line.took(downlink.round_trip_s)

    def _missed(self, downlink: Downlink, lost: list[int], now: float) -> None:
        since = self.line.cut_at
        fresh = [sequence for sequence in lost if _came(downlink, sequence, since, now)]
        if self.line.missed(downlink.ssrc, fresh, self._sent_octets, now):
            self._share(now)
            for one in self.downlinks.values():
                one.choke()
        else:
            downlink.resend(lost, now)

    @property
    def round_trip_s(self) -> float | None:
        """Seconds to the browser and back, from the latest reports."""
        trips = [one.round_trip_s for one in self.downlinks.values() if one.round_trip_s]
        return min(trips, default=None)

    # --- the line down ----------------------------------------------------------------------

    @property
    def _sent_bps(self) -> float:
        return sum(one.throughput.bps for one in self.downlinks.values())

    @property
    def _sent_octets(self) -> int:
        """All video ever sent, each packet once."""
        videos = (one for one in self.downlinks.values() if one.kind == "video")
        return sum(one.sent_octets - one.resent_octets for one in videos)

    def _share(self, now: float) -> None:
        """Divide the line: sound first, what is left to the videos in equal parts."""
        videos = [one for one in self.downlinks.values() if one.kind == "video"]
        sound = sum(one.throughput.bps for one in self.downlinks.values() if one.kind == "audio")
        share = self.line.share_bps(sound, sum(one.source is not None for one in videos))
        for one in videos:
            one.limit(share, now)

    # --- reports ----------------------------------------------------------------------------

    def reports(self, own_ssrc: int, now: float) -> bytes:
        """The compound RTCP packet due twice a second; empty if there is nothing to say."""
        senders = []
        for downlink in self.downlinks.values():
            downlink.throughput.measure(now, downlink.sent_octets)
            report = downlink.sender_report(now, self._media_time(now))
            if report is not None:
                senders.append(report)
        self.line.update(now, self._sent_bps, self._sent_octets)
        self._share(now)
        blocks = []
        for uplink in self.uplinks.values():
            uplink.care(now, self.round_trip_s)
            blocks += uplink.blocks(now)
        if not senders and not blocks:
            return b""
        parts = [rtcp.sender_report(report) for report in senders]
        parts.append(rtcp.receiver_report(rtcp.ReceiverReport(own_ssrc, blocks)))
        named = [report.ssrc for report in senders] or [own_ssrc]
        parts.append(rtcp.source_description(named, self.name))
        parts.append(self.allowance(own_ssrc, now))
        return b"".join(parts)

    def backlog_at(self, now: float) -> float:
        """How long packets queue on the way in."""
        return self._sound_backlog(now) or 0.0

    def _sound_backlog(self, now: float) -> float | None:
        """None while there is no sound: pictures tell less, browsers hold them back themselves."""
        sounds = (one for one in self.uplinks.values() if one.kind == "audio")
        return max((one.backlog_at(now) for one in sounds if one.main.alive(now)), default=None)

    def allowance(self, own_ssrc: int, now: float) -> bytes:
        """How much the browser may send now (REMB); empty while it sends no pictures.

        Browsers heed the last one, for camera and screen together.
        """
        backlog = self._sound_backlog(now)
        allowed, ssrcs = 0, list[int]()
        for uplink in self.uplinks.values():
            if uplink.kind == "video" and uplink.best(now).alive(now):
                uplink.measure_rate(now)
                allowed += uplink.allowed_bps(now, backlog)
                ssrcs += [layer.ssrc for layer in uplink.layers if layer.ssrc is not None]
        return rtcp.remb(own_ssrc, rtcp.Remb(allowed, ssrcs)) if ssrcs else b""


def _came(downlink: Downlink, sequence: int, since: float, now: float) -> bool:
    """Whether the packet came to us after a moment: else the viewer's line did not lose it."""
    layer = downlink.layer
    if layer is None or not downlink.sent_lately(sequence):
        return False
    packet = downlink.source_packet(sequence)
    if packet is None:  # no longer kept, if its source does not lose any
        return layer.loss < LOSS_LOW and now - since > OLD_S
    return packet.arrival > since
