"""Offers checked before they touch anything, and the lines our answers add."""

from __future__ import annotations

import re
from typing import NamedTuple

from aiortc.sdp import MediaDescription, SessionDescription

from signaling.rate import FLOOR_BPS, START_BPS

SECTIONS = 16
"Most media sections in an offer: eight people seen at once."
FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")


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
    return [_checked_section(media) for media in offer.media]


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
    wanted = ("opus", 48000) if media.kind == "audio" else ("vp8", 90000)
    if not any((codec.name.lower(), codec.clockRate) == wanted for codec in media.rtp.codecs):
        raise OfferRefused("no_common_codec", f"The offer has no {wanted[0]} for {media.kind}.")
    return Section(media.kind, media.rtp.muxId, media.direction in (None, "sendrecv", "sendonly"))


def without_candidates(offer: str) -> str:
    """The offer without the browser's own addresses.

    They are not needed: the server is always reachable, so the browser's checks arrive and
    show where it is. And the server then never sends to an address somebody merely named.
    """
    lines = offer.replace("\r\n", "\n").split("\n")
    kept = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "\r\n".join(kept)


def tuned_answer(answer: str) -> str:
    """The answer with a start bitrate that gives 720p at once, and forward correction for Opus."""
    video = f"x-google-start-bitrate={START_BPS // 1000};x-google-min-bitrate={FLOOR_BPS // 1000}"
    added = {"VP8/90000": video, "opus/48000/2": "minptime=10;useinbandfec=1"}
    lines = []
    for line in answer.split("\r\n"):
        lines.append(line)
        found = re.fullmatch(r"a=rtpmap:(\d+) (\S+)", line)
        if found and found[2] in added:
            lines.append(f"a=fmtp:{found[1]} {added[found[2]]}")
    return "\r\n".join(lines)
