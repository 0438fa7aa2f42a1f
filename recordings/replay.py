"""Plaintext views of a part, made while they are read: a file per stream, events, loudness.

Of a part that is still being written, :class:`SignedReader` gives out what a signature of the
writer covers, and nothing else.
"""

from __future__ import annotations

import json
import struct
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from . import matroska
from .container import RECORD_HEADER, TAG, Columns, Flag, PartReader, Record, Type
from .errors import Damaged
from .store import Source
from .verify_recording import Checkpoint, Trust, preamble_text, record_text

KEPT_CHECKPOINTS = 64
"""Signatures that a reader of a running part remembers: half a minute of it."""
KEPT_FRAGMENTS = 8
"""Decrypted fragments that a view remembers: at most 8 MiB, in practice 0.5."""

# Plain numbers: an IntFlag's own operators take too long for each record of an hour.
_KEYFRAME, _INIT = int(Flag.KEYFRAME), int(Flag.INIT)


@dataclass(frozen=True)
class Event:
    """An EVENT record, opened."""

    sequence: int
    time_us: int
    body: dict[str, Any]


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a part."""

    number: int
    label: str
    pictures: bool
    start_us: int
    """Media time of its first fragment."""


@dataclass(frozen=True)
class Loudness:
    """How loud the sound of a stream was for a while, the loudest packet of each step."""

    stream: int
    from_us: int
    """Media time at which the first step begins."""
    step_ms: int
    values: list[int]
    """-dBov, 0 loudest .. 127 silence (RFC 6464)."""


class SignedReader(PartReader):
    """Opens records of a part that is being written, as far as it is signed.

    A CHECKPOINT lists the leaves of the records since the one before it. A record is given out
    only if a CHECKPOINT with a good signature lists its leaf: what the writer has not signed yet,
    or what somebody else put there, does not exist for a viewer. Safe for several threads, but
    `grow` must not run beside `select`.
    """

    def __init__(self, source: Source, dek: bytes, trust: Trust) -> None:
        """`Damaged` when the preamble is not signed by somebody trusted."""
        super().__init__(source, dek)
        self._trust = trust
        self._signer = str(self.preamble.header["signer"])
        text = preamble_text(self.preamble.hash)
        if not trust.signed(self._signer, text, self.preamble.signature):
            raise Damaged("preamble_signature_wrong")
        self._known: OrderedDict[int, list[bytes]] = OrderedDict()
        self._kept_lock = threading.Lock()
        self._checkpoints = super().numbers(Type.CHECKPOINT)

    @property
    def signed(self) -> int:
        """Number of records in front of the last CHECKPOINT."""
        return self._checkpoints[-1] if self._checkpoints else 0

    @property
    def signed_us(self) -> int:
        """Media time up to which the part is signed."""
        return self[self.signed].time_us if self._checkpoints else 0

    def grow(self) -> int:
        """Take up what was written since; the number of records signed now."""
        self._scan()
        self._checkpoints = super().numbers(Type.CHECKPOINT)
        return self.signed

    def numbers(self, type: Type, stream: int | None = None) -> list[int]:
        numbers = super().numbers(type, stream)
        return numbers[: bisect_left(numbers, self.signed)]

    def open(self, record: Record) -> bytes:
        place = bisect_right(self._checkpoints, record.sequence)
        if place == len(self._checkpoints):
            raise Damaged("not_signed_yet", record=record.sequence)
        after = self._checkpoints[place]
        before = self._checkpoints[place - 1] if place else 0
        leaves = self._leaves(after)
        raw = self._source.read(record.offset, RECORD_HEADER + record.length)
        leaf = self.preamble.suite.leaf(raw[:RECORD_HEADER], raw[RECORD_HEADER:])
        if len(leaves) != after - before or leaves[record.sequence - before] != leaf:
            raise Damaged("record_altered", record=record.sequence)
        return super().open(record)

    def _leaves(self, sequence: int) -> list[bytes]:
        """What the CHECKPOINT of this number lists, once its signature has been checked."""
        with self._kept_lock:
            if sequence in self._known:
                self._known.move_to_end(sequence)
                return self._known[sequence]
        record = self[sequence]
        raw = self._source.read(record.offset, RECORD_HEADER + record.length)
        checkpoint = Checkpoint.unpack(raw[RECORD_HEADER:])
        text = record_text(self._hash, raw[:RECORD_HEADER], checkpoint.signed)
        if not self._trust.signed(self._signer, text, checkpoint.signature):
            raise Damaged("signature_wrong", record=sequence)
        with self._kept_lock:
            self._known[sequence] = checkpoint.leaves
            while len(self._known) > KEPT_CHECKPOINTS:
                self._known.popitem(last=False)
        return checkpoint.leaves


def events(reader: PartReader) -> Iterator[Event]:
    """What happened, in the order it was written."""
    for record in reader.select(Type.EVENT):
        yield event(reader, record)


def event(reader: PartReader, record: Record) -> Event:
    """One EVENT record, opened; `Damaged` if it is not what was sealed, or no JSON object."""
    try:
        body = json.loads(reader.open(record))
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Damaged("record_malformed", "event", record.sequence)
    return Event(record.sequence, record.time_us, body)


def loudness(event: Event) -> Loudness | None:
    """The loudness that an event of the kind `levels` tells; None for any other event.

    `Damaged` for one that no recorder writes.
    """
    body = event.body
    if body.get("kind") != "levels":
        return None
    numbers = [body.get(name) for name in ("stream", "from_us", "step_ms")]
    values = body.get("values")
    whole = all(type(one) is int and one >= 0 for one in numbers) and isinstance(values, list)
    if not whole or not all(type(one) is int and 0 <= one <= 127 for one in values or ()):
        raise Damaged("record_malformed", "levels", event.sequence)
    return Loudness(body["stream"], body["from_us"], max(1, body["step_ms"]), body["values"])


def streams(reader: PartReader) -> list[StreamInfo]:
    """The streams that hold anything, by number."""
    first: dict[int, int] = {}
    inits: dict[int, int] = {}
    times_us, _, numbers, flags = reader.columns()
    for sequence in reader.numbers(Type.DATA):
        if flags[sequence] & _INIT:
            inits[numbers[sequence]] = sequence
        else:
            first.setdefault(numbers[sequence], times_us[sequence])
    found = []
    for number, sequence in sorted(inits.items()):
        if number in first:
            tracks = _tracks(reader, reader[sequence])
            label = matroska.find(tracks, b"\xae", b"\x53\x6e") or b""
            pictures = _has_pictures(tracks)
            found.append(StreamInfo(number, label.decode(), pictures, first[number]))
    return found


class WebmView:
    """One stream as a WebM file (Matroska with H264) that a browser plays and seeks by HTTP Range.

    The file is never made: its front (length, tracks, Cues) is computed, and of the rest only the
    fragments that are read are decrypted. Times in it begin at 0, which is `start_us` in the
    session. The part may be finished, cut by a crash, or still growing; the view is of what was
    there when it was opened, or of its first `until` records. Safe for several threads; reads
    block, so call them from one.
    """

    def __init__(self, reader: PartReader, stream: int, until: int | None = None) -> None:
        """`KeyError` if the part has no such stream, `Damaged` if its ends can't be opened."""
        self._reader = reader
        mine = reader.numbers(Type.DATA, stream)
        if until is not None:
            mine = mine[: bisect_left(mine, until)]
        columns = reader.columns()
        inits = [number for number in mine if columns.flags[number] & _INIT]
        self._clusters = [number for number in mine if not columns.flags[number] & _INIT]
        """Sequence numbers."""
        if not inits or not self._clusters:
            raise KeyError(stream)
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.start_us: int = columns.times_us[self._clusters[0]] // 1000 * 1000
        """Media time in the session of the file's time 0."""
        self.duration_us = self._last_us() - self.start_us
        tracks = _tracks(reader, reader[inits[-1]])
        self.pictures = _has_pictures(tracks)
        """Does the stream have pictures, or only sound?"""
        self._document = matroska.document(tracks)
        self.content_type = "audio/webm"
        if self.pictures:
            self.content_type = "video/webm" if self._document == b"webm" else "video/x-matroska"
        self._front, sizes = self._make_front(tracks, columns)
        self._starts = list(accumulate(sizes, initial=len(self._front)))
        """Offset of each cluster in the file, and the file's end."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`, fewer only at the end; `Damaged` if they aren't what was sealed."""
        end = min(offset + length, self.size)
        if offset < 0 or end <= offset:
            return b""
        pieces = [self._front[offset:end]]
        at = max(offset, len(self._front))
        while at < end:
            number = bisect_right(self._starts, at) - 1
            start = self._starts[number]
            piece = self._cluster(number)[at - start : end - start]
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def _make_front(self, tracks: bytes, columns: Columns) -> tuple[bytes, list[int]]:
        """Everything in front of the clusters, and their sizes."""
        sizes = [columns.lengths[number] - TAG for number in self._clusters]
        head = matroska.info(self.duration_us / 1000) + matroska.element(matroska.TRACKS, tracks)
        seekable = list(self._seekable(columns))
        # The Cues stand in front of the clusters whose places they tell, so their size comes first.
        place = len(head) + matroska.CUES_SIZE + matroska.CUE_SIZE * len(seekable)
        places = list(accumulate(sizes, initial=place))
        points = [
            ((columns.times_us[self._clusters[place]] - self.start_us) // 1000, places[place])
            for place in seekable
        ]
        track = matroska.VIDEO if self.pictures else matroska.AUDIO
        segment = matroska.SEGMENT + matroska.size8(places[-1])
        front = matroska.ebml_header(self._document) + segment + head
        return front + matroska.cues(points, track), sizes

    def _seekable(self, columns: Columns) -> Iterator[int]:
        """Clusters to which the Cues point: with a key frame, or one a second if there is none."""
        after_us = 0
        for place, number in enumerate(self._clusters):
            if self.pictures and columns.flags[number] & _KEYFRAME:
                yield place
            elif not self.pictures and columns.times_us[number] >= after_us:
                after_us = columns.times_us[number] + 1_000_000
                yield place

    def _cluster(self, number: int) -> bytes:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        cluster = self._moved(self._reader.open(self._reader[self._clusters[number]]))
        with self._lock:
            self._kept[number] = cluster
            while len(self._kept) > KEPT_FRAGMENTS:
                self._kept.popitem(last=False)
        return cluster

    def _moved(self, cluster: bytes) -> bytes:
        """The same cluster with its time counted from the start of the stream."""
        at = matroska.TIMESTAMP_AT
        if not cluster.startswith(matroska.CLUSTER) or len(cluster) < at + 8:
            raise Damaged("record_malformed", "not a cluster")
        (time_ms,) = struct.unpack_from(">Q", cluster, at)
        moved = max(0, time_ms - self.start_us // 1000)
        return cluster[:at] + struct.pack(">Q", moved) + cluster[at + 8 :]

    def _last_us(self) -> int:
        """Media time at which the last frame is over."""
        last = self._reader[self._clusters[-1]]
        end = last.time_us
        for block in matroska.blocks(self._reader.open(last)):
            kind: matroska.Kind = "video" if block.track == matroska.VIDEO else "audio"
            end = max(end, block.time_ms * 1000 + matroska.FRAME_US[kind])
        return end


def _tracks(reader: PartReader, init: Record) -> bytes:
    """Body of the Tracks element of an init segment."""
    tracks = matroska.find(reader.open(init), matroska.SEGMENT, matroska.TRACKS)
    if tracks is None:
        raise Damaged("record_malformed", "init segment without tracks", init.sequence)
    return tracks


def _has_pictures(tracks: bytes) -> bool:
    entries = [tracks[start:end] for _, start, end in matroska.elements(tracks)]
    return any(matroska.find(entry, b"\x83") == b"\x01" for entry in entries)
