"""How a text message gets to a phone."""

import asyncio
import json
import logging
from typing import ClassVar, Protocol

from video_bank.config import Config
from video_bank.errors import UserError

logger = logging.getLogger(__name__)

TIMEOUT_S = 15


class Delivery(Protocol):
    """An adapter to whoever sends text messages."""

    on_screen: ClassVar[bool]
    """Whether the text is shown to the asking browser instead: never outside a demo."""

    async def send(self, phone: str, text: str) -> None:
        """Send it, or raise ``delivery_failed``."""
        ...


class DemoDelivery:
    """Sends nothing; the page shows the code, marked as a demo."""

    on_screen: ClassVar[bool] = True

    async def send(self, phone: str, text: str) -> None:
        """Do nothing."""


class CommandDelivery:
    """Hands each message to a program of the bank's: JSON on its input, exit code 0 for sent."""

    on_screen: ClassVar[bool] = False

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command

    async def send(self, phone: str, text: str) -> None:
        """Run the program; phone and text are on its input only, where no process list shows."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                try:
                    await process.communicate(json.dumps({"phone": phone, "text": text}).encode())
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
        except (OSError, TimeoutError) as error:
            logger.error("delivery_command: %s", type(error).__name__)
            raise UserError("delivery_failed", 503) from error
        if process.returncode:
            logger.error("delivery_command: exit code %d", process.returncode)
            raise UserError("delivery_failed", 503)


def delivery_of(config: Config) -> Delivery | None:
    """The adapter that is set up; None when codes cannot be sent."""
    if config.delivery_command:
        return CommandDelivery(config.delivery_command)
    return DemoDelivery() if config.demo else None
