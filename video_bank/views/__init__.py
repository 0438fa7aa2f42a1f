"""HTTP: one file a feature; a handler parses, calls one verb, replies."""
