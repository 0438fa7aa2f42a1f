"""Schema versions: an append-only list of steps under ``versions/``, run at start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from video_bank.errors import OperatorError


def upgrade(connection: Connection) -> None:
    """Run the missing steps inside the connection's transaction."""
    config = settings(connection)
    _refuse_newer(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def settings(connection: Connection) -> Config:
    """Alembic's settings, for work on this connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("file_template", "%%(rev)s")
    return config


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    try:
        scripts.get_revision(current or "base")
    except CommandError as error:
        raise OperatorError(
            f"the database has schema version {current}, which this version does not know;"
            " run the version that made it, or a newer one"
        ) from error
