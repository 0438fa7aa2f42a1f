"""The garbage collector of a process that must not pause while it forwards media."""

import asyncio
import ctypes
import gc

FULL_EVERY = 100
"""Collections of the middle generation before a full one; with Python's own 10 media waits for tens
of milliseconds every few seconds."""
YOUNG = 5000
"""Objects made and not freed before the youngest are looked through; nearly all media is freed by
then, and looking through 700 as Python does costs a fiftieth of forwarding."""
REST_S = 30.0
"""Between the end of a call and the full collection that frees what it left in circles; further
calls that end meanwhile share it."""


def settle() -> None:
    """Call it once everything is imported and started: what lives as long as the process is never
    looked at again, and full collections become rare."""
    _, middle, _ = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, middle, FULL_EVERY)


def give_back() -> None:
    """Free what is left in circles, and hand the pages that this empties to the system: malloc
    keeps them, and those of many calls would lie between what lives on."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


async def sweep(ended: asyncio.Event) -> None:
    """After calls have ended, which sets ``ended``, give their memory back; runs until cancelled.

    Without it the garbage of some hundred calls would be waiting for a full collection.
    """
    while True:
        await ended.wait()
        await asyncio.sleep(REST_S)
        ended.clear()
        give_back()
