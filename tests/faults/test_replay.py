"""A call seen again while it goes on, and at once after it: real media, the real server."""

import asyncio
import io
import time

import av
from yarl import URL

from tests.faults.people import Branch, Person
from video_bank.probe.browser import Json

AVAILABLE_S = 3.0
"From hanging up to a sealed recording that plays to its end."


async def opened(person: Person, session: str, reason: str = "a test") -> Json:
    return await person.post(f"/api/reviews/{session}/viewings", {"reason": reason})


async def bytes_of(person: Person, stream: Json) -> bytes:
    async with person._http.get(person._server.join(URL(stream["url"]))) as response:
        assert response.status == 200, stream["url"]
        return await response.read()


def length(webm: bytes) -> float:
    """Seconds of pictures that can be decoded."""
    with av.open(io.BytesIO(webm), "r") as file:
        times = [frame.time for frame in file.decode(video=0)]
    assert times and times[-1] is not None
    return times[-1]


async def test_a_supervisor_follows_a_call_and_reviewers_have_it_at_once(branch: Branch) -> None:
    teller, customer = await branch.teller(), await branch.customer()
    session = await branch.call(teller, customer)
    supervisor, reviewer = await branch.staff("supervisor"), await branch.staff("reviewer")
    await asyncio.sleep(4)
    live = await opened(supervisor, session)
    behind_s = (live["live"]["now_us"] - live["live"]["edge_us"]) / 1e6
    print(f"\nsigned up to {behind_s:.2f} s before now")
    assert 0 <= behind_s < 2
    assert {one["label"] for one in live["streams"]} == {"customer", "teller"}
    first = length(await bytes_of(supervisor, live["streams"][0]))
    await asyncio.sleep(2)
    now = await supervisor.get(f"/api/viewings/{live['viewing']}/streams")
    second = length(await bytes_of(supervisor, now["streams"][0]))
    assert second > first + 1, "what was said meanwhile is there"
    assert "accepted" in [one["kind"] for one in now["timeline"]]

    # Somebody hangs up: how long until a reviewer has all of it, sealed?
    began = time.monotonic()
    decision = {"verdict": "referred", "reason": "to be looked at"}
    await teller.post(f"/api/sessions/{session}/decision", decision)
    await teller.post(f"/api/sessions/{session}/end")
    while True:
        viewing = await opened(reviewer, session)
        if viewing["seal"]["verdict"] is not None and viewing["live"] is None:
            break
        await asyncio.sleep(0.05)
    whole = length(await bytes_of(reviewer, viewing["streams"][0]))
    took_s = time.monotonic() - began
    print(f"sealed, opened and decoded to its end {took_s:.2f} s after hanging up")
    assert took_s < AVAILABLE_S
    assert viewing["seal"]["verdict"] == "ok" and whole > second
    told = {one["kind"]: one["sealed"] for one in viewing["timeline"]}
    assert told["accepted"] and told["decided"], "chapters stand inside the seal"
    # The supervisor's right was to the call.
    refused = await supervisor.refused(f"/api/reviews/{session}/viewings", {"reason": "again"})
    assert refused.code == "viewing_running_only"
    await teller.post(f"/api/sessions/{session}/close")
