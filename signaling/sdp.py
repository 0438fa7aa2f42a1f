"""Offers checked before they touch anything, and the lines our answers add."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import (
    H264Profile,
    MediaDescription,
    SessionDescription,
    parse_h264_profile_level_id,
)

from signaling.rate import FLOOR_BPS, START_BPS
from signaling.uplink import LOW, MAIN, RID_URI

SECTIONS = 16
"Most media sections in an offer: eight people seen at once."
FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
LAYERS = (MAIN, LOW)
RID = re.compile(r"a=rid:(\w{1,16}) send\b")
SIMULCAST = re.compile(r"a=simulcast:send ([\w~;]{1,64})(?: recv .*)?")
RID_EXTENSION = re.compile(rf"a=extmap:(\d{{1,2}})(?:/\w+)? {re.escape(RID_URI)}")


class OfferRefused(Exception):
    """An offer that cannot be answered. `code` is stable, `message` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class Section(NamedTuple):
    """One media section of an offer."""

    kind: str
    "audio or video"
    mid: str
    sends: bool
    "The browser wants to send here."
    codecs: frozenset[str] = frozenset()
    "Those of the codecs we forward that are offered: opus; vp8, h264."
    layers: tuple[str, ...] = ()
    "Simulcast layers (rid) that are offered and can be taken, the best first."


def checked_offer(text: str) -> list[Section]:
    """The media sections of an offer we can answer. Raises OfferRefused."""
    try:
        offer = SessionDescription.parse(text)
        offer.type = "offer"
        str(offer)
    except Exception as error:  # the parser may stumble anywhere over hostile text
        raise OfferRefused("bad_offer", "The offer is not readable SDP.") from error
    if not offer.media:
        raise OfferRefused("bad_offer", "The offer has no media.")
    if len(offer.media) > SECTIONS:
        raise OfferRefused("bad_offer", f"The offer has more than {SECTIONS} media sections.")
    mids = [media.rtp.muxId for media in offer.media]
    if "" in mids or None in mids or len(set(mids)) != len(mids):
        raise OfferRefused("bad_offer", "Each media section needs a mid of its own.")
    bundle = next((group.items for group in offer.group if group.semantic == "BUNDLE"), [])
    if list(bundle) != mids:
        raise OfferRefused("not_bundled", "All media must go in one BUNDLE group.")
    taken = {one[0]: one[1] for lines in _media_lines(text) if (one := _simulcast(lines))}
    sections = [_checked_section(media) for media in offer.media]
    return [one._replace(layers=taken.get(one.mid, ())) for one in sections]


def _checked_section(media: MediaDescription) -> Section:
    if media.kind not in ("audio", "video"):
        raise OfferRefused("bad_offer", "Only audio and video can be offered.")
    prints = media.dtls.fingerprints if media.dtls is not None else []
    if not any(p.algorithm.lower() == "sha-256" and FINGERPRINT.fullmatch(p.value) for p in prints):
        raise OfferRefused("no_fingerprint", "The offer has no SHA-256 DTLS fingerprint.")
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise OfferRefused("bad_offer", "The offer has no ICE credentials.")
    if not media.rtcp_mux:
        raise OfferRefused("bad_offer", "RTCP must go with RTP (rtcp-mux).")
    codecs = _known_codecs(media)
    if not codecs:
        wanted = "Opus" if media.kind == "audio" else "VP8 and no H264 (constrained baseline)"
        raise OfferRefused("no_common_codec", f"The offer has no {wanted} for {media.kind}.")
    sends = media.direction in (None, "sendrecv", "sendonly")
    return Section(media.kind, media.rtp.muxId, sends, codecs)


def _known_codecs(media: MediaDescription) -> frozenset[str]:
    known = set()
    for codec in media.rtp.codecs:
        name = codec.name.lower()
        if (name, codec.clockRate) in (("opus", 48000), ("vp8", 90000)):
            known.add(name)
        elif (name, codec.clockRate) == ("h264", 90000) and _is_baseline(codec):
            known.add(name)
    return frozenset(known & ({"opus"} if media.kind == "audio" else {"vp8", "h264"}))


def _is_baseline(codec: RTCRtpCodecParameters) -> bool:
    """Constrained baseline, in packetization mode 1."""
    try:
        profile, _ = parse_h264_profile_level_id(
            str(codec.parameters.get("profile-level-id", "42e01f"))
        )
    except ValueError:
        return False
    mode = str(codec.parameters.get("packetization-mode", "0"))
    return profile is H264Profile.PROFILE_CONSTRAINED_BASELINE and mode == "1"


# --- simulcast, which the SDP parser passes over ------------------------------------------------


def _media_lines(text: str) -> list[list[str]]:
    """The lines of each media section."""
    sections: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("m="):
            sections.append([])
        if sections:
            sections[-1].append(line)
    return sections


def _simulcast(lines: list[str]) -> tuple[str, tuple[str, ...], int] | None:
    """Mid, layers and rtp-stream-id extension of a section that offers simulcast as we do it.

    One encoding each, of names known here; None otherwise: the browser then sends one stream.
    """
    mid, extension = "", 0
    layers: tuple[str, ...] = ()
    for line in lines:
        if line.startswith("a=mid:"):
            mid = line[6:].strip()
        elif found := SIMULCAST.fullmatch(line):
            names = [name.lstrip("~") for name in found[1].split(";")]
            layers = tuple(name for name in LAYERS if name in names) if len(names) == 2 else ()
        elif found := RID_EXTENSION.fullmatch(line):
            extension = int(found[1])
    rids = {found[1] for line in lines if (found := RID.match(line))}
    if (
        lines[0].startswith("m=video")
        and mid
        and extension
        and len(layers) == 2
        and rids >= {*layers}
    ):
        return mid, layers, extension
    return None


def simulcast_extensions(offer: str) -> dict[str, int]:
    """Mid -> id of the rtp-stream-id header extension, for sections whose simulcast we take."""
    found = (_simulcast(lines) for lines in _media_lines(offer))
    return {one[0]: one[2] for one in found if one is not None}


def without_candidates(offer: str) -> str:
    """The offer without the browser's own addresses.

    They are not needed: the server is always reachable, so the browser's checks arrive and
    show where it is. And the server then never sends to an address somebody merely named.
    """
    lines = offer.replace("\r\n", "\n").split("\n")
    kept = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "\r\n".join(kept)


def tuned_answer(answer: str, sections: Sequence[Section] = ()) -> str:
    """The answer with what aiortc does not write.

    A start bitrate that gives 720p at once, forward correction for Opus, and simulcast for the
    sections of the offer that have it.
    """
    video = f"x-google-start-bitrate={START_BPS // 1000};x-google-min-bitrate={FLOOR_BPS // 1000}"
    added = {"VP8/90000": video, "opus/48000/2": "minptime=10;useinbandfec=1"}
    layers = {section.mid: section.layers for section in sections if section.layers}
    lines = []
    for line in answer.split("\r\n"):
        if line.startswith("a=fmtp:") and "profile-level-id" in line:
            line = f"{line};{video}"
        lines.append(line)
        found = re.fullmatch(r"a=rtpmap:(\d+) (\S+)", line)
        if found and found[2] in added:
            lines.append(f"a=fmtp:{found[1]} {added[found[2]]}")
        if line.startswith("a=mid:") and (names := layers.get(line[6:])):
            lines += [f"a=rid:{name} recv" for name in names]
            lines.append(f"a=simulcast:recv {';'.join(names)}")
    return "\r\n".join(lines)
