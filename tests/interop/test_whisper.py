"""A whisper in the recording: in the supervisor's own stream, and in nobody else's."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path

import av
import numpy as np

from recordings import FileSigner, LocalStore, Recorder, WebmView, new_dek, new_part_id, streams
from recordings.container import PartReader
from tests.signaling.robot import stage, until
from video_bank.tape import Tape

ROLES = {"cara": "customer", "tom": "teller", "sue": "supervisor"}
TONES = {"customer": 450.0, "teller": 600.0, "supervisor": 1000.0}
"The tone each of them sends, in hertz."


def spectrum(webm: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in hertz and how strong they are, over the second half of a recording."""
    with av.open(io.BytesIO(webm), "r") as file:
        sound = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]  # planes: one a channel
    samples = np.concatenate(sound).astype(float)
    samples = samples[len(samples) // 2 :]
    strength = abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.fft.rfftfreq(len(samples), 1 / 48000), strength


async def test_a_whisper_stands_in_a_stream_of_its_own(tmp_path: Path) -> None:
    store, dek = LocalStore(tmp_path), new_dek()
    header = {
        "part_id": new_part_id(), "session": "s", "part": 1, "previous": None, "key_id": "k",
    }  # fmt: skip
    failures: list[OSError] = []
    recorder = await Recorder.open(
        store, "part.vbr", header=header, dek=dek,
        signer=FileSigner.load_or_create(tmp_path / "keys"), on_failure=failures.append,
    )  # fmt: skip
    tape = Tape(recorder)
    async with stage() as scene:
        for name, role in ROLES.items():
            scene.room.subscribe(name, partial(tape.take, role))
        scene.gate.presence["sue"] = {"presence": "whispering", "confidants": frozenset({"tom"})}
        people = {}
        for name, role in ROLES.items():
            people[name] = await scene.robot(name, hertz=TONES[role])
            await people[name].join()
            await people[name].call(extra_pairs=2)
        ear = scene.mid("tom", "sue", "audio")
        await until(lambda: abs((people["tom"].hears(ear) or 0) - TONES["supervisor"]) < 20)
        began = scene.room.time_us
        await until(lambda: scene.room.time_us - began > 1_500_000)
    await recorder.finish()
    assert not failures
    found = {}
    with contextlib.closing(store.open("part.vbr")) as source:
        reader = PartReader(source, dek)
        for info in streams(reader):
            view = WebmView(reader, info.number)
            found[info.label] = spectrum(view.read(0, view.size))
    assert found.keys() == TONES.keys()
    for role, (hertz, strength) in found.items():
        assert abs(hertz[strength.argmax()] - TONES[role]) < 20
        whisper = strength[abs(hertz - TONES["supervisor"]) < 20].max() / strength.max()
        assert (whisper > 0.9) == (role == "supervisor"), f"{role}: {whisper:.3f}"
        assert role == "supervisor" or whisper < 0.02, f"{role}: {whisper:.3f}"
