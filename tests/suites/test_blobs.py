"""What every place for blobs must do."""

import asyncio

import pytest

from video_bank.blobs import BlobExists, BlobMissing, Blobs


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 8192])
async def test_bytes_come_back(blobs: Blobs, data: bytes) -> None:
    await blobs.put("sessions/01J/front.jpg", data)
    assert await blobs.get("sessions/01J/front.jpg") == data


async def test_written_once(blobs: Blobs) -> None:
    await blobs.put("a", b"first")
    with pytest.raises(BlobExists):
        await blobs.put("a", b"second")
    assert await blobs.get("a") == b"first"


async def test_of_writers_at_once_one_wins(blobs: Blobs) -> None:
    results = await asyncio.gather(
        *(blobs.put("a", bytes([n])) for n in range(8)), return_exceptions=True
    )
    (winner,) = [n for n, result in enumerate(results) if result is None]
    assert all(isinstance(each, BlobExists) for each in results if each is not None)
    assert await blobs.get("a") == bytes([winner])


async def test_missing(blobs: Blobs) -> None:
    await blobs.put("a/b", b"x")
    for name in ("b", "a", "a/b/c"):
        with pytest.raises(BlobMissing):
            await blobs.get(name)


async def test_deleted(blobs: Blobs) -> None:
    await blobs.put("a", b"x")
    await blobs.delete("a")
    await blobs.delete("a")
    with pytest.raises(BlobMissing):
        await blobs.get("a")
    await blobs.put("a", b"again")
    assert await blobs.get("a") == b"again"


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a/.b", "a\0", "a b", "a\\b", "é"]
    + ["a" * 129, "/".join("a" * 9)],
)
async def test_names_that_could_lead_elsewhere_are_refused(blobs: Blobs, name: str) -> None:
    for verb in (blobs.get(name), blobs.delete(name), blobs.put(name, b"")):
        with pytest.raises(ValueError):
            await verb
