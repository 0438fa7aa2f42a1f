"""Packets that hold nothing but padding, taken out of a stream without leaving holes. Pure.

A browser that sends simulcast feels its line out with them, at times with more than the picture
takes. Its line is no viewer's line: passed on they would fill a narrow one.
"""

from __future__ import annotations

from collections import deque

from signaling.rtp import sequence_delta

KEPT = 4096
"Numbers remembered: some seconds of padding, longer than a lost packet is waited for."


class Padding:
    """What was taken out, and the numbers of the others as if it had never been.

    A number is given to one packet only, for ever: a packet is taken out only while it is the
    newest, so that nothing after it has a number yet (`patched` says why this matters).
    """

    def __init__(self, first: int) -> None:
        """`first` is the sequence number of the first one taken out."""
        self._newest = first + 0x10000
        self._taken = deque([self._newest], maxlen=KEPT)
        self._count = 1

    def take(self, sequence: int) -> None:
        """Take the newest packet out."""
        self._taken.append(self._extended(sequence))
        self._count += 1

    def number(self, sequence: int) -> int | None:
        """The number of another packet; None if it comes too late to tell."""
        extended = self._extended(sequence)
        if extended < self._taken[0] and self._count > len(self._taken):
            return None
        later = 0
        for taken in reversed(self._taken):
            if taken < extended:
                break
            later += 1
        return (extended - self._count + later) & 0xFFFF

    def _extended(self, sequence: int) -> int:
        extended = self._newest + sequence_delta(sequence, self._newest & 0xFFFF)
        self._newest = max(self._newest, extended)
        return extended
