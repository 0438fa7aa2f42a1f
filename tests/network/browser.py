"""Real Chromium in a namespace."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, Playwright

from tests.interop.people import SWITCHES

CAMERA = "--use-fake-device-for-media-stream=fps=10"
"A test pattern; what is asked here is whether pictures come, not how smoothly."
CERTIFICATES = "--ignore-certificate-errors"
"The bank's certificate is a test's own."


@dataclass
class Machine:
    """Somebody's browser, with its process."""

    browser: Browser
    pid: int

    def page(self, url: str, size: tuple[int, int] = (1280, 800)) -> Page:
        """A page of its own, with nothing remembered of others."""
        context = self.browser.new_context(
            base_url=url, locale="en-US", viewport={"width": size[0], "height": size[1]}
        )
        return context.new_page()

    def kill(self) -> None:
        """End it as a crash would, all its processes at once."""
        os.killpg(self.pid, signal.SIGKILL)


@contextmanager
def machine(
    playwright: Playwright, chromium: str, place: str, directory: Path
) -> Iterator[Machine]:
    """Chromium in the namespace ``place``."""
    note, start = directory / f"{place}.pid", directory / f"{place}.sh"
    start.write_text(f'#!/bin/sh\necho $$ >"{note}"\nexec ip netns exec {place} {chromium} "$@"\n')
    start.chmod(0o755)
    browser = playwright.chromium.launch(
        executable_path=start, headless=True, args=[*SWITCHES, CAMERA, CERTIFICATES]
    )
    try:
        yield Machine(browser, int(note.read_text()))
    finally:
        try:
            browser.close()
        except Error:
            pass  # killed in the test
