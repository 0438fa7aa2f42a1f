"""A robot customer and a robot teller that run one whole session against a running server.

They are strangers to the server: they use the public HTTP and WebSocket interface only, with
aiortc as their browser.  ``python -m video_bank.probe --help``.
"""
