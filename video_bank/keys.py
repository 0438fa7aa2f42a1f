"""Typed keys of what the application holds; ``app.py`` fills them, views read them."""

from typing import TYPE_CHECKING

from aiohttp import web

from video_bank.accounts import Accounts
from video_bank.approvals import Approvals
from video_bank.archive import Archive
from video_bank.blobs import Blobs
from video_bank.bus import Bus
from video_bank.businesses import Businesses, Consents
from video_bank.calls import Calls
from video_bank.checks import Checks
from video_bank.config import Config
from video_bank.connection_test import ConnectionTest
from video_bank.conversation import Conversation
from video_bank.customers import Customers
from video_bank.erasure import Erasure
from video_bank.evidence import Timeline
from video_bank.exports import Exports
from video_bank.faces import Faces
from video_bank.findings import Findings
from video_bank.gate import Gate
from video_bank.holds import Holds
from video_bank.ledger import Ledger
from video_bank.line import Line
from video_bank.notary import Notary
from video_bank.pages import Pages
from video_bank.people import People
from video_bank.quality import Quality
from video_bank.retention import Retention
from video_bank.reviews import Reviews
from video_bank.running import Running
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions
from video_bank.storage import Database
from video_bank.supervision import Supervision

if TYPE_CHECKING:
    from video_bank.spool import Spool

CONFIG = web.AppKey("config", Config)
SECRETS = web.AppKey("secrets", Secrets)
BUS = web.AppKey("bus", Bus)
DATABASE = web.AppKey("database", Database)
BLOBS = web.AppKey("blobs", Blobs)
TIMELINE = web.AppKey("timeline", Timeline)
ACCOUNTS = web.AppKey("accounts", Accounts)
CUSTOMERS = web.AppKey("customers", Customers)
PAGES = web.AppKey("pages", Pages)
BUSINESSES = web.AppKey("businesses", Businesses)
CONSENTS = web.AppKey("consents", Consents)
SESSIONS = web.AppKey("sessions", Sessions)
CONVERSATION = web.AppKey("conversation", Conversation)
LEDGER = web.AppKey("ledger", Ledger)
LINE = web.AppKey("line", Line)
ARCHIVE = web.AppKey("archive", Archive)
SPOOL: "web.AppKey[Spool]" = web.AppKey("spool")
"""There only when recordings go to a bucket."""
CALLS = web.AppKey("calls", Calls)
CONNECTION_TEST = web.AppKey("connection_test", ConnectionTest)
ERASURE = web.AppKey("erasure", Erasure)
FACES = web.AppKey("faces", Faces)
FINDINGS = web.AppKey("findings", Findings)
CHECKS = web.AppKey("checks", Checks)
PEOPLE = web.AppKey("people", People)
QUALITY = web.AppKey("quality", Quality)
SUPERVISION = web.AppKey("supervision", Supervision)
HOLDS = web.AppKey("holds", Holds)
RETENTION = web.AppKey("retention", Retention)
GATE = web.AppKey("gate", Gate)
NOTARY = web.AppKey("notary", Notary)
RUNNING = web.AppKey("running", Running)
REVIEWS = web.AppKey("reviews", Reviews)
EXPORTS = web.AppKey("exports", Exports)
APPROVALS = web.AppKey("approvals", Approvals)
