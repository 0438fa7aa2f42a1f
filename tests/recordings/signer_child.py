"""A signer outside, as a process: `signer_child.py SOCKET SECRET_HEX` prints `ready`, then signs.

Pure Python and for tests alone. It misbehaves for texts that say so: `hang`, `refuse`, `wrong`.
"""

import socketserver
import struct
import sys
import time

from tests.recordings.sm2 import FixedSigner

SIGNER = FixedSigner(bytes.fromhex(sys.argv[2]))


class Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        magic, length = struct.unpack(">4sI", self.rfile.read(8))
        text = self.rfile.read(length)
        if magic != b"VBS1" or text == b"refuse":
            return
        if text == b"hang":
            time.sleep(60)
        self.wfile.write(SIGNER.sign(b"other" if text == b"wrong" else text))


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with Server(sys.argv[1], Line) as server:
        print("ready", flush=True)
        server.serve_forever()
