"""The medium fails at the k-th call: never a file that verifies wrongly, never in silence.

`RECORDING_FAULTS=200` tries k = 1 … 200 with every fault (as on docs/reports/reliability.md);
without it a few k, always the same.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recordings import LocalStore, RecoveryRefused, Status, recover, verify_part
from tests.recordings.fault_child import NAME
from tests.recordings.parts import DEK, SIGNER

ROOT = Path(__file__).resolve().parents[2]
FULL = int(os.environ.get("RECORDING_FAULTS", "0"))
SEED = 20_261_122
TRUST = SIGNER.trust()


LOST = "short, the bytes lost"
"The medium says that it wrote seven bytes, and did not."
FULL_FOR_GOOD = "short, then nothing more"
"A write that goes half through, and from then on every one is refused: no reserve helps."
FAULTS = {
    "EIO": "write:error=EIO",
    "ENOSPC": "write:error=ENOSPC",
    LOST: "write:retval=7",
    FULL_FOR_GOOD: "",
    "EIO of fdatasync": "fdatasync:error=EIO",
}
"""What `strace` injects. It counts the calls of each thread: a fault may strike a second time when
another thread writes FINAL."""
SIZE = 340_000
"Bytes of a part that nothing befalls, about."


def numbers(fault: str) -> list[int]:
    """Which calls are hit."""
    last = 12 if "fdatasync" in fault else FULL or 200
    if FULL:
        return list(range(1, last + 1))
    chance = random.Random(f"{SEED} {fault}")
    return [chance.randrange(2, last + 1)]


def run(directory: Path, fault: str, number: int) -> dict[str, Any]:
    """What the application was told."""
    command = [sys.executable, "-m", "tests.recordings.fault_child", str(directory)]
    if fault == FULL_FOR_GOOD:
        # The reserve of a megabyte is made before there is a limit: see the child.
        command.append(str(SIZE * number // (FULL or 200)))
    else:
        traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(directory / NAME)]
        traced += ["-e", "trace=write,fdatasync"]
        command = [*traced, "-e", f"inject={FAULTS[fault]}:when={number}", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: apt-get install strace")
    probe = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("strace may not trace here")


@pytest.mark.timeout(3600 if FULL else 120)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_medium_fails(
    fault: str, strace: None, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    found: Counter[str] = Counter()
    for number in numbers(fault):
        directory = tmp_path / str(number)
        directory.mkdir()
        told = run(directory, fault, number)
        found[examined(fault, told, LocalStore(directory), f"{fault} at {number}")] += 1
        shutil.rmtree(directory)
    figures = ", ".join(f"{verdict}: {count}" for verdict, count in sorted(found.items()))
    record_property("figures", figures)
    print(f"{fault}: {figures}")


def examined(fault: str, told: dict[str, Any], store: LocalStore, where: str) -> str:
    """The verdict, which must go with what the application was told."""
    if not told["opened"]:
        assert told["alarms"] in ([errno.EIO], [errno.ENOSPC], [errno.EFBIG]), where
        if NAME in store.names():
            assert verify_part(store, NAME, TRUST).status is not Status.OK, where
        return "refused at the start"
    verdict = verify_part(store, NAME, TRUST, dek=DEK)
    if not told["alarms"]:
        # The part had fewer calls than that: nothing was hit.
        assert (verdict.status, verdict.reason) == (Status.OK, "finished"), where
        assert told["complete"] and told["failure"] is None
        return "not reached"
    assert len(told["alarms"]) == 1 and told["failure"], where
    if fault == LOST and verdict.status is Status.TAMPERED:
        # What the medium swallowed is missing from what was signed after it.
        with pytest.raises(RecoveryRefused):
            recover(store, NAME, SIGNER, TRUST, cause="fault", by="test", dek=DEK)
        return "tampered"
    if told["complete"] and verdict.reason == "finished":
        # Everything was on the medium; the last sync was for FINAL alone, which is there.
        assert verdict.ok and fault == "EIO of fdatasync", (where, verdict)
        return "FINAL not known to be on the medium"
    if told["complete"]:
        assert (verdict.status, verdict.reason) == (Status.OK, "writing_failed"), (where, verdict)
        assert fault not in (LOST, FULL_FOR_GOOD)
        return "ended with FINAL"
    assert verdict.status is Status.INCOMPLETE, (where, verdict)
    assert recover(store, NAME, SIGNER, TRUST, cause="fault", by="test", dek=DEK), where
    closed = verify_part(store, NAME, TRUST, dek=DEK)
    assert closed.status is Status.RECOVERED, (where, closed)
    return "closed by recovery"
