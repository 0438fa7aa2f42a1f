"""The database: SQLite beside the data by default, PostgreSQL by one setting.

Both behave alike: many readers, each seeing one consistent moment and unable to write, and one
writer at a time.  So a rule ("nobody has taken this customer yet") is checked and carried out in
one :meth:`Database.write` block without another writer in between, whichever engine is used.
"""

from video_bank.storage.database import Database, Reader, Tx
from video_bank.storage.ids import new_id, new_token, now_us

__all__ = ["Database", "Reader", "Tx", "new_id", "new_token", "now_us"]
