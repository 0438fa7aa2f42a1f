"""The checks of a call: what is run, kept, watched, seen by eye and decided, on a real database."""

import ast
import asyncio
import contextlib
import itertools
import json
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import insert, select

from kyc.check import Finding, Guidance, Picture, Verdict
from kyc.worker import Inference, InferenceUnavailable
from video_bank.blobs import LocalBlobs
from video_bank.bus import LocalBus
from video_bank.businesses import Businesses, load_consents
from video_bank.checks import Checks
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.errors import Conflict, NotAllowed, NotFound, UserError
from video_bank.evidence import Timeline, verify
from video_bank.faces import DUTY_AT, WARNING_AT, FaceKeys, Faces, likeness
from video_bank.feed import Frame
from video_bank.findings import Findings
from video_bank.hearing import Hearing
from video_bank.ledger import Ledger
from video_bank.looks import LOOKS
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions
from video_bank.storage import Database, new_id, now_us
from video_bank.storage import tables as t

JPEG = bytes.fromhex("ffd8ffd9")
FACE = struct.pack("<4f", 1.0, 0.0, 0.0, 0.5)
STRANGER = struct.pack("<4f", 0.0, 1.0, -0.2, 0.0)
MODELS = {"face": "a" * 64}
Answer = Finding | Guidance | Exception


def passed(check: str, **more: Any) -> Finding:
    return Finding(check, Verdict.PASSED, "read", models=MODELS, media_time_us=7, **more)


def front() -> Finding:
    values = {"id": {"value": "371102199002215210", "confidence": 0.99}}
    hint = Finding("card_copy", Verdict.FAILED, "no_colour", 0.2, 0.5)
    return passed(
        "id_card_front", values=values, pictures=[Picture("portrait", JPEG, 5)], also=[hint]
    )


def match(template: bytes = FACE) -> Finding:
    return passed("face_match", score=0.8, threshold=0.42, template=template)


@dataclass
class Scene:
    """What the inference process answers, by check; the newest answer again and again."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    opened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def open(self, check: str, **params: Any) -> AsyncIterator["Scene.Live"]:
        self.opened.append((check, params))
        yield Scene.Live(self, check)

    @dataclass
    class Live:
        scene: "Scene"
        check: str

        async def see(self, **_picture: Any) -> Finding | Guidance:
            answers = self.scene.answers.get(self.check, [])
            answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else None
            if isinstance(answer, Exception):
                raise answer
            return answer or Guidance("no_face")

        async def expire(self, at: int) -> Finding:
            return Finding(self.check, Verdict.PASSED, "same_face_throughout", media_time_us=at)


@dataclass
class Still:
    """A small grey picture."""

    time_us: int
    width: int = 16
    height: int = 12
    bgr: bytes = bytes([128]) * (16 * 12 * 3)


class Eye:
    """A camera that shows pictures as fast as they are taken."""

    def __init__(self) -> None:
        self.now = 0
        self.asked = 0
        self.dark = False

    async def pictures(
        self, session: str, fps: float, *, key_frames: bool = False
    ) -> AsyncGenerator[Still, None]:
        while True:
            await asyncio.sleep(0.005)
            if not self.dark:
                self.now += 1_000_000
                yield Still(self.now)

    def look_again(self, session: str) -> None:
        self.asked += 1

    def follow(self, session: str, take: Callable[[Frame], None]) -> Callable[[], None]:
        return lambda: None

    def media_time_us(self, session: str) -> int | None:
        return self.now


async def eventually(question: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await question():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Deaf:
    """Nothing to hear with."""

    def prepare(self) -> None:
        return None

    async def digits(self, *_: object, **__: object) -> Finding:
        return Finding("spoken_digits", Verdict.NOT_CHECKED, "hearing_unavailable")


class Desk:
    """Checks over an empty bank with one customer at one teller's."""

    def __init__(self, directory: Path) -> None:
        self.bus, self.scene, self.eye = LocalBus(), Scene(), Eye()
        self.db = Database(f"sqlite:///{directory / 'bank.sqlite3'}", self.bus)
        self.timeline, secrets = Timeline(), Secrets(b"k" * 32)
        self.sessions = Sessions(
            self.db, self.timeline, secrets, Businesses(), load_consents(), queue_limit=9
        )
        self.findings = Findings(
            self.db, LocalBlobs(directory / "blobs", b"b" * 32), secrets, self.sessions
        )
        self.keys = FaceKeys(directory / "faces", secrets)
        self.faces = Faces(self.db, self.timeline, self.keys)
        self.ledger = Ledger(self.db, self.timeline, load_consents())
        self.checks = Checks(
            self.bus,
            self.sessions,
            self.findings,
            Businesses(),
            Customers(self.db, secrets, self.timeline, Config(data=directory)),
            cast(Inference, self.scene),
            self.eye,
            self.faces,
            self.ledger,
            hearing=cast(Hearing, Deaf()),
            check_s=2.0,
            prompt_s=0.5,
        )
        self.customer = self.teller = ""

    async def person(self, name: str) -> str:
        key = new_id()
        row = {"id": key, "name": name, "display_name": name, "role": "teller",
               "password_hash": "", "skills": [], "created_at": now_us()}  # fmt: skip
        async with self.db.write() as tx:
            await tx.execute(insert(t.staff).values(row))
        return key

    async def call(
        self, business: str = "identification", *, face: bool = True, kept: bool | None = None
    ) -> str:
        """A new visit of the customer, taken by the teller, its checks begun."""
        session = await self.sessions.join(
            self.customer, business, "zh", recording=True, face=face,
            version=load_consents().version, face_kept=kept,
        )  # fmt: skip
        await self.sessions.offer(session, self.teller)
        await self.sessions.accept(session, self.teller)
        await self.checks.begin(session)
        return session

    async def over(self, session: str) -> None:
        await self.checks.finish(session)
        await self.sessions.end(session, f"staff:{self.teller}", "teller_ended")

    async def found(self, session: str) -> dict[str, dict[str, Any]]:
        return {each["check"]: each for each in await self.findings.of(session)}

    async def until(self, session: str, *checks: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}

        async def made() -> bool:
            found.update(await self.found(session))
            return set(checks) <= found.keys()

        await eventually(made)
        return found

    async def running(self, session: str, check: str) -> None:
        async def runs() -> bool:
            return self.checks.state(session, check) == "running"

        await eventually(runs)

    async def kinds(self, chain: str) -> list[str]:
        async with self.db.read() as c:
            entries = await self.timeline.read(c, chain)
        return [each.kind for each in entries]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.db.migrate()
    made.customer, made.teller = new_id(), await made.person("t")
    async with made.db.write() as tx:
        row = {"id": made.customer, "name": b"x", "created_at": now_us()}
        await tx.execute(insert(t.customers).values(row))
    yield made
    for session in list(made.checks._open):
        await made.checks.finish(session)
    await made.bus.close()
    await made.db.close()


def cooperative(scene: Scene) -> None:
    scene.answers = {
        "id_card_front": [Guidance("reading"), front()],
        "id_card_back": [passed("id_card_back")],
        "face_match": [match()],
        "liveness": [passed("liveness", also=[passed("passive")])],
        "continuity": [Guidance("same_face")],
    }


ALL = ("id_card_front", "id_card_back", "face_match", "liveness")


async def test_a_cooperative_customer_is_approved(desk: Desk) -> None:
    cooperative(desk.scene)
    session = await desk.call()
    found = await desk.until(session, *ALL, "live_person")
    policy = Businesses()["identification"].policy
    assert {each["policy"] for each in found.values()} == {policy.hash}
    assert found["card_copy"]["verdict"] == "failed"  # a hint of its own, which bars nothing
    assert found["passive"]["verdict"] == "passed"
    await desk.checks.decide(session, desk.teller, "approved", "")
    await desk.over(session)
    assert (await desk.found(session))["continuity"]["verdict"] == "passed"
    names = [name for name, _ in desk.scene.opened]
    assert names.index("continuity") > names.index("face_match")
    async with desk.db.read() as c:
        entries = await desk.timeline.read(c, f"session:{session}")
    assert verify(entries) is None
    bound = next(e.body for e in entries if e.kind == "finding" and e.body["pictures"])
    assert bound["policy"] == policy.hash and bound["models"] == MODELS
    assert bound["pictures"]["portrait"]["media_time_us"] == 5
    assert len(bound["pictures"]["portrait"]["sha256"]) == 64


async def test_after_too_many_failures_only_a_person_can_go_on(desk: Desk) -> None:
    cooperative(desk.scene)
    wrong = Finding("face_match", Verdict.FAILED, "different_person", 0.1, 0.42)
    desk.scene.answers["face_match"] = [wrong]
    session = await desk.call()
    await desk.until(session, *ALL)

    for attempt in (2, 3):
        desk.checks.request(session, "face_match")

        async def made(attempt: int = attempt) -> bool:
            return bool((await desk.found(session))["face_match"]["attempt"] == attempt)

        await eventually(made)
    with pytest.raises(Conflict, match="tries_used_up"):
        desk.checks.request(session, "face_match")
    with pytest.raises(NotFound):
        desk.checks.request(session, "bank_card")
    with pytest.raises(Conflict, match="policy_not_met"):
        await desk.checks.decide(session, desk.teller, "approved", "")

    # By eye: a face check failed, so a second person has to look.
    seen = await desk.checks.by_eye.compare(session, desk.teller, "passed", "same scar, same ears")
    assert (seen["verdict"], seen["reason"]) == ("not checked", "second_person_needed")
    with pytest.raises(NotAllowed):
        await desk.checks.by_eye.confirm(session, desk.teller, "passed", "me again")
    with pytest.raises(UserError):
        await desk.checks.by_eye.confirm(session, "somebody", "sure", "words enough")
    colleague = await desk.person("u")
    seen = await desk.checks.by_eye.confirm(session, colleague, "passed", "I agree: the ears")
    assert seen["verdict"] == "passed"
    found = (await desk.found(session))["seen_by_teller"]
    assert found["values"]["second"]["by"] == colleague
    (moment,) = found["pictures"]
    jpeg = await desk.findings.picture(session, found["id"], moment["name"])
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    with pytest.raises(Conflict, match="nothing_to_confirm"):
        await desk.checks.by_eye.confirm(session, colleague, "passed", "once more")
    await desk.checks.decide(session, desk.teller, "approved", "")


async def test_without_consent_no_face_is_looked_at_and_eyes_do(desk: Desk) -> None:
    cooperative(desk.scene)
    session = await desk.call(face=False)
    found = await desk.until(session, *ALL)
    for check in ("face_match", "liveness"):
        assert found[check]["reason"] == "no_consent"
    assert {name for name, _ in desk.scene.opened} == {"id_card_front", "id_card_back"}
    await desk.checks.by_eye.compare(session, desk.teller, "passed", "same person")
    await desk.checks.decide(session, desk.teller, "approved", "")
    await desk.over(session)
    assert "continuity" not in await desk.found(session)


async def test_a_passport_takes_the_cards_place(desk: Desk) -> None:
    cooperative(desk.scene)
    desk.scene.answers["id_card_front"] = [Guidance("no_card")]
    desk.scene.answers["travel_document"] = [
        passed("travel_document", pictures=[Picture("portrait", JPEG, 5)])
    ]
    session = await desk.call()
    await desk.running(session, "id_card_front")
    desk.checks.request(session, "travel_document")
    found = await desk.until(session, "travel_document", "face_match", "liveness")
    assert found["id_card_front"]["reason"] == "stopped" and "id_card_back" not in found
    assert found["face_match"]["verdict"] == "passed"
    await desk.checks.decide(session, desk.teller, "approved", "")


async def test_somebody_else_sits_down(desk: Desk) -> None:
    cooperative(desk.scene)
    other = [Guidance("same_face"), Guidance("other_face"), Guidance("same_face")]
    desk.scene.answers["continuity"] = [*other[:2], other[1]]
    session = await desk.call()

    async def standing(code: str | None) -> bool:
        return desk.checks.alerts().get(session) == code

    async with desk.bus.subscribe(f"staff:{desk.teller}") as events:
        await desk.until(session, *ALL)
        async with asyncio.timeout(10):
            async for _, event in events:
                if event["topic"] == "face_watch":
                    break
    assert event["data"]["code"] == "other_face" and event["data"]["media_time_us"] > 0
    assert desk.checks.alerts() == {session: "other_face"}
    with pytest.raises(Conflict) as barred:
        await desk.checks.decide(session, desk.teller, "approved", "")
    assert barred.value.details["missing"] == ["continuity: face_changed"]
    desk.scene.answers["continuity"] = [other[2]]
    await eventually(lambda: standing(None))

    async def told() -> bool:
        return (await desk.kinds(f"session:{session}")).count("face_watch") == 2

    await eventually(told)
    assert desk.eye.asked > 0


async def test_an_absent_customer_is_noted_softly(desk: Desk) -> None:
    cooperative(desk.scene)
    desk.scene.answers["continuity"] = [Guidance("no_face")]
    session = await desk.call()

    async def standing(code: str | None) -> bool:
        return desk.checks.alerts().get(session) == code

    await eventually(lambda: standing("nobody"))
    await desk.checks.decide(session, desk.teller, "approved", "")  # it bars nothing


async def test_a_lost_process_is_no_answer(desk: Desk) -> None:
    cooperative(desk.scene)
    desk.scene.answers["liveness"] = [InferenceUnavailable("gone")]
    session = await desk.call()
    found = await desk.until(session, *ALL)
    assert found["liveness"]["reason"] == "inference_unavailable"
    assert desk.checks.tries_left(session, "liveness") == 3


async def test_the_customer_goes_another_way(desk: Desk) -> None:
    desk.scene.answers = {"id_card_front": [Guidance("no_card")]}
    session = await desk.call()
    await desk.running(session, "id_card_front")
    desk.checks.skip(session, "id_card_front")
    found = await desk.until(session, "id_card_front")
    assert found["id_card_front"]["reason"] == "skipped"


async def test_a_face_is_kept_only_with_its_own_consent(desk: Desk) -> None:
    cooperative(desk.scene)
    for kept in (None, False):
        session = await desk.call(kept=kept)
        await desk.until(session, *ALL)
        await desk.checks.decide(session, desk.teller, "approved", "")
        await desk.over(session)
    assert (await desk.faces.stock())["stored"] == 0
    session = await desk.call(kept=True)
    await desk.until(session, *ALL)
    assert (await desk.faces.stock())["stored"] == 0  # not before the approval
    await desk.checks.decide(session, desk.teller, "approved", "")
    await desk.over(session)
    kept_face = await desk.faces.template(desk.customer)
    assert kept_face is not None and kept_face[0] == FACE
    async with desk.db.read() as c:
        row = (await c.execute(select(t.faces))).mappings().one()
    async with desk.db.write() as tx:  # kept anew, it is still one person's
        assert await desk.faces.keep(tx, desk.customer, session, FACE, row["model"])
    assert (await desk.faces.stock())["stored"] == 1
    assert FACE not in row["template"]

    # The next visit: the same face, then somebody else's.
    for template, verdict in ((FACE, "passed"), (STRANGER, "failed")):
        desk.scene.answers["face_match"] = [match(template)]
        session = await desk.call()
        known = (await desk.until(session, *ALL, "face_known"))["face_known"]
        assert (known["verdict"], known["threshold"]) == (verdict, 0.42)
        await desk.over(session)

    # Withdrawn: erased at once, and another copy of the row says nothing either.
    await desk.checks.withdraw(desk.customer, "face_kept")
    assert await desk.faces.template(desk.customer) is None
    assert desk.keys.get(desk.customer) is None
    async with desk.db.write() as tx:
        await tx.execute(insert(t.faces).values(**row))
    assert await desk.faces.template(desk.customer) is None
    with pytest.raises(Conflict, match="not_given"):
        await desk.checks.withdraw(desk.customer, "face_kept")
    with pytest.raises(UserError, match="unknown_subject"):
        await desk.checks.withdraw(desk.customer, "recording")
    audit = await desk.kinds("audit")
    assert [each for each in audit if "face" in each or "consent" in each] == [
        "face_kept", "face_kept", "consent_withdrawn", "face_erased",
    ]  # fmt: skip
    answers = [each["answer"] for each in await desk.ledger.of(desk.customer)
               if each["subject"] == "face_kept"]  # fmt: skip
    assert answers == ["refused", "agreed", "withdrawn"]


async def test_withdrawing_in_the_call_ends_the_watch(desk: Desk) -> None:
    cooperative(desk.scene)
    desk.scene.answers["liveness"] = [Guidance("blink", prompt="blink")]
    session = await desk.call(kept=True)
    await desk.running(session, "liveness")
    await desk.checks.withdraw(desk.customer, "face")
    found = await desk.until(session, "liveness", "continuity")
    assert found["liveness"]["reason"] == "no_consent"
    assert not (await desk.sessions.get(session))["consent_face"]
    assert "consent_withdrawn" in await desk.kinds(f"session:{session}")
    standing = await desk.ledger.standing(desk.customer)
    assert {each["answer"] for name, each in standing.items() if name != "recording"} == {
        "withdrawn"
    }
    await desk.checks.by_eye.compare(session, desk.teller, "passed", "same person")
    await desk.checks.decide(session, desk.teller, "approved", "")
    assert (await desk.faces.stock())["stored"] == 0


@pytest.mark.parametrize(
    ("stored", "state"), [(0, "calm"), (WARNING_AT, "warning"), (DUTY_AT, "duty")]
)
async def test_the_number_of_faces_has_consequences(
    desk: Desk, stored: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(_reader: Any) -> int:
        return stored

    monkeypatch.setattr("video_bank.faces._count", count)
    assert (await desk.faces.stock())["state"] == state


def test_likeness_of_what_cannot_be_compared() -> None:
    assert likeness(FACE, FACE) == pytest.approx(1.0)
    for other in (b"", FACE[:8], FACE[:7], bytes(16), struct.pack("<4f", *[float("nan")] * 4)):
        assert likeness(FACE, other) is None


CODE = re.compile(r"[a-z][a-z0-9_]+")
NO_CHECKS = ("report", "commands")
HINTS = (
    "no_card", "no_document", "closer", "farther", "centre", "hold_still", "less_glare",
    "more_light", "turn_card", "turn_document", "wrong_side", "wrong_document", "show_zone",
    "show_other_side", "reading", "no_face", "one_face_only", "look_straight", "show_eyes", "blink",
    "mouth", "left", "right", "nod", "say_digits", "picture_lost", "done", "tilt_card",
    "tilt_more", "slower", "show_mouth",
)  # fmt: skip
"What is put together elsewhere than in a `Guidance(…)`."


def said(kyc: Path) -> tuple[set[str], set[str]]:
    """The hints and reasons that stand in the checks' source: `Guidance("hint"`, `hint="hint"`, and
    a reason right behind its verdict."""
    hints, reasons = set(), set()
    for path in kyc.rglob("*.py"):
        if path.relative_to(kyc).parts[0] in NO_CHECKS:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
            for verdict, reason in itertools.pairwise(parts):
                if ast.unparse(verdict).startswith("Verdict."):
                    reasons.add(getattr(reason, "value", None))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Guidance" and parts:
                hints.add(getattr(parts[0], "value", None))
    return tuple(  # type: ignore[return-value]
        {code for code in codes if isinstance(code, str) and CODE.fullmatch(code)}
        for codes in (hints, reasons)
    )


def test_every_check_has_its_words(root: Path) -> None:
    """Names, instructions, modes and answers that pages translate."""
    hints, reasons = said(root / "kyc")
    assert "colour_soon" in hints and "read" in reasons
    hints |= set(HINTS)
    for language in ("zh", "en"):
        words: dict[str, str] = {}
        for area in ("common", "customer", "staff"):
            text = (root / "web" / "locales" / f"{area}.{language}.json").read_text("utf-8")
            words |= json.loads(text)
        for check, look in LOOKS.items():
            assert f"check.{check}" in words and f"hint.{look.first}" in words
            assert f"customer.guide.{look.mode}" in words
        missing = [f"hint.{code}" for code in sorted(hints) if f"hint.{code}" not in words]
        missing += [f"reason.{code}" for code in sorted(reasons) if f"reason.{code}" not in words]
        assert missing == [], language
