"""The inference process: reads requests from its standard input, answers on its standard output.

One thread sees frames; a second one reads text, one frame at a time, so a face is never kept
waiting by a card. The process ends with its input.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import select
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from kyc import wire
from kyc.check import BadInput, Check, Error

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Command line of ``python -m kyc.worker``."""
    options = _parser().parse_args(arguments)
    source, sink = private_streams()
    if options.report_memory:
        sink.write(json.dumps(_report_memory(options.models, options.threads)).encode() + b"\n")
        sink.flush()
        return 0
    loaded = threading.Event()
    threading.Thread(target=end_with, args=(source, loaded), daemon=True).start()
    try:
        engine = Engine(options.models, options.threads)
    except Error as error:
        log.error("x %s", error.diagnostics())
        return 1
    loaded.set()
    wire.serve(source, sink, engine.handle)
    sys.stderr.flush()
    os._exit(0)  # a reading under way would hold the process for another second


class Engine:
    """The loaded models and the checks open in this process."""

    def __init__(self, directory: Path, threads: int) -> None:
        from kyc.instruments import Instruments

        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._instruments = Instruments.load(directory, threads=threads, reading=self._reading)
        self._instruments.warm_up()
        self._checks: dict[int, Check] = {}
        self._opened = 0

    def handle(self, request: wire.Body) -> wire.Body:
        """The reply to one request."""
        match request.get("verb"):
            case "hello":
                return {}
            case "models":
                return {"models": self._instruments.prepared.sha256()}
            case "memory":
                return {"memory": memory()}
            case "open":
                check = self._instruments.open(request["name"], request["params"])
                self._opened += 1
                self._checks[self._opened] = check
                return {"check": self._opened}
            case "see":
                return wire.encode_answer(self._check(request).see(_frame(request)))
            case "expire":
                answer = self._check(request).expire(int(request["media_time_us"]))
                return wire.encode_answer(answer)
            case "close":
                self._checks.pop(request["check"], None)
                return {}
        raise BadInput("unknown_verb")

    def _check(self, request: wire.Body) -> Check:
        check = self._checks.get(request["check"])
        if check is None:
            raise BadInput("unknown_check")
        return check


def memory() -> dict[str, int]:
    """Resident memory of this process, bytes: now and at most so far."""
    # Not getrusage: its maximum begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text("ascii")
    kilobytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {"now": int(kilobytes["VmRSS"]) * 1024, "peak": int(kilobytes["VmHWM"]) * 1024}


def _frame(request: wire.Body) -> Any:
    from kyc.image import Frame

    time_us = int(request["media_time_us"])
    return Frame.of(request["width"], request["height"], request["bgr"], time_us)


def end_with(source: BinaryIO, loaded: threading.Event) -> None:
    """End the process when its input ends while it still loads, which can take a minute."""
    hangup = select.poll()
    hangup.register(source, 0)
    hangup.poll()
    if not loaded.is_set():
        os._exit(0)


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipe for ourselves: what libraries print goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)
    return sys.stdin.buffer, sink


def _report_memory(directory: Path, threads: int) -> dict[str, float]:
    """Resident megabytes after loading, and after every kind of check has worked."""
    from kyc.instruments import AtOnce, Instruments

    instruments = Instruments.load(directory, threads=threads, reading=AtOnce())
    loaded = memory()["now"]
    instruments.warm_up()
    after = memory()
    return {
        "loaded_mb": round(loaded / 1e6, 1),
        "after_work_mb": round(after["now"] / 1e6, 1),
        "peak_mb": round(after["peak"] / 1e6, 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kyc.worker", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--report-memory", action="store_true", help="load, work through each model, print MB"
    )
    return parser
