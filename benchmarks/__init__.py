"""One question a module; each prints one JSON line and answers 1 when a stated limit is broken.

    memory      what do the two processes keep?
    recordings  how fast are they sealed, verified, opened; what does a running one cost?
    media       what does a forwarded call cost, recorded or not, beside another server's?
    setup       how long from accepting to the first picture?
    viewers     what does each further viewer of a call cost?
    impaired    how does a call, and its recording, stand a bad line?
    leak        what do calls leave behind?

``python -m benchmarks`` runs all with small numbers; each alone takes its options (``--help``).
The other modules are their parts: `clip` (prepared media), `client` (a browser without codecs),
`robot` (one with an encoder), `load`, `relay`, `watch`, `server` and `ours` (the server under
measurement), `janus` (the other one), `process` (the kernel's account).
"""
