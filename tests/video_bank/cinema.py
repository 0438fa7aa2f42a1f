"""A bank with recordings made in an instant: real pictures and sound, sealed by the real writer."""

import contextlib
import json
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from recordings import matroska
from recordings.container import Flag, PartWriter
from recordings.keys import new_dek
from recordings.matroska import Fragment, Muxer
from tests.recordings import media
from tests.video_bank.conftest import PASSWORD
from video_bank.accounts import Accounts
from video_bank.approvals import Approvals, Policy
from video_bank.archive import Archive
from video_bank.blobs import LocalBlobs
from video_bank.bus import LocalBus
from video_bank.businesses import Businesses, load_consents
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.evidence import Timeline
from video_bank.findings import Findings
from video_bank.logins import Login
from video_bank.permissions import Role
from video_bank.quality import Quality
from video_bank.reviews import Reviews
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

SIGN_US = 400_000
"""Media time after which the part is signed again."""


@dataclass(frozen=True)
class Reel:
    """One stream: a clip, from its place on, again and again."""

    label: str
    clip: tuple[media.Packet, ...]
    start_us: int = 0
    repeats: int = 1
    seconds: float = 10.0
    "Of the clip."
    speaks: tuple[tuple[float, float], ...] = ()
    "Seconds of the session from and to which there is a voice; elsewhere it is quiet."

    @property
    def end_us(self) -> int:
        return self.start_us + int(self.repeats * self.seconds * 1e6)

    def fragments(self) -> Iterator[Fragment]:
        """What the muxer makes of the clip, moved on for each repetition."""
        muxer, made = Muxer(self.label), []
        for packet in self.clip:
            now = packet.time_us / 1e6
            made += muxer.add(
                packet.kind, packet.time_us, packet.data, packet.keyframe, now, packet.codec
            )
        made += muxer.flush()
        for turn in range(self.repeats):
            moved_us = self.start_us + int(turn * self.seconds * 1e6)
            for one in made:
                if not one.init or turn == 0:
                    payload = one.payload if one.init else _moved(one.payload, moved_us // 1000)
                    yield replace(one, time_us=one.time_us + moved_us, payload=payload)

    def levels(self, stream: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Events of loudness, as the tape writes them."""
        for from_us in range(self.start_us, self.end_us, 10_000_000):
            steps = range(from_us, min(from_us + 10_000_000, self.end_us), 200_000)
            values = [self._level(at) for at in steps]
            if min(values) < 127:
                body = {"kind": "levels", "stream": stream, "from_us": from_us,
                        "step_ms": 200, "values": values}  # fmt: skip
                yield steps[-1], body

    def _level(self, at_us: int) -> int:
        if any(since <= at_us / 1e6 < until for since, until in self.speaks):
            return 18 + at_us // 200_000 * 7 % 22
        return 127 if not self.speaks else 72 + at_us // 200_000 % 9


def clip(
    width: int, height: int, seconds: float = 10.0, **options: Any
) -> tuple[media.Packet, ...]:
    """Picture and sound with a key frame each two seconds, as calls ask for them."""
    return tuple(media.call(seconds, width=width, height=height, keyframe_every=50, **options))


def _moved(cluster: bytes, by_ms: int) -> bytes:
    at = matroska.TIMESTAMP_AT
    (time_ms,) = struct.unpack_from(">Q", cluster, at)
    return cluster[:at] + struct.pack(">Q", time_ms + by_ms) + cluster[at + 8 :]


class Cinema:
    """Everything of a bank that a replay needs, over its data directory."""

    def __init__(self, data: Path, policy: Policy = "off") -> None:
        config = Config(data=data)
        data.mkdir(parents=True, exist_ok=True)
        self.secrets = Secrets.load_or_create(config.keys)
        self.db = Database(config.database_url, LocalBus())
        self.timeline = Timeline()
        self.accounts = Accounts(self.db, self.secrets, self.timeline, config)
        self.customers = Customers(self.db, self.secrets, self.timeline, config)
        self.sessions = Sessions(
            self.db, self.timeline, self.secrets, Businesses(), load_consents(), queue_limit=9
        )
        self.archive = Archive(self.db, data / "recordings", config.keys)
        blobs = LocalBlobs(data / "blobs", self.secrets.derive("blobs"))
        self.approvals = Approvals(
            self.db, self.timeline, self.sessions, self.customers, policy=policy
        )
        self.reviews = Reviews(
            self.db,
            self.timeline,
            self.sessions,
            self.customers,
            Findings(self.db, blobs, self.secrets, self.sessions),
            self.archive,
            Quality(self.db),
            self.approvals,
        )

    async def staff(self, name: str, role: Role) -> Login:
        """An account with the usual password, and a login of it."""
        member = await self.accounts.staff.create(name, name, role, by="test", password=PASSWORD)
        return Login(name, member.id, "staff", role, name, "-")

    async def session(
        self, teller: Login, minutes: float, *, name: str = "张三", state: str = "closed"
    ) -> str:
        """A session that began so many minutes ago, or is over since a moment."""
        customer = (await self.customers.invite(teller, name)).customer_id
        key, now = new_id(), now_us()
        began, over = now - int(minutes * 60e6), state != "talking"
        async with self.db.write() as tx:
            await tx.execute(
                insert(t.sessions).values(
                    id=key,
                    customer_id=customer,
                    teller_id=teller.subject_id,
                    business="identification",
                    language="zh",
                    state=state,
                    consent_face=True,
                    consent_version="test",
                    created_at=began,
                    queued_at=began,
                    accepted_at=began,
                    ended_at=now if over else None,
                    decision="approved" if over else None,
                    seal="ok" if over else None,
                )
            )
        return key

    async def part(
        self,
        session: str,
        reels: Sequence[Reel],
        events: Sequence[tuple[int, Mapping[str, Any]]] = (),
        *,
        sealed: bool = True,
        started_at: int | None = None,
    ) -> str:
        """The session's next part, written at once; its name.  ``events`` go into the timeline,
        too, with their media time."""
        dek = new_dek()
        header = await self.archive._enter(session, dek)
        assert header is not None
        name = f"{session}/{header['part']:03d}.vbr"
        writer = write(self.archive, name, header, dek, reels, events, sealed=sealed)
        async with self.db.write() as tx:
            for at, body in events:
                await self.timeline.append(
                    tx, f"session:{session}", body["kind"], body["actor"], body["data"], at
                )
            values: dict[str, Any] = {"started_at": started_at} if started_at else {}
            if sealed:
                values |= {
                    "sealed_at": now_us(),
                    "chain": writer.chain.hex(),
                    "records": writer.records,
                    "bytes": writer.bytes,
                    "verdict": "ok",
                }
            if values:
                part = update(t.parts).where(t.parts.c.id == writer.part_id)
                await tx.execute(part.values(values))
        return name

    async def close(self) -> None:
        self.accounts.close()
        await self.db.close()


def write(
    archive: Archive,
    name: str,
    header: dict[str, Any],
    dek: bytes,
    reels: Sequence[Reel],
    events: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    sealed: bool,
) -> PartWriter:
    """Records in the order of time, signed as often as a recorder does."""
    happened: list[tuple[int, int, int, Any]] = []
    for stream, reel in enumerate(reels, 1):
        happened += [
            (one.time_us, 1, stream * 1_000_000 + order, (stream, one))
            for order, one in enumerate(reel.fragments())
        ]
        happened += [(at, 2, stream, body) for at, body in reel.levels(stream)]
    happened += [(at, 0, order, body) for order, (at, body) in enumerate(events)]
    writer = PartWriter(archive.store.create(name), header=header, dek=dek, signer=archive.signer)
    signed_us = 0
    for time_us, _, _, what in sorted(happened, key=lambda one: one[:3]):
        if isinstance(what, tuple):
            stream, one = what
            flags = Flag.KEYFRAME * one.keyframe | Flag.INIT * one.init
            writer.data(stream, time_us, one.payload, Flag(flags))
        else:
            writer.event(time_us, json.dumps(what, ensure_ascii=False).encode())
        if time_us - signed_us >= SIGN_US:
            writer.sign()
            signed_us = time_us
    if sealed:
        writer.finish()
    return writer


@contextlib.asynccontextmanager
async def cinema(data: Path, policy: Policy = "off") -> AsyncIterator[Cinema]:
    """Open for a while."""
    made = Cinema(data, policy)
    await made.db.migrate()
    try:
        yield made
    finally:
        await made.close()
