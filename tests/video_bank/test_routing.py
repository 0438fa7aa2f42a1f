"""The waiting line's rule, as properties."""

from hypothesis import given
from hypothesis import strategies as st

from video_bank.routing import AGEING_US, Match, Ready, Waiting, choose, estimate_s, order, place

NOW = 10_000_000_000

waitings = st.lists(
    st.builds(
        Waiting,
        session=st.uuids().map(str),
        business=st.sampled_from(["identification", "card"]),
        language=st.sampled_from(["zh", "en"]),
        queued_at=st.integers(0, NOW),
        priority=st.integers(0, 3),
        passed_over=st.frozensets(st.sampled_from("abc")),
    ),
    unique_by=lambda each: each.session,
    max_size=12,
)
tellers = st.lists(
    st.builds(
        Ready,
        teller=st.sampled_from("abcdef"),
        ready_since=st.integers(0, NOW),
        skills=st.sampled_from(
            [frozenset(), frozenset({"identification", "zh"}), frozenset({"card", "en", "zh"})]
        ),
    ),
    unique_by=lambda each: each.teller,
    max_size=5,
)


@given(waitings, tellers)
def test_a_match_is_able_and_nobody_ahead_could_have_been_served(
    waiting: list[Waiting], ready: list[Ready]
) -> None:
    match = choose(waiting, ready, NOW)
    line = order(waiting, NOW)
    servable = [each for each in line if any(teller.serves(each) for teller in ready)]
    if match is None:
        assert not servable
        return
    assert match.session == servable[0].session
    teller = next(each for each in ready if each.teller == match.teller)
    assert teller.serves(servable[0])
    if teller.teller in servable[0].passed_over:
        others = {each.teller for each in ready if each.serves(servable[0])}
        assert others <= servable[0].passed_over


@given(waitings)
def test_places_are_one_to_n(waiting: list[Waiting]) -> None:
    places = [place(waiting, each.session, NOW) for each in waiting]
    assert sorted(places, key=lambda number: number or 0) == list(range(1, len(waiting) + 1))
    assert place(waiting, "nobody", NOW) is None


def test_waiting_outweighs_priority_in_the_end() -> None:
    old = Waiting("old", "card", "zh", queued_at=NOW - 4 * AGEING_US)
    vip = Waiting("vip", "card", "zh", queued_at=NOW, priority=3)
    assert [each.session for each in order([vip, old], NOW)] == ["old", "vip"]


def test_a_lone_teller_is_asked_again() -> None:
    waiting = [Waiting("s", "card", "zh", 0, passed_over=frozenset({"a"}))]
    assert choose(waiting, [Ready("a", 0)], NOW) == Match("s", "a")
    assert choose(waiting, [Ready("a", 0), Ready("b", 5)], NOW) == Match("s", "b")


def test_the_estimate_is_truthful() -> None:
    assert estimate_s(1, 0, 300) is None
    assert estimate_s(2, 1, 300) == 600
    assert estimate_s(1, 4, 300) == 90
