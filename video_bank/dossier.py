"""What an exported session says of itself, for people: facts, findings, timeline, in two languages.

Words come from the pages' own locales.  Nothing is decided here, and nothing left out but what the
bundle has elsewhere in full (the timeline's data, the recording).
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from statistics import median_low
from typing import Any, Protocol

from sqlalchemy import RowMapping, select

from recordings.bundle import EntryReport, FindingReport, PartReport, Report, Words, media_time
from recordings.verify_recording import PICTURES
from video_bank.archive import Archive
from video_bank.attendance import Presence
from video_bank.blobs import BlobDamaged, BlobMissing
from video_bank.businesses import Businesses
from video_bank.customers import Customers
from video_bank.errors import NotFound
from video_bank.evidence import Entry, Timeline, verify
from video_bank.findings import Findings
from video_bank.pages import Pages
from video_bank.sessions import Sessions
from video_bank.storage import Database, now_us
from video_bank.storage import tables as t

log = logging.getLogger(__name__)

JOINED: Presence = "joined"
PICTURE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
HASHED = (
    "hash is the SHA-256 of the row without `hash`, as JSON in UTF-8 with sorted keys and no"
    " blanks; `data` in it is a text. previous is the hash of the row before."
)
STAMPS: dict[str, Words] = {
    "stamped": ("已加盖时间戳", "stamped"),
    "test": ("测试时间戳机构，不作为证据", "test authority, not evidence"),
    "unstamped": ("尚未加盖时间戳", "not yet stamped"),
    "waiting": ("尚未加盖时间戳", "not yet stamped"),
    "wrong": ("时间证明不符", "the proof of time does not hold"),
}
GOOD = {"ok": True, "tampered": False}
"""Other verdicts are neither: what is there is as it was sealed, but something is missing."""
SERVER: Words = ("系统", "Server")


@dataclass(frozen=True)
class Video:
    """What the renderer made."""

    file: str | None
    """None: nothing was recorded that can be shown."""
    chinese: bool
    unreadable: int
    picture: str
    sound: str
    whispers: bool
    """Is there a supervisor's voice, whose whispers were left out?"""


@dataclass(frozen=True)
class Person:
    """Somebody who took part."""

    id: str
    kind: str
    role: str
    name: str
    joined_at: int | None
    left_at: int | None


@dataclass(frozen=True)
class Case:
    """What was found about a session."""

    row: RowMapping
    parts: Sequence[RowMapping]
    people: Sequence[Person]
    entries: Sequence[Entry]
    names: Mapping[str, str]
    """What stands under each stream in the video, by its label."""
    walls: Mapping[int, int]
    """Wall clock at media time 0 (µs), by the number of the part."""
    open_us: Mapping[int, Sequence[tuple[int, int]]]
    """When a supervisor spoke to everybody: media times (µs), by the number of the part."""


class Proofs(Protocol):
    """Who proves when parts were what they are."""

    @property
    def authorities(self) -> bytes:
        """The certificates in which stamps end, as PEM; empty without any."""

    async def at_once(self, session: str) -> list[dict[str, Any]]:
        """For each part, its place in the day's tree, the signed head and its stamp."""


class Dossier:
    """Writes reports on sessions."""

    def __init__(
        self,
        db: Database,
        timeline: Timeline,
        sessions: Sessions,
        customers: Customers,
        findings: Findings,
        archive: Archive,
        businesses: Businesses,
        pages: Pages,
        proofs: Proofs,
    ) -> None:
        self._db, self._timeline, self._sessions = db, timeline, sessions
        self._customers, self._findings = customers, findings
        self._archive, self._businesses, self._proofs = archive, businesses, proofs
        self._zh = pages.words("zh", "common", "staff")
        self._en = pages.words("en", "common", "staff")

    @property
    def authorities(self) -> bytes:
        """The certificates in which stamps end, as PEM; empty without any."""
        return self._proofs.authorities

    async def of(self, session: str) -> Case:
        """Read what there is about a session."""
        row = await self._sessions.get(session)
        parts = await self._archive.parts(session)
        async with self._db.read() as c:
            entries = await self._timeline.read(c, f"session:{session}")
        people = await self._people(row)
        labels = {
            f"{each.role}{screen}{number}"
            for each in people
            for screen in ("", " screen")
            for number in ("", *(f" {n}" for n in range(2, 10)))
        }
        names = {label: self._under(label, people) for label in labels}
        walls, spans = _walls(parts, entries), _open(parts, entries)
        return Case(row, parts, people, entries, names, walls, spans)

    async def pictures(self, session: str) -> AsyncIterator[tuple[str, bytes]]:
        """What the checks judged: (path in the bundle, JPEG), one after the other.

        What is not there any more is left out; its hash stays in the timeline.
        """
        for finding in await self._findings.of(session):
            for each in finding["pictures"]:
                name = str(each["name"])
                if not PICTURE_NAME.fullmatch(name):
                    continue
                try:
                    jpeg = await self._findings.picture(session, finding["id"], name)
                except (NotFound, BlobMissing, BlobDamaged, OSError):
                    log.warning("x picture %s of finding %s is not there", name, finding["id"])
                    continue
                yield f"{PICTURES}/{finding['id']}/{name}.jpg", jpeg

    async def report(
        self,
        case: Case,
        video: Video,
        asked: RowMapping,
        offset_min: int,
        pictures: Sequence[str] = (),
    ) -> tuple[Report, dict[str, Any]]:
        """The report, and the files of JSON that go with it; ``pictures``: those that are there."""
        session = case.row["id"]
        seal = await self._archive.verify(session)
        proofs = await self._proofs.at_once(session)
        findings = await self._findings.of(session)
        names = {each.id: each for each in case.people}
        made = now_us()
        report = Report(
            session=session,
            made=made,
            offset_min=offset_min,
            facts=await self._facts(case, asked, offset_min),
            people=[
                (
                    self._two(f"role.{each.role}"),
                    each.name,
                    _clock(each.joined_at, offset_min),
                    _clock(each.left_at, offset_min),
                )
                for each in case.people
            ],
            verdict=self._two(f"seal.{seal['verdict']}"),
            good=GOOD.get(seal["verdict"]),
            parts=[
                self._part(part, found, _proof_of(part["id"], proofs), offset_min)
                for part, found in zip(case.parts, seal["parts"], strict=True)
            ],
            findings=[self._finding(each, case.parts, pictures) for each in findings],
            timeline=[self._entry(each, names) for each in case.entries],
            video=_about(video),
            trusted=self._archive.signer.key_id,
        )
        timeline = {
            "chain": f"session:{session}",
            "whole": verify(case.entries) is None,
            "hashing": HASHED,
            "rows": [asdict(each) for each in case.entries],
        }
        return report, {"timeline.json": timeline, "proof.json": proofs}

    # -- who ----------------------------------------------------------------------------------

    async def _people(self, row: RowMapping) -> list[Person]:
        p = t.participants.c
        query = select(t.participants).where(p.session_id == row["id"], p.joined_at.is_not(None))
        async with self._db.read() as c:
            rows = (await c.execute(query.order_by(p.joined_at))).mappings().all()
            staff = select(t.staff.c.id, t.staff.c.display_name).where(
                t.staff.c.id.in_([each["person_id"] for each in rows])
            )
            names = {each.id: each.display_name for each in (await c.execute(staff)).all()}
        guests = [each["person_id"] for each in rows if each["kind"] == "customer"]
        names |= await self._customers.names(guests)
        return [
            Person(
                each["person_id"],
                each["kind"],
                each["role"],
                names.get(each["person_id"], "–"),
                each["joined_at"],
                each["left_at"] or row["ended_at"],
            )
            for each in rows
        ]

    def _under(self, label: str, people: Sequence[Person]) -> str:
        """Role in both languages; the name where it is certain whose stream it is."""
        role, _, rest = label.partition(" ")
        number = "".join(each for each in rest if each.isdigit())
        zh, en = self._two(f"role.{role}")
        if "screen" in rest:
            zh, en = f"{zh}的屏幕", f"{en}'s screen"
        same = [each for each in people if each.role == role]
        name = same[0].name if len(same) == 1 else number or "1"
        return f"{zh} {name} · {en}"  # the end is what a narrow place cuts off

    # -- what ---------------------------------------------------------------------------------

    async def _facts(
        self, case: Case, asked: RowMapping, offset_min: int
    ) -> list[tuple[Words, Words]]:
        row = case.row
        card = await self._customers.card(row["customer_id"])
        async with self._db.read() as c:
            query = select(t.staff.c.id, t.staff.c.display_name).where(
                t.staff.c.id.in_([row["teller_id"], asked["asked_by"]])
            )
            staff = {each.id: each.display_name for each in (await c.execute(query)).all()}
        began, ended = row["accepted_at"], row["ended_at"]
        business = row["business"]
        called: Words = (business, business)
        if business in self._businesses:
            name = self._businesses[business].name
            called = name["zh"], name["en"]
        face: Words = ("已授权", "given") if row["consent_face"] else ("未授权", "not given")
        lasted = media_time(ended - began).partition(".")[0] if began and ended else "–"
        facts: list[tuple[Words, Words | str | None]] = [
            (("编号", "Session"), row["id"]),
            (("业务", "Business"), called),
            (("客户", "Customer"), card["name"]),
            (("证件号码（部分隐藏）", "ID number (masked)"), card["id_masked"]),
            (("柜员", "Teller"), staff.get(row["teller_id"])),
            (("开始", "Began"), _clock(began, offset_min)),
            (("结束", "Ended"), _clock(ended, offset_min)),
            (("时长", "Lasted"), lasted),
            (("决定", "Decision"), self._two(f"decision.{row['decision'] or 'none'}")),
            (("决定理由", "Reason of the decision"), self._sessions.words(row, "decision_reason")),
            (("备注", "Notes"), self._sessions.words(row, "notes")),
            (("人脸处理授权", "Consent to face processing"), face),
            (("导出人", "Exported by"), staff.get(asked["asked_by"])),
            (("导出用途", "Purpose of the export"), asked["reason"]),
            (("导出申请时间", "Asked for"), _clock(asked["asked_at"], offset_min)),
        ]  # fmt: skip
        return [(term, _both(value)) for term, value in facts if value]

    def _part(
        self, part: RowMapping, found: Mapping[str, Any], proof: Mapping[str, Any], offset_min: int
    ) -> PartReport:
        where = "" if found["record"] is None else f"record {found['record']}"
        if where and found["time_us"] is not None:
            where += f", {media_time(found['time_us'])}"
        stamped = ""
        if proof.get("stamped_at"):
            stamped = f"{_clock(proof['stamped_at'], offset_min)} · {proof['authority']}"
        return PartReport(
            number=part["number"],
            file=f"parts/{part['number']:03d}.vbr",
            part_id=part["id"],
            verdict=self._two(f"seal.{found['verdict']}"),
            good=GOOD.get(found["verdict"]),
            reason=self._two(f"seal.reason.{found['reason']}"),
            where=where,
            records=found["records"] or 0,
            duration_us=found["last_time_us"] or 0,
            chain=found["chain"] or "",
            signer=found["signer"] or "",
            suite=found["suite"] or 1,
            stamp=STAMPS.get(str(proof.get("state")), STAMPS["waiting"]),
            stamped=stamped,
        )

    def _finding(
        self, one: Mapping[str, Any], parts: Sequence[RowMapping], pictures: Sequence[str]
    ) -> FindingReport:
        score = "" if one["score"] is None else f"{one['score']:.2f}"
        if score and one["threshold"] is not None:
            score += f" / {one['threshold']:.2f}"
        good = {"passed": True, "failed": False}.get(one["verdict"])
        before = [part["number"] for part in parts if part["started_at"] <= one["at"]]
        at_us = one["media_time_us"]
        return FindingReport(
            check=self._two(f"check.{one['check']}"),
            attempt=one["attempt"],
            verdict=self._two(f"verdict.{one['verdict']}"),
            good=good,
            reason=self._two(f"reason.{one['reason']}"),
            score=score,
            at_us=at_us,
            part=before[-1] if before and at_us is not None else None,
            values=self._values(one["values"], one["corrections"]),
            pictures=[path for path in pictures if path.startswith(f"{PICTURES}/{one['id']}/")],
        )

    def _values(
        self, values: Mapping[str, Any], corrections: Mapping[str, Any]
    ) -> list[tuple[str, str, str]]:
        """Fields read from a document, and what a person made of them."""
        listed = []
        for name in sorted({*values, *corrections}, key=list({**values, **corrections}).index):
            if f"field.{name}" not in self._zh:
                continue
            value, fixed = values.get(name), corrections.get(name)
            read = value.get("value") if isinstance(value, dict) else value
            corrected = f"{fixed['value']} ({fixed['by']}: {fixed['reason']})" if fixed else ""
            listed.append((" ".join(self._two(f"field.{name}")), _text(read), corrected))
        return listed

    def _entry(self, entry: Entry, names: Mapping[str, Person]) -> EntryReport:
        kind, _, person = entry.actor.partition(":")
        who: Words = SERVER
        if kind != "server":
            known = names.get(person)
            role = self._two(f"role.{known.role}" if known else f"role.{kind}")
            who = (f"{role[0]} {known.name}", role[1]) if known else role
        return EntryReport(
            entry.seq, entry.at, entry.media_time_us, self._what(entry, names), who, entry.hash
        )

    def _what(self, entry: Entry, names: Mapping[str, Person]) -> Words:
        """What happened, with the little that tells it from its like."""
        data = entry.body
        person = names.get(str(data.get("participant") or data.get("staff") or data.get("guest")))
        role = data.get("role") or (person.role if person else None)
        details = [
            role and self._two(f"role.{role}"),
            data.get("check") and self._two(f"check.{data['check']}"),
            entry.kind == "finding" and self._two(f"verdict.{data.get('verdict')}"),
            data.get("decision") and self._two(f"decision.{data['decision']}"),
            entry.kind == "sealed" and self._two(f"seal.{data.get('verdict')}"),
            data.get("subject") and self._two(f"kind.subject.{data['subject']}"),
            data.get("field") and self._two(f"field.{data['field']}"),
        ]
        zh, en = self._two(f"kind.{entry.kind}")
        told: list[Words] = [each for each in details if isinstance(each, tuple)]
        if not told:
            return zh, en
        return (
            f"{zh}：{'、'.join(each[0] for each in told)}",
            f"{en}: {', '.join(each[1] for each in told)}",
        )

    def _two(self, key: str) -> Words:
        """The words of both languages; what has none shows its own name."""
        plain = key.rpartition(".")[2].replace("_", " ")
        return self._zh.get(key, plain), self._en.get(key, plain)


def _walls(parts: Sequence[RowMapping], entries: Sequence[Entry]) -> dict[int, int]:
    """Wall clock at media time 0 of each part, by what the timeline noted of both clocks."""
    found: dict[int, list[int]] = {}
    for entry in entries:
        before = [part["number"] for part in parts if part["started_at"] <= entry.at]
        if before and entry.media_time_us is not None:
            found.setdefault(before[-1], []).append(entry.at - entry.media_time_us)
    return {number: median_low(zeros) for number, zeros in found.items()}


def _open(
    parts: Sequence[RowMapping], entries: Sequence[Entry]
) -> dict[int, list[tuple[int, int]]]:
    """When a supervisor had joined the call, by what the timeline says; else they whispered."""
    numbers = [part["number"] for part in parts]
    spans: dict[int, list[tuple[int, int]]] = {number: [] for number in numbers}
    since: int | None = None
    for number, part in zip(numbers, parts, strict=True):
        since = None if since is None else 0  # joined since a part before
        later = [other["started_at"] for other in parts if other["number"] > number]
        until = min(later, default=1 << 62)
        for entry in entries:
            if entry.kind != "supervised" or not part["started_at"] <= entry.at < until:
                continue
            at_us, joined = entry.media_time_us or 0, entry.body.get("mode") == JOINED
            if joined and since is None:
                since = at_us
            elif not joined and since is not None:
                spans[number].append((since, at_us))
                since = None
        if since is not None:
            spans[number].append((since, 1 << 62))
    return spans


def _proof_of(part: str, proofs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((each for each in proofs if each["part_id"] == part), {})


def _about(video: Video) -> Words:
    if video.file is None:
        return "没有可以播放的影像。", "There is nothing that can be shown."
    zh = f"{video.file}：各方画面并列、声音混合，每帧带有时钟（{video.picture}，{video.sound}）。"
    en = (
        f"{video.file}: everybody side by side, sound mixed, a clock on every frame"
        f" ({video.picture}, {video.sound})."
    )
    if video.whispers:
        zh += "督导对工作人员的耳语不在混音内，封存的原件中保留。"
        en += " What a supervisor whispered to staff is not in the sound; the originals have it."
    if not video.chinese:
        zh += "服务器没有中文字体，画面下方只写拉丁字母。"
        en += " The server has no Chinese font: captions are in Latin letters only."
    if video.unreadable:
        zh += f"有 {video.unreadable} 条记录与封存时不符，未放入影像。"
        en += f" {video.unreadable} records are not what was sealed and are left out of it."
    return zh, en


def _clock(us: int | None, offset_min: int) -> str:
    """UTC and local time, in seconds."""
    if us is None:
        return "–"
    utc = datetime.fromtimestamp(us / 1e6, UTC)
    local = utc.astimezone(timezone(timedelta(minutes=offset_min)))
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC ({local:%H:%M:%S%z})"


def _both(value: Words | str) -> Words:
    return value if isinstance(value, tuple) else (value, value)


def _text(value: object) -> str:
    return "–" if value is None else str(value)
