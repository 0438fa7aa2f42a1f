"""Who may know of whom and what reaches whom, for any room there can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from signaling.participant import Participant
from signaling.presence import Presence, Standing, Track, concerns, flows, knows

PEOPLE = ("customer", "teller", "expert", "co_customer", "supervisor")
TRACKS: tuple[Track, ...] = get_args(Track)

people = st.sampled_from(PEOPLE)
groups = st.frozensets(people)
tracks = st.sampled_from(TRACKS)
standings = st.builds(Standing, st.sampled_from(get_args(Presence)), groups, st.booleans())
hidden = standings.filter(lambda one: one.presence != "joined" and not one.announced)


@given(people, people, hidden)
def test_an_unseen_person_is_known_to_confidants_only(
    viewer: str, source: str, standing: Standing
) -> None:
    assert knows(viewer, source, standing) == (viewer == source or viewer in standing.confidants)
    for track in TRACKS:
        if concerns(viewer, source, standing, track):
            assert viewer in standing.confidants and knows(viewer, source, standing)


@given(people, people, standings, tracks, groups, st.frozensets(tracks))
def test_nothing_flows_that_is_not_meant_for_one(
    viewer: str,
    source: str,
    standing: Standing,
    track: Track,
    held: frozenset[str],
    muted: frozenset[Track],
) -> None:
    going = flows(viewer, source, standing, track, held=held, muted=muted)
    if going:
        assert viewer != source and knows(viewer, source, standing)
        assert not {viewer, source} & held and track not in muted
        assert standing.presence != "listening"
        if standing.presence == "whispering":
            assert track == "audio" and viewer in standing.confidants
    elif standing.presence == "joined" and viewer != source:
        assert {viewer, source} & held or track in muted


@given(people, people, standings, tracks, groups)
def test_hold_and_mute_only_take_away(
    viewer: str, source: str, standing: Standing, track: Track, held: frozenset[str]
) -> None:
    free = flows(viewer, source, standing, track)
    assert free == concerns(viewer, source, standing, track)
    assert free or not flows(viewer, source, standing, track, held=held)
    assert not flows(viewer, source, standing, track, muted=frozenset({track}))
    if not {viewer, source} & held:
        assert flows(viewer, source, standing, track, held=held) == free, "others may confer"


@given(people, people, tracks)
def test_people_who_joined_have_each_other(viewer: str, source: str, track: Track) -> None:
    assert knows(viewer, source, Standing())
    assert flows(viewer, source, Standing(), track) == (viewer != source)


@given(st.integers(0, 7), st.lists(st.frozensets(people), min_size=1, max_size=8))
def test_a_person_keeps_the_place_and_nobody_shares_it(
    pairs: int, changes: list[frozenset[str]]
) -> None:
    peer: Any = SimpleNamespace(pairs=[{}] * pairs)
    viewer = Participant("viewer", "teller", "", peer=peer)
    for present in changes:
        before = dict(viewer.shown)
        viewer.place([viewer, *(Participant(name, name, "") for name in sorted(present))])
        assert viewer.shown.keys() <= present
        assert len(viewer.shown) == min(pairs, len(present)), "no place stays empty"
        assert sorted({*viewer.shown.values()}) == sorted(viewer.shown.values())
        assert all(index < pairs for index in viewer.shown.values())
        for name in before.keys() & present:
            assert viewer.shown[name] == before[name]
