"""The server under measurement: rooms and recorders wired as the product wires them, no bank.

``python -m benchmarks.server`` is started by the other benchmarks.  It prints one JSON line with
its port and serves until its standard input ends:

    GET  /ws?room=…&id=…   signalling, as the product's pages use it
    GET  /figures          tasks, sessions, frames lost by recorders, their threads
    POST /end?room=…       closes a session; answers with its recording and the key to it
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from benchmarks.process import settle_on
from kyc.check import Finding
from kyc.worker import Inference
from recordings import FileSigner, LocalStore, Recorder, new_dek, new_part_id
from signaling import peer
from signaling.beat import Beat
from signaling.port import Port
from signaling.room import EncodedFrame, Room
from signaling.sample import sample
from signaling.socket import Caller, Connection, Entry, Refused, serve
from video_bank import collector
from video_bank.tape import Tape

KEY_FRAME_S = 2.0
"As in the product: so often a recorded participant is asked for a key frame."
CHECKED_S = 6.0
"So long one check looks before the next has its turn."
CARD = (1280, 720)


@dataclass
class Session:
    """A room, and its recording if there is one."""

    room: Room
    recorder: Recorder | None
    dek: bytes
    tape: Tape | None = None
    people: set[str] = field(default_factory=set)

    def record(self, frame: EncodedFrame) -> None:
        """Hand a frame to the recording."""
        assert self.tape is not None
        self.tape.take(frame.participant, frame)

    def welcome(self, participant: str) -> None:
        """Record whoever comes."""
        if self.tape is not None and participant not in self.people:
            self.people.add(participant)
            self.tape.begin(participant, participant)
            self.room.subscribe(participant, self.record)


class Server:
    """Every session; the gate of the WebSockets."""

    def __init__(self, address: str, directory: Path | None) -> None:
        """Without a `directory` nothing is recorded."""
        self._port, self._beat = Port(address), Beat()
        self._store = LocalStore(directory) if directory else None
        self._signer = FileSigner.load_or_create(directory / "keys") if directory else None
        self._sessions: dict[str, Session] = {}
        self._opening = asyncio.Lock()
        self._opened = asyncio.Event()
        self._looked = 0
        self._failures: list[str] = []
        self.ended = asyncio.Event()

    def app(self) -> web.Application:
        """The routes of the module's text."""
        app = web.Application()
        app.router.add_get("/ws", self._ws)
        app.router.add_get("/figures", self._figures)
        app.router.add_post("/end", self._end)
        return app

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await serve(request, self)

    async def admit(self, request: web.Request) -> Caller:
        """Anybody."""
        name = request.query.get("id", "")
        if not name:
            raise Refused("not_signed_in", 401)
        return Caller(name, name, name)

    async def connected(self, connection: Connection) -> None:
        """Nothing to prepare."""

    async def disconnected(self, connection: Connection) -> None:
        """Nothing to clear."""

    async def enter(self, caller: Caller, room: str) -> Entry:
        """The room of that name; the first to come opens it, and its recording before it."""
        async with self._opening:
            session = self._sessions.get(room)
            if session is None:
                session = self._sessions[room] = await self._open(room)
                self._opened.set()
        session.welcome(caller.id)
        return Entry(session.room, caller.id, caller.role, caller.name)

    async def _open(self, name: str) -> Session:
        dek = new_dek()
        recorder = None
        if self._store is not None and self._signer is not None:
            header = {
                "part_id": new_part_id(), "session": name, "part": 1, "previous": None,
                "key_id": "benchmark",
            }  # fmt: skip
            recorder = await Recorder.open(
                self._store, f"{name}.vbr", header=header, dek=dek, signer=self._signer,
                on_failure=lambda error: self._failures.append(str(error)),
            )  # fmt: skip
        room = Room(name, ports=(self._port,), beat=self._beat)
        return Session(room, recorder, dek, Tape(recorder) if recorder else None)

    async def ask_for_key_frames(self) -> None:
        """As the product does while it records; runs until cancelled."""
        while True:
            await asyncio.sleep(KEY_FRAME_S)
            for session in list(self._sessions.values()):
                for participant in session.people:
                    session.room.request_keyframe(participant)

    async def keep_checking(self, inference: Inference, card: bytes) -> None:
        """As the product does during checks, over and over: a card is read, a face challenged.

        Pictures are decoded from the call; where a card is asked for, `card` takes their place.
        """
        await self._opened.wait()
        session = next(iter(self._sessions.values()))
        while True:
            for name, fps in (("id_card_front", 4.0), ("liveness", 10.0)):
                asked = {"prompts": ["left", "blink", "right"]} if name == "liveness" else {}
                async with inference.open(name, **asked) as live:
                    until = time.monotonic() + CHECKED_S
                    pictures = sample(session.room, "customer", fps=fps)
                    async with contextlib.aclosing(pictures):
                        async for picture in pictures:
                            width, height = (picture.width, picture.height) if asked else CARD
                            answer = await live.see(
                                width=width, height=height, bgr=picture.bgr if asked else card,
                                media_time_us=picture.time_us,
                            )  # fmt: skip
                            self._looked += 1
                            if isinstance(answer, Finding) or time.monotonic() > until:
                                break

    async def _figures(self, request: web.Request) -> web.StreamResponse:
        if "collect" in request.query:
            collector.give_back()
        recorders = [
            thread.native_id for thread in threading.enumerate() if "recorder" in thread.name
        ]
        return web.json_response(
            {
                "sessions": len(self._sessions),
                "tasks": len(asyncio.all_tasks()),
                "failures": self._failures,
                "looked": self._looked,
                "recorder_threads": recorders,
                "at": time.monotonic(),
            }
        )

    async def _end(self, request: web.Request) -> web.StreamResponse:
        session = self._sessions.pop(request.query["room"])
        self.ended.set()
        await session.room.close()
        if session.recorder is None:
            return web.json_response({})
        sealed = await session.recorder.finish()
        return web.json_response({"part": sealed.name, "dek": session.dek.hex()})

    async def close(self) -> None:
        """Close what is left."""
        for session in list(self._sessions.values()):
            await session.room.close()
            if session.recorder is not None:
                await session.recorder.finish()
        await peer.close_all()


async def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    server = Server(options.address, options.record)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, options.address, 0)
    await site.start()
    port = runner.addresses[0][1]
    asking: asyncio.Future[Any] = asyncio.gather(
        server.ask_for_key_frames(), collector.sweep(server.ended)
    )
    inference = Inference(models_dir=options.checks) if options.checks else None
    if inference is not None:
        await inference.start()
        card = await asyncio.to_thread(options.card.read_bytes)
        asking = asyncio.gather(asking, server.keep_checking(inference, card))
    collector.settle()
    print(json.dumps({"port": port}), flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    reader = threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True
    )
    reader.start()
    await ended.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    if inference is not None:
        await inference.close()
    await server.close()
    await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--record", type=Path, help="directory of the recordings")
    parser.add_argument("--checks", type=Path, help="check the customer with these models")
    parser.add_argument("--card", type=Path, help="a picture for them: 1280 x 720, BGR, bytes")
    parser.add_argument("--core", type=int, help="stay on this core")
    parser.add_argument("--realtime", action="store_true", help="before others on that core")
    options = parser.parse_args()
    if options.core is not None:
        settle_on(options.core, realtime=options.realtime)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
