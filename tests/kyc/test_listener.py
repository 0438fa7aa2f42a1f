"""The listening process: absent packages, deaths, and one voice really understood."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from kyc import listener
from kyc.__main__ import main
from kyc.check import BadInput
from kyc.listener import Heard, Listener
from kyc.process import Unavailable
from kyc.sound import read
from kyc.speech import RATE

VOICES = Path(__file__).parent / "spoken_digits"
PIECE = RATE // 5

STUB = """
    import sys
    from kyc import wire
    while (request := wire.read(sys.stdin.buffer)) is not None:
        verb, reply = request["verb"], {}
        if verb == "open":
            reply = {"bad_input": "language"} if request["language"] == "xx" else {"ear": 1}
        elif verb == "hear":
            if request["pcm"] == b"die":
                sys.exit(3)
            said = {"text": "4719", "language": "zh", "from_us": request["media_time_us"],
                    "to_us": 9, "confidence": 0.5, "loudness": [], "sounds": ["", "", "", ""]}
            reply = {"utterances": [said], "speaking": False, "pending": 0}
        for chunk in wire.pack({**reply, "number": request["number"]}):
            if request["number"]:
                sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
"""


def stub() -> Listener:
    command = [sys.executable, "-c", textwrap.dedent(STUB)]
    return Listener(models_dir=Path(), command=command, load_s=20, call_s=5)


async def test_nothing_is_started_before_somebody_listens() -> None:
    ears = stub()
    assert ears._kept._keeper is None
    async with ears.open("zh") as ear:
        heard = await ear.hear(b"\x00\x00", 5)
    assert heard.utterances[0].text == "4719"
    assert heard.utterances[0].from_us == 5
    await ears.close()


async def test_a_death_is_said_and_the_next_one_hears_again() -> None:
    ears = stub()
    with pytest.raises(Unavailable):
        async with ears.open("zh") as ear:
            await ear.hear(b"die", 0)
    async with ears.open("zh") as ear:
        assert (await ear.hear(b"\x00\x00", 7)).utterances
    with pytest.raises(BadInput):
        async with ears.open("xx"):
            pass
    await ears.close()


async def test_without_its_packages_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PACKAGES", ("no_such_package",))
    ears = Listener(models_dir=Path())
    ears.prepare()
    with pytest.raises(Unavailable, match="not installed"):
        async with ears.open("zh"):
            pass


async def test_a_voice_is_understood_piece_by_piece(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The one test with the real models: sound in pieces of a fifth of a second, as in a call."""
    if not listener.installed():
        pytest.skip("the packages of requirements-hearing.txt are not installed")
    truth = json.loads((VOICES / "truth.json").read_text("utf-8"))
    row = next(each for each in truth if each["language"] == "en")
    pcm = read(VOICES / row["file"])
    ears = Listener(models_dir=tmp_path_factory.mktemp("hearing"))
    async with ears.open(row["language"]) as ear:
        said: list[Heard] = []
        for start in range(0, len(pcm), 2 * PIECE):
            said.append(
                await ear.hear(pcm[start : start + 2 * PIECE], start * 1_000_000 // RATE // 2)
            )
        said.append(await ear.finish())
        models, memory = await ears.models(), await ears.memory()
    mandarin = next(each for each in truth if each["language"] == "zh")
    async with ears.open("zh", digits=True) as ear:
        await ear.hear(read(VOICES / mandarin["file"]), 0)
        (held,) = [each.held for each in (await ear.finish()).utterances]
    await ears.close()
    assert len(held) == 2
    assert all(each.isdigit() for each in held)
    (utterance,) = [each for heard in said for each in heard.utterances]
    digits = utterance.text.translate(str.maketrans("零一二三四五六七八九", "0123456789"))
    assert "".join(each for each in digits if each.isdigit()) == row["digits"]
    assert 0 < utterance.from_us < utterance.to_us < len(pcm) * 500_000 // RATE
    assert set(models) == {"speech_recognition", "voice_activity"}
    assert memory["peak"] < 700 << 20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.wav", b"not a sound at all"),
        ("empty.ogg", b""),
        ("cut.wav", b"RIFF\x00\x00\x00\x00WAVEfmt "),
        ("cut.ogg", b"OggS" + bytes(200)),
        ("cut.webm", b"\x1a\x45\xdf\xa3" + bytes(64)),
        ("cut.mp4", b"\x00\x00\x00\x18ftypisom" + bytes(64)),
    ],
)
def test_bad_sound_files_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["digits", str(tmp_path / name), "--expect", "4719"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("expected", ["", "12", "47a9", "1234567890123"])
def test_what_is_expected_must_be_digits(expected: str, tmp_path: Path) -> None:
    assert main(["digits", str(tmp_path / "none.wav"), "--expect", expected]) == 2
