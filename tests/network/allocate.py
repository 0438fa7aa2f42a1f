"""Ask a TURN server for allocations: ``HOST PORT`` and then each time ``PEER NAME PASSWORD``.

Prints a line each: ``allocated``, and whether it leads to PEER (``yes`` or the error code); or the
error code.  A program, to be run in a namespace.
"""

import asyncio
import sys
from typing import Any

from aioice import stun, turn


async def allocate(server: tuple[str, int], peer: str, name: str, password: str) -> str:
    """What became of it."""
    loop = asyncio.get_running_loop()
    made: Any = None

    def client() -> Any:
        nonlocal made
        made = turn.TurnClientUdpProtocol(server, name, password, 600, 500)
        return made

    await loop.create_datagram_endpoint(client, remote_addr=server)
    try:
        await made.connect()
        try:
            await made.channel_bind(0x4000, (peer, 9))
        except stun.TransactionFailed as failure:
            return f"allocated {failure.response.error_code}"
        return "allocated yes"
    except stun.TransactionFailed as failure:
        return str(failure.response.error_code)
    finally:
        await made.delete()


async def main(host: str, port: str, *wishes: str) -> None:
    """One allocation for each wish."""
    for peer, name, password in zip(wishes[::3], wishes[1::3], wishes[2::3], strict=True):
        print(await allocate((host, int(port)), peer, name, password))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
