"""Whose recorded pictures begin anew, and how often."""

from typing import Any

from video_bank.call import KEY_FRAME_S, POOR_KEY_FRAME_S, Call


def test_key_frames_come_often_and_less_on_a_poor_line() -> None:
    nobody: Any = None
    call = Call("S-1", "c", "t", nobody, nobody, nobody, people={"c": nobody, "t": nobody})
    call.levels = {"c": 1, "t": 3}
    asked = {second: call.key_frames_due(1000.0 + second) for second in range(13)}
    assert asked[0] == ["c", "t"] and asked[1] == []
    for person, pause in (("t", KEY_FRAME_S), ("c", POOR_KEY_FRAME_S)):
        assert [second for second in asked if person in asked[second]] == list(
            range(0, 13, int(pause))
        )
