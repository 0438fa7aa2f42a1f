"""The garbage collector of a process that must not pause while it forwards media."""

import gc

FULL_EVERY = 100
"""Collections of the middle generation before a full one; Python's own 10 makes media wait for tens
of milliseconds every few seconds, for garbage that calls leave only when they end."""


def settle() -> None:
    """Call it once everything is imported and started: what lives as long as the process is never
    looked at again, and full collections become rare."""
    young, middle, _ = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, middle, FULL_EVERY)
