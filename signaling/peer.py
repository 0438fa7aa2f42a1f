"""One browser's WebRTC connection: an offer is answered, streams go up and down, it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Literal

from aiortc import RTCRtpTransceiver, RTCSessionDescription

from signaling.forward import ForwardingConnection, name_streams
from signaling.frames import SenderClock
from signaling.sdp import OfferRefused, Section, checked_offer, tuned_answer, without_candidates
from signaling.stream import Downlink, Link, Uplink

__all__ = ["OfferRefused", "Peer", "close_all"]

log = logging.getLogger(__name__)

CONNECT_DEADLINE_S = 20.0
CLOSE_DEADLINE_S = 5.0

Kind = Literal["audio", "video"]

_open: weakref.WeakSet[Peer] = weakref.WeakSet()


class Peer:
    """One RTCPeerConnection, from its offer to its end."""

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        media_time: Callable[[float], int],
        on_change: Callable[[], None],
        on_media: Callable[[Kind], None],
    ) -> None:
        """`media_time` turns monotonic seconds into microseconds of the room.

        `on_change` is called when the connection comes up and when it is gone; `on_media` when
        the first sound and the first picture begin.
        """
        self.uplinks: dict[Kind, Uplink] = {}
        "What the browser sends: at most one of each kind."
        self.pairs: list[dict[Kind, Downlink]] = []
        "Places where another person can be shown: the n-th audio and video section each."
        self.connected = False
        self.closed = False
        self._media_time = media_time
        self._on_change = on_change
        self._on_media = on_media
        self._link = Link(media_time)
        self._own_ssrc = 0
        self._connected_at: float | None = None
        self._connection = ForwardingConnection(addresses, self._link)
        self._connection.on("connectionstatechange", self._state_changed)
        self._deadline: asyncio.TimerHandle | None = None
        _open.add(self)

    async def answer(self, offer: str) -> str:
        """The SDP answer; media flows some round trips later. Raises OfferRefused."""
        sections = checked_offer(offer)
        description = RTCSessionDescription(without_candidates(offer), "offer")
        try:
            await self._connection.setRemoteDescription(description)
            self._lay_out(sections)
            await self._connection.setLocalDescription()
        except OfferRefused:
            raise
        except Exception as error:
            log.info("x offer refused: %r", error)
            raise OfferRefused("bad_offer", "The offer cannot be answered.") from error
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(CONNECT_DEADLINE_S, self._give_up)
        return tuned_answer(self._connection.localDescription.sdp)

    def _lay_out(self, sections: list[Section]) -> None:
        """Make the streams the offer has room for."""
        clock = SenderClock()
        counts = {"audio": 0, "video": 0}
        transceivers = {one.mid: one for one in self._connection.getTransceivers()}
        for section in sections:
            kind: Kind = "audio" if section.kind == "audio" else "video"
            index = counts[kind]
            counts[kind] += 1
            transceiver = transceivers[section.mid]
            first = index == 0 and section.sends
            transceiver.direction = "sendrecv" if first else "sendonly"
            self._add_downlink(kind, index, section.mid, transceiver)
            if first:
                self._add_uplink(kind, section.mid, clock)

    def _add_downlink(
        self, kind: Kind, index: int, mid: str, transceiver: RTCRtpTransceiver
    ) -> None:
        ssrc = name_streams(transceiver, f"person-{index}")
        self._own_ssrc = self._own_ssrc or ssrc
        downlink = Downlink(
            kind,
            mid=mid,
            ssrc=ssrc,
            # the lower half, so that the first wrap comes late (RFC 3711 loses sync otherwise)
            sequence=secrets.randbelow(1 << 15),
            timestamp=secrets.randbits(32),
            wire=self._connection,
        )
        self._link.downlinks[ssrc] = downlink
        while len(self.pairs) <= index:
            self.pairs.append({})
        self.pairs[index][kind] = downlink

    def _add_uplink(self, kind: Kind, mid: str, clock: SenderClock) -> None:
        uplink = Uplink(
            kind,
            own_ssrc=self._own_ssrc,
            wire=self._connection,
            later=asyncio.get_running_loop().call_later,
            media_time=self._media_time,
            sender_clock=clock,
            on_started=lambda: self._on_media(kind),
        )
        self.uplinks[kind] = self._link.uplinks[mid] = uplink

    # --- while it lives -------------------------------------------------------------------

    def report(self, now: float) -> None:
        """Send the RTCP reports; called twice a second."""
        if self.connected:
            data = self._link.reports(self._own_ssrc, now)
            if data:
                self._connection.send_rtcp(data)

    @property
    def heard_at(self) -> float | None:
        """When the last media packet came, at first when it could have come (monotonic seconds).

        None while nothing is to be expected.
        """
        if not self.uplinks or self._connected_at is None:
            return None
        heard = [one.heard_at for one in self.uplinks.values() if one.heard_at is not None]
        return max(heard, default=self._connected_at)

    def quality(self) -> tuple[float, float, float | None]:
        """Of what comes in: kbit/s, share lost, and the round trip in milliseconds."""
        kbps = sum(one.throughput.bps for one in self.uplinks.values()) / 1000
        loss = max((one.loss for one in self.uplinks.values()), default=0.0)
        trip = self._link.round_trip_s
        return kbps, loss, round(trip * 1000, 1) if trip is not None else None

    @property
    def dropped(self) -> dict[str, int]:
        """Datagrams the guard kept out, by reason."""
        guard = self._connection.guard
        return dict(guard.dropped) if guard is not None else {}

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        log.debug("- connection %s", state)
        if self.closed:
            return
        if state == "connected" and not self.connected:
            self.connected = True
            self._connected_at = time.monotonic()
            self._on_change()
        elif state in ("failed", "closed"):
            self._end()
            self._on_change()

    def _give_up(self) -> None:
        if not self.connected and not self.closed:
            log.info("x no connection within %.0f s", CONNECT_DEADLINE_S)
            self._end()
            self._on_change()

    def _end(self) -> None:
        """Let go of all streams."""
        self.closed = True
        self.connected = False
        if self._deadline is not None:
            self._deadline.cancel()
        now = time.monotonic()
        for pair in self.pairs:
            for downlink in pair.values():
                downlink.attach(None, now)
        for uplink in self.uplinks.values():
            uplink.close()

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._end()
        _open.discard(self)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._connection.close()
        except TimeoutError:
            log.warning("x a connection took too long to close")


async def close_all() -> None:
    """Close every connection of this process: call it when the server stops."""
    await asyncio.gather(*(peer.close() for peer in list(_open)))
