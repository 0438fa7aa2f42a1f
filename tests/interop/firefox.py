"""Real Firefox, driven over the WebDriver BiDi socket that it opens by itself.

https://www.w3.org/TR/webdriver-bidi/: JSON commands and answers over one WebSocket, events between.
"""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

Json = dict[str, Any]
T = TypeVar("T")
START_S = 60
ANSWER_S = 30
STOP_S = 5
LOOK_S = 0.2
"Between two looks at a page."
PREFERENCES: Json = {
    # A camera and a microphone of its own, allowed without a question.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.navigator.video.default_width": 1280,  # it takes no wishes
    "media.navigator.video.default_height": 720,
    "media.navigator.video.default_fps": 25,
    # Server and browser meet on this machine, with addresses that need no mDNS.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "intl.accept_languages": "en-US, en",
    "ui.useOverlayScrollbars": 1,  # as on a phone
    # Silence on the line: it talks to the bank and to nobody else.
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
WATCH = """() => {
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    console.error("refused by the page's policy:", violatedDirective, blockedURI))
  window.connections = []
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given)
      window.connections.push(this)
    }
  }
}"""
"""Before a page's own scripts: its policy's refusals become console errors, its connections known.

A page module cannot be asked for the connection it keeps to itself.
"""
STATS = """async () => {
  const connection = window.connections.findLast((one) => one.connectionState === "connected")
  return JSON.stringify([...((await connection?.getStats())?.values() ?? [])])
}"""


class Firefox:
    """One browser with a profile in ``profile``, which is also its home; use as a context.

    It listens on a free port; ``page`` is its only tab.  Everything it starts ends with it.
    """

    def __init__(self, path: str, profile: Path) -> None:
        self._path = path
        self._profile = profile
        self._asked = 0
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            address = await self._start()
            http = await self._closing.enter_async_context(aiohttp.ClientSession())
            self._socket = await self._closing.enter_async_context(
                http.ws_connect(f"{address}/session", max_msg_size=0)
            )
            listening = asyncio.create_task(self._listen())
            self._closing.callback(listening.cancel)
            await self._open_page()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def _start(self) -> str:
        """Start the program; the address of its socket."""
        self._profile.mkdir(parents=True, exist_ok=True)
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in PREFERENCES.items()
        ]
        (self._profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [self._path, "--headless", "--no-remote", "--profile", str(self._profile),
                   "--remote-debugging-port", "0"]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | {"HOME": str(self._profile)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a group of its own: its helpers end with it
        )
        self._closing.push_async_callback(self._stop, process)
        assert process.stderr
        said = ""
        async with asyncio.timeout(START_S):
            while line := (await process.stderr.readline()).decode(errors="replace"):
                said += line
                if "BiDi listening on " in line:
                    draining = asyncio.create_task(_drain(process.stderr))
                    self._closing.callback(draining.cancel)
                    return line.rpartition(" ")[2].strip()
        raise AssertionError(f"Firefox ended\n{said}")

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        # Its orderly end takes half a minute of tidying a profile nobody wants.
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)

    async def _open_page(self) -> None:
        await self.ask("session.new", capabilities={})
        await self.ask("session.subscribe", events=["log.entryAdded"])
        await self.ask("script.addPreloadScript", functionDeclaration=WATCH)
        contexts = (await self.ask("browsingContext.getTree"))["contexts"]
        self.page = Page(self, contexts[0]["context"])

    async def ask(self, method: str, **params: Any) -> Json:
        """The result of one command; AssertionError when Firefox refuses it."""
        self._asked += 1
        number = self._asked
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        reply = await asyncio.wait_for(answer, ANSWER_S)
        assert reply["type"] == "success", f"{method}: {reply.get('error')} {reply.get('message')}"
        return dict(reply["result"])

    async def _listen(self) -> None:
        async for raw in self._socket:
            message = raw.json()
            if message.get("method") == "log.entryAdded":
                self.page.note(message["params"])
            elif waiting := self._answers.pop(message.get("id"), None):
                if not waiting.done():
                    waiting.set_result(message)
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("Firefox closed its socket"))


class Page:
    """The tab: what a person there sees by role and name, and does with pointer and keys."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context
        self.problems: list[str] = []
        "Exceptions in the page and errors on its console."

    def note(self, entry: Json) -> None:
        """Take in an entry of the page's log."""
        if entry["level"] == "error":
            frames = (entry.get("stackTrace") or {}).get("callFrames") or [{}]
            where = f"{frames[0].get('url', '')}:{frames[0].get('lineNumber', '')}"
            self.problems.append(f"{entry['text']} ({where})")

    async def ask(self, method: str, **params: Any) -> Json:
        return await self._firefox.ask(method, context=self._context, **params)

    async def resize(self, width: int, height: int) -> None:
        """Lay the page out for a window of this size, in CSS pixels."""
        await self.ask(
            "browsingContext.setViewport", viewport={"width": width, "height": height},
            devicePixelRatio=1,
        )  # fmt: skip

    async def goto(self, url: str) -> None:
        await self.ask("browsingContext.navigate", url=url, wait="complete")

    async def run(self, function: str, *given: Json) -> Any:
        """What a JavaScript ``function`` returns; an object as its BiDi form."""
        answer = await self._firefox.ask(
            "script.callFunction", functionDeclaration=function, arguments=list(given),
            target={"context": self._context}, awaitPromise=True, userActivation=False,
        )  # fmt: skip
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        result = answer["result"]
        return result.get("value") if result["type"] in _PLAIN else result

    async def stats(self) -> list[Json]:
        """The statistics of the connected call, [] when there is none."""
        entries: list[Json] = json.loads(await self.run(STATS))
        return entries

    async def find(self, role: str, name: str, within: Json | None = None) -> Json:
        """Wait for the element with this role and accessible name."""
        value = {"role": role, "name": name}
        return await self._await_node({"type": "accessibility", "value": value}, within)

    async def select(self, css: str, within: Json | None = None) -> Json:
        """Wait for an element that names and roles do not tell apart."""
        return await self._await_node({"type": "css", "value": css}, within)

    async def _await_node(self, locator: Json, within: Json | None) -> Json:
        start = {"startNodes": [within]} if within else {}

        async def nodes() -> list[Json]:
            found = await self.ask("browsingContext.locateNodes", locator=locator, **start)
            return [{"sharedId": node["sharedId"]} for node in found["nodes"]]

        return (await eventually(nodes, 20, str(locator["value"])))[0]

    async def text(self, node: Json) -> str:
        """The words somebody sees there."""
        return str(await self.run("(node) => node.innerText", node))

    async def click(self, node: Json) -> None:
        """Bring it into view and click its middle."""
        await self.run("(node) => node.scrollIntoView({ block: 'center' })", node)
        origin = {"type": "element", "element": node}
        await self._act(
            "pointer",
            [
                {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerUp", "button": 0},
            ],
        )

    async def press(self, name: str, within: Json | None = None) -> None:
        """Click the button of this name."""
        await self.click(await self.find("button", name, within))

    async def fill(self, name: str, words: str) -> None:
        """Click the field of this name and type."""
        await self.click(await self.find("textbox", name))
        strokes = [{"type": way, "value": key} for key in words for way in ("keyDown", "keyUp")]
        await self._act("key", strokes)

    async def _act(self, device: str, actions: list[Json]) -> None:
        source = {"type": device, "id": device, "actions": actions}
        await self.ask("input.performActions", actions=[source])

    async def screenshot(self, path: Path) -> None:
        """What is in the window, as PNG."""
        taken = await self.ask("browsingContext.captureScreenshot")
        path.write_bytes(base64.b64decode(taken["data"]))


_PLAIN = ("string", "number", "boolean", "null", "undefined")


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.readline():
        pass


async def eventually(question: Callable[[], Awaitable[T]], seconds: float, what: str) -> T:
    """Ask until the answer is true, and give it; fail with ``what`` when it never is."""
    deadline = time.monotonic() + seconds
    while not (answer := await question()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(LOOK_S)
    return answer
