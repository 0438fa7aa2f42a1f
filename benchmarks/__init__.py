"""One question a module; each prints one JSON line and answers 1 when a stated limit is broken."""
