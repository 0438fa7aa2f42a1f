"""The garbage collector of a process that must not pause while it forwards media."""

import asyncio
import gc

FULL_EVERY = 100
"""Collections of the middle generation before a full one; with Python's own 10 media waits for tens
of milliseconds every few seconds."""
REST_S = 30.0
"""Between the end of a call and the full collection that frees what it left in circles; further
calls that end meanwhile share it."""


def settle() -> None:
    """Call it once everything is imported and started: what lives as long as the process is never
    looked at again, and full collections become rare."""
    young, middle, _ = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, middle, FULL_EVERY)


async def sweep(ended: asyncio.Event) -> None:
    """After calls have ended, which sets ``ended``, give their memory back; runs until cancelled.

    Without it the garbage of some hundred calls would be waiting for a full collection.
    """
    while True:
        await ended.wait()
        await asyncio.sleep(REST_S)
        ended.clear()
        gc.collect()
