"""Live sessions between browsers: WebSocket signalling and forwarded (never transcoded) media.

Usable alone. Knows nothing of banking: what it needs from its surroundings is stated as the
`Gate` protocol in `signaling.socket`. The wire is described in PROTOCOL.md.
"""
