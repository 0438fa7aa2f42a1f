"""``python -m video_bank.storage.migrations "what changed"``: drafts the next schema step."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from video_bank.storage.migrations import settings, upgrade

if len(sys.argv) != 2:
    sys.exit(__doc__)
with tempfile.TemporaryDirectory() as directory:
    engine = create_engine(f"sqlite:///{directory}/draft.sqlite3")
    with engine.begin() as connection:
        upgrade(connection)
        steps = len(list((Path(__file__).parent / "versions").glob("v*.py")))
        command.revision(
            settings(connection), sys.argv[1], autogenerate=True, rev_id=f"v{steps + 1:04}"
        )
