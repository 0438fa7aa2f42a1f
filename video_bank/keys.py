"""Typed keys of what the application holds; ``app.py`` fills them, views read them."""

from aiohttp import web

from video_bank.accounts import Accounts
from video_bank.blobs import Blobs
from video_bank.bus import Bus
from video_bank.config import Config
from video_bank.customers import Customers
from video_bank.evidence import Timeline
from video_bank.secrets import Secrets
from video_bank.storage import Database

CONFIG = web.AppKey("config", Config)
SECRETS = web.AppKey("secrets", Secrets)
BUS = web.AppKey("bus", Bus)
DATABASE = web.AppKey("database", Database)
BLOBS = web.AppKey("blobs", Blobs)
TIMELINE = web.AppKey("timeline", Timeline)
ACCOUNTS = web.AppKey("accounts", Accounts)
CUSTOMERS = web.AppKey("customers", Customers)
