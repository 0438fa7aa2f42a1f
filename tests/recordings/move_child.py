"""Moves everything in a spool to a bucket until nothing is left, or it is killed.

Arguments: the spool, endpoint, file of credentials, bucket, prefix, bytes of a piece.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recordings import bucket, s3
from recordings.store import LocalStore, Lock


def main(spool: str, endpoint: str, credentials: str, name: str, prefix: str, piece: str) -> None:
    for module in (bucket, s3):
        module.PIECE = int(piece)  # type: ignore[attr-defined]
    target = bucket.Bucket(
        name,
        endpoint=endpoint,
        region="eu-central-1",
        prefix=prefix,
        credentials=Path(credentials),
    )
    store = s3.S3Store(LocalStore(Path(spool)), target)
    print("moving", flush=True)
    for part in store.waiting():
        store.move(part, Lock())


if __name__ == "__main__":
    main(*sys.argv[1:])
