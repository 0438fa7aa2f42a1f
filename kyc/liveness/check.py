"""The liveness challenge on the call's video: landmarks in, one Finding out."""

from __future__ import annotations

from collections.abc import Sequence

from kyc.check import BadInput, Finding, Guidance, Picture, Verdict
from kyc.face import Embedding, Face, FaceEncoder, FaceFinder, fuse, likeness, principal
from kyc.face_match import describe
from kyc.image import Bgr, Frame, corners, crop, jpeg, relative
from kyc.liveness.approach import Rest
from kyc.liveness.challenge import GREW, Challenge, Observation, Step
from kyc.liveness.landmarks import Landmarks, Mesh, Pose
from kyc.liveness.passive import Passive
from kyc.quality import quality

COMPARE_US = 500_000  # the face is compared with the first one this often
SAME = 0.28  # likeness below which it is somebody else; poses differ, so below the match's own
FRONTAL = 0.35  # nose off the middle, in eye distances, up to which a likeness means something
FIRST_LOOKS = 3
_SETTLED_BY_PERSON = ("closer", "farther", "centre", "more_light")
_ENDED = {
    "all_prompts_followed": Verdict.PASSED,
    "prompt_missed": Verdict.FAILED,
    "flat_approach": Verdict.FAILED,
    "face_changed": Verdict.FAILED,
    "no_face": Verdict.FAILED,
    "several_faces": Verdict.FAILED,
    "different_person": Verdict.FAILED,
    "no_neutral": Verdict.NOT_CHECKED,  # the challenge never began
}


class Liveness:
    """Random prompts, followed in order by the same face; the passive signals look on."""

    name = "liveness"

    def __init__(
        self,
        finder: FaceFinder,
        encoder: FaceEncoder,
        landmarks: Landmarks,
        prompts: Sequence[str],
        prompt_s: float = 8.0,
        reference: Bgr | None = None,
    ) -> None:
        try:
            self._challenge = Challenge(prompts, prompt_s)
        except ValueError as error:
            raise BadInput("prompts", str(error)) from error
        self._finder = finder
        self._encoder = encoder
        self._landmarks = landmarks
        self._reference: Embedding | None = None
        if reference is not None:
            self._reference = describe(finder, encoder, reference)
        self._unusable = reference is not None and self._reference is None
        self._passive = Passive({**encoder.models, **landmarks.models})
        self._rest: Rest | None = None
        self._first: list[Embedding] = []
        self._compared_us = -COMPARE_US
        self._lost = False
        self._likeness: float | None = None
        self._pictures: list[Picture] = []
        self._last_hint = "no_face"
        self._finding: Finding | None = None

    def see(self, frame: Frame) -> Guidance | Finding:
        if self._finding is not None:
            return self._finding
        if self._unusable:
            return self._end("portrait_unusable", frame)
        faces = self._finder.find(frame.bgr)
        self._passive.see(frame, faces)
        face, trouble = principal(faces)
        if face is None:
            self._lost = True
            several = trouble == "one_face_only"
            step = self._challenge.see(Observation(frame.media_time_us, 2 if several else 0))
            return self._tell(step, frame, None)
        judged = quality(frame.bgr, face)
        if self._challenge.neutral is None and judged.hint in _SETTLED_BY_PERSON:
            self._last_hint = judged.hint
            return Guidance(judged.hint, quad=relative(corners(face.box), frame.size))
        same = self._same(frame, face)
        if self._first and self._other_than_reference():
            return self._end("different_person", frame)
        mesh = self._landmarks.mesh(frame.bgr, face)
        pose = None if mesh is None else self._landmarks.pose(frame.bgr, face, mesh)
        approach = self._approach(frame.bgr, mesh, pose)
        followed, asked = self._challenge.done, len(self._challenge.asked)
        step = self._challenge.see(
            Observation(frame.media_time_us, 1 if pose else 0, pose, same, approach)
        )
        if self._challenge.done > followed:
            self._keep(frame, face)
        if len(self._challenge.asked) > asked:
            self._rest = None
            if step.prompt == "closer" and mesh is not None:
                self._rest = Rest(frame.bgr, mesh)
        return self._tell(step, frame, face)

    def _approach(self, bgr: Bgr, mesh: Mesh | None, pose: Pose | None) -> float | None:
        """How much stronger the perspective has become, once the face asked to come has grown."""
        neutral = self._challenge.neutral
        if self._rest is None or mesh is None or pose is None or neutral is None:
            return None
        return self._rest.perspective(bgr, mesh) if pose.size > GREW * neutral.size else None

    def expire(self, media_time_us: int) -> Finding:
        if self._finding is None:
            begun = self._challenge.neutral is not None
            self._finding = self._answer(
                Verdict.FAILED if begun else Verdict.NOT_CHECKED,
                "prompt_missed" if begun else "timeout",
                media_time_us,
            )
        return self._finding

    def _same(self, frame: Frame, face: Face) -> bool | None:
        """Whether this is the first face still; None when not compared now."""
        due = self._lost or frame.media_time_us - self._compared_us >= COMPARE_US
        if abs(face.yaw) > FRONTAL or not due:
            return None
        self._compared_us = frame.media_time_us
        seen = self._encoder.encode(frame.bgr, face)
        if len(self._first) < FIRST_LOOKS and not self._lost:
            if self._first and likeness(self._first[0], seen) < SAME:
                return False
            if not self._first:
                picture, _ = crop(frame.bgr, face.box, 0.5)
                self._pictures.append(Picture("face", jpeg(picture), frame.media_time_us))
            self._first.append(seen)
            return True
        if not self._first:  # the face was lost before it was ever described
            self._lost = False
            return None
        same = likeness(self._initial(), seen) >= SAME
        # Out of sight, somebody may have changed places: compare at once until it is settled.
        self._lost = self._lost and not same
        return same

    def _initial(self) -> Embedding:
        return fuse(self._first, [1.0] * len(self._first))

    def _other_than_reference(self) -> bool:
        if self._reference is None or len(self._first) < FIRST_LOOKS:
            return False
        if self._likeness is None:
            self._likeness = round(likeness(self._initial(), self._reference), 4)
        return self._likeness < self._encoder.threshold

    def _keep(self, frame: Frame, face: Face) -> None:
        number, prompt = self._challenge.done, self._challenge.asked[-1].prompt
        picture, _ = crop(frame.bgr, face.box, 0.5)
        self._pictures.append(Picture(f"{number}_{prompt}", jpeg(picture), frame.media_time_us))

    def _tell(self, step: Step, frame: Frame, face: Face | None) -> Guidance | Finding:
        if step.ended:
            return self._end(step.ended, frame)
        quad = relative(corners(face.box), frame.size) if face else None
        self._last_hint = step.hint
        return Guidance(step.hint, round(step.progress, 3), step.prompt, step.deadline_s, quad)

    def _end(self, reason: str, frame: Frame) -> Finding:
        if reason == "all_prompts_followed" and self._reference is not None:
            # Without enough frontal looks nobody can say whose face it was.
            if self._likeness is None:
                reason = "low_quality"
        verdict = _ENDED.get(reason, Verdict.NOT_CHECKED)
        self._finding = self._answer(verdict, reason, frame.media_time_us)
        return self._finding

    def _answer(self, verdict: Verdict, reason: str, media_time_us: int) -> Finding:
        challenge = self._challenge
        prompts = [
            {
                "prompt": asked.prompt,
                "asked_us": asked.asked_us,
                "seen_us": asked.seen_us,
                "followed": asked.seen_us is not None,
            }
            for asked in challenge.asked
        ]
        return Finding(
            check=self.name,
            verdict=verdict,
            reason=reason,
            score=round(challenge.done / len(challenge.prompts), 4),
            threshold=1.0,
            values={
                "prompts": prompts,
                "asked_for": list(challenge.prompts),
                "strays": challenge.strays,
                "likeness": self._likeness,
            },
            pictures=self._pictures,
            models={**self._encoder.models, **self._landmarks.models},
            media_time_us=media_time_us,
            also=[self._passive.finding(media_time_us)],
        )
