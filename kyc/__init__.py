"""Identity checks on a call's own video: documents, faces, liveness.

Importing this package, :mod:`kyc.check` or :mod:`kyc.worker` loads no model and no numeric
library; the models live in the inference process (``python -m kyc.worker``).
"""
