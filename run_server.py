"""Start the video bank: ``python run_server.py [--demo] [--host H] [--port N] [--data DIR]``."""

import sys

from video_bank.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
