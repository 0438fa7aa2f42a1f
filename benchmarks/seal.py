"""How fast is a recording sealed, verified and read back?  One core, one file, MB a second."""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recordings import FileSigner, LocalStore, PartReader, new_dek, new_part_id, verify_part
from recordings.container import PartWriter, Type

FRAGMENT = bytes(range(256)) * 64 * 4
"""64 KiB: what half a second of 1 Mb/s video comes to."""
FRAGMENTS = 4000
CHECKPOINT_EVERY = 50


def megabytes_a_second(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return FRAGMENTS * len(FRAGMENT) / 1e6 / (time.perf_counter() - began)


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        store, signer = LocalStore(Path(directory)), FileSigner.load_or_create(Path(directory))
        dek = new_dek()
        header = {
            "part_id": new_part_id(),
            "session": "benchmark",
            "part": 1,
            "previous": None,
            "key_id": "benchmark",
        }

        def seal() -> None:
            writer = PartWriter(store.create("part.vbr"), header=header, dek=dek, signer=signer)
            for number in range(FRAGMENTS):
                writer.data(1, number * 500_000, FRAGMENT)
                if number % CHECKPOINT_EVERY == 0:
                    writer.checkpoint()
            writer.finish()

        def verify() -> None:
            verdict = verify_part(store, "part.vbr", signer.trust())
            assert verdict.ok, verdict

        def read_back() -> None:
            with contextlib.closing(store.open("part.vbr")) as source:
                reader = PartReader(source, dek)
                for record in reader:
                    if record.type == Type.DATA:
                        reader.open(record)

        figures = {
            "benchmark": "seal",
            "seal_mb_s": round(megabytes_a_second(seal)),
            "verify_mb_s": round(megabytes_a_second(verify)),
            "read_mb_s": round(megabytes_a_second(read_back)),
        }
    print(json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
