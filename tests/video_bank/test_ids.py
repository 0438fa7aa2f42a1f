import pytest

from video_bank.storage import ids, new_id, new_token


def test_ids_sort_in_the_order_they_were_made() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(set(made))
    assert {len(each) for each in made} == {26}
    assert set("".join(made)) <= set(ids.ALPHABET)


def test_a_clock_that_goes_back_does_not_unsort_them(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    assert new_id() > before


def test_tokens() -> None:
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(each) for each in made} == {22}
