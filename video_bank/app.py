"""The whole program, assembled in one place: who reads this file has met every part.

Each resource is a clean-up context of a few lines, in the order in which they need each other;
aiohttp ends them in the reverse order.
"""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvloop
from aiohttp import web

import signaling.socket
from kyc.listener import Listener
from kyc.worker import Inference
from recordings.keys import trusted
from signaling import forward, ice, peer
from signaling.port import Port
from video_bank import collector, demo
from video_bank.accounts import LOGIN, Accounts
from video_bank.approvals import Approvals
from video_bank.archive import Archive, keyring_of, signer_of, store_of
from video_bank.blobs import LocalBlobs
from video_bank.bus import LocalBus
from video_bank.businesses import POLICIES, Businesses, load_consents
from video_bank.calls import Calls
from video_bank.checks import Checks
from video_bank.config import Config, is_loopback, refuse_public_demo
from video_bank.connection_test import ConnectionTest
from video_bank.conversation import Conversation
from video_bank.customers import Customers
from video_bank.dossier import Dossier
from video_bank.erasure import Erasure
from video_bank.errors import OperatorError
from video_bank.evidence import Timeline
from video_bank.exports import Exports
from video_bank.faces import FaceKeys, Faces
from video_bank.findings import Findings
from video_bank.gate import Gate
from video_bank.hearing import Hearing
from video_bank.holds import Holds
from video_bank.keys import (
    ACCOUNTS,
    APPROVALS,
    ARCHIVE,
    BLOBS,
    BUS,
    BUSINESSES,
    CALLS,
    CHECKS,
    CONFIG,
    CONNECTION_TEST,
    CONSENTS,
    CONVERSATION,
    CUSTOMERS,
    DATABASE,
    ERASURE,
    EXPORTS,
    FACES,
    FINDINGS,
    GATE,
    HOLDS,
    LEDGER,
    LINE,
    NOTARY,
    PAGES,
    PEOPLE,
    QUALITY,
    RETENTION,
    REVIEWS,
    RUNNING,
    SECRETS,
    SESSIONS,
    SPOOL,
    SUPERVISION,
    TIMELINE,
)
from video_bank.ledger import Ledger
from video_bank.line import Line
from video_bank.notary import Notary, authority_of
from video_bank.pages import WEB, Pages
from video_bank.people import People
from video_bank.periods import Policy
from video_bank.permissions import Permission
from video_bank.quality import Quality
from video_bank.retention import Retention
from video_bank.reviews import Reviews
from video_bank.running import Running
from video_bank.secrets import Secrets
from video_bank.sessions import Sessions
from video_bank.storage import Database
from video_bank.supervision import Supervision
from video_bank.transfers import Transfers
from video_bank.views import (
    accounts,
    approvals,
    connection_test,
    consents,
    customers,
    exports,
    notary,
    pages,
    people,
    recordings,
    retention,
    reviews,
    sessions,
    teller,
)
from video_bank.views.guard import errors, headers, identify, origins, permitted
from video_bank.views.route import BODY_LIMIT, Route

if TYPE_CHECKING:
    from recordings.s3 import S3Store
    from video_bank.spool import Spool

log = logging.getLogger(__name__)

SECRET_BYTES = 16
"""A shorter TURN secret can be found by trying, given one of the credentials made of it."""

LAST_REQUESTS_S = 5.0
"""Requests under way when the server stops have this long to be answered."""

INFERENCE = web.AppKey("inference", Inference)
LISTENER = web.AppKey("listener", Listener)
RELAYS = web.AppKey("relays", ice.Relays)
DEMO_PEOPLE = web.AppKey("demo_people", list[demo.Person])


async def websocket(request: web.Request) -> web.StreamResponse:
    """The one WebSocket of a page: signalling and events."""
    with request.app[ACCOUNTS].logins.busy(request[LOGIN]):
        return await signaling.socket.serve(
            request, request.app[GATE], origins=origins(request.app[CONFIG])
        )


ROUTES: list[Route] = [
    *pages.routes,
    *accounts.routes,
    *customers.routes,
    *consents.routes,
    *sessions.routes,
    *teller.routes,
    *people.routes,
    *reviews.routes,
    *exports.routes,
    *notary.routes,
    *recordings.routes,
    *retention.routes,
    *approvals.routes,
    *connection_test.routes,
    Route("GET", "/ws", Permission.SIGNED_IN, websocket),
]
"""Every route of the product with the permission it asks for."""


def make_app(config: Config) -> web.Application:
    """The application for ``config``; nothing is opened before it starts."""
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=[errors, identify])
    app.on_response_prepare.append(headers(config))
    app[CONFIG] = config
    app[RELAYS] = _relays(config)
    app[PAGES] = Pages()
    app[BUSINESSES] = Businesses(policies=config.check_policies or POLICIES)
    app[CONSENTS] = load_consents()
    for route in ROUTES:
        app.router.add_route(route.method, route.path, permitted(route))
    app.router.add_static("/static", WEB / "static")
    app.cleanup_ctx.extend(
        [storage, everybody, inference, listening, line, seals, call_centre, spool, exporting]
        + [demo_people]
    )
    app.on_shutdown.append(end_calls)
    return app


async def storage(app: web.Application) -> AsyncIterator[None]:
    """Database, bus, blobs, keys."""
    config = app[CONFIG]
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    app[SECRETS] = Secrets.load_or_create(config.keys)
    app[BUS] = LocalBus()
    app[DATABASE] = Database(config.database_url, app[BUS])
    app[BLOBS] = LocalBlobs(config.data / "blobs", app[SECRETS].derive("blobs"))
    app[TIMELINE] = Timeline()
    await app[DATABASE].migrate()
    yield
    await app[BUS].close()
    await app[DATABASE].close()


async def everybody(app: web.Application) -> AsyncIterator[None]:
    """Staff, customers and their sessions."""
    config = app[CONFIG]
    app[ACCOUNTS] = Accounts(app[DATABASE], app[SECRETS], app[TIMELINE], config)
    app[CUSTOMERS] = Customers(app[DATABASE], app[SECRETS], app[TIMELINE], config)
    app[SESSIONS] = Sessions(
        app[DATABASE],
        app[TIMELINE],
        app[SECRETS],
        app[BUSINESSES],
        app[CONSENTS],
        queue_limit=config.queue_limit,
    )
    app[LEDGER] = Ledger(app[DATABASE], app[TIMELINE], app[CONSENTS])
    face_keys = FaceKeys(config.keys / "faces", app[SECRETS])
    app[FACES] = Faces(app[DATABASE], app[TIMELINE], face_keys)
    app[CONVERSATION] = Conversation(app[DATABASE], app[SECRETS], app[SESSIONS])
    async with background(app[ACCOUNTS].run()):
        yield
    await app[ACCOUNTS].keep_head()
    app[ACCOUNTS].close()


async def inference(app: web.Application) -> AsyncIterator[None]:
    """The inference process; it loads its models while the server already serves."""
    config = app[CONFIG]
    process = Inference(models_dir=config.data / "models", threads=config.inference_threads)
    app[INFERENCE] = process
    await process.start()
    yield
    await process.close()


async def listening(app: web.Application) -> AsyncIterator[None]:
    """The listening process; it is started when somebody is first to be heard."""
    config = app[CONFIG]
    process = Listener(models_dir=config.data / "models", threads=config.inference_threads)
    app[LISTENER] = process
    yield
    await process.close()


async def line(app: web.Application) -> AsyncIterator[None]:
    """The waiting line, and who else takes part."""
    app[LINE] = Line(
        app[DATABASE],
        app[BUS],
        app[SESSIONS],
        Transfers(app[SESSIONS]),
        ring_s=app[CONFIG].ring_s,
    )
    app[PEOPLE] = People(
        app[DATABASE],
        app[SESSIONS],
        app[CUSTOMERS],
        app[LINE],
        policy=app[CONFIG].supervision,
    )
    async with background(app[LINE].run()):
        yield


async def seals(app: web.Application) -> AsyncIterator[None]:
    """The log of seals, and what is noted of recordings while they run."""
    config = app[CONFIG]
    signer = await asyncio.to_thread(signer_of, config)
    authority, roots = authority_of(config)
    app[RUNNING] = Running(app[DATABASE], app[TIMELINE], config.data / "audit.heads")
    app[NOTARY] = Notary(
        app[DATABASE],
        app[TIMELINE],
        app[RUNNING],
        signer,
        trusted(config.keys / "trust.pem", signer),
        origin=f"{urlsplit(config.public_url).hostname}/recordings",
        authority=authority,
        roots=roots,
    )
    async with background(app[RUNNING].run()), background(app[NOTARY].run()):
        yield


async def call_centre(app: web.Application) -> AsyncIterator[None]:
    """Recordings, calls, checks and reviews; what the last run left unfinished is closed first."""
    config = app[CONFIG]
    media_path = forward.check()
    log.info("- media is forwarded the %s way", media_path)
    periods = Policy.load(config.retention_policy)
    store = store_of(config)
    app[ARCHIVE] = Archive(
        app[DATABASE],
        config.data / "recordings",
        config.keys,
        signer=await asyncio.to_thread(signer_of, config),
        keyring=keyring_of(config),
        policy=periods,
        store=store,
    )
    if store is not None:
        app[SPOOL] = _spool(app, store)
    app[HOLDS] = Holds(app[DATABASE], app[TIMELINE])
    app[ERASURE] = Erasure(
        app[DATABASE], app[TIMELINE], app[ARCHIVE], app[BLOBS], app[SECRETS], periods
    )
    app[RETENTION] = Retention(
        app[DATABASE],
        app[TIMELINE],
        app[ARCHIVE],
        periods,
        app[ERASURE],
        hour=config.erasure_hour,
        grace_days=config.key_grace_days,
        nightly=config.nightly_erasure,
        unrecorded_days=config.unrecorded_days,
    )
    app[ARCHIVE].on_sealed, app[ARCHIVE].known = app[NOTARY].add, app[RUNNING].known
    ports, relays = _media_ports(config), app[RELAYS]
    app[QUALITY] = Quality(app[DATABASE])
    app[CONNECTION_TEST] = ConnectionTest(ports, relays)
    app[CALLS] = Calls(
        app[BUS],
        app[SESSIONS],
        app[LINE],
        app[PEOPLE],
        app[ARCHIVE],
        app[QUALITY],
        ports=ports,
        relays=relays,
        customer_gone_s=config.customer_gone_s,
        teller_gone_s=config.teller_gone_s,
        supervision=config.supervision,
    )
    app[PEOPLE].changed = app[CALLS].sync
    app[RUNNING].parts = app[CALLS].recordings
    app[GATE] = Gate(
        app[BUS], app[SESSIONS], app[LINE], app[CALLS], place_kept_s=config.place_kept_s
    )
    app[FINDINGS] = Findings(app[DATABASE], app[BLOBS], app[SECRETS], app[SESSIONS])
    app[CHECKS] = Checks(
        app[BUS],
        app[SESSIONS],
        app[FINDINGS],
        app[BUSINESSES],
        app[CUSTOMERS],
        app[INFERENCE],
        app[CALLS],
        app[FACES],
        app[LEDGER],
        hearing=Hearing(app[LISTENER], app[INFERENCE], app[CALLS], app[CALLS]),
        check_s=config.check_s,
        prompt_s=config.prompt_s,
    )
    app[CALLS].checks = app[CHECKS]
    app[SESSIONS].witness = app[CALLS]
    app[APPROVALS] = Approvals(
        app[DATABASE],
        app[TIMELINE],
        app[SESSIONS],
        app[CUSTOMERS],
        policy=config.replay_approval,
    )
    app[REVIEWS] = Reviews(
        app[DATABASE],
        app[TIMELINE],
        app[SESSIONS],
        app[CUSTOMERS],
        app[FINDINGS],
        app[ARCHIVE],
        app[QUALITY],
        app[APPROVALS],
    )
    app[ERASURE].on_cleared = app[FACES].forget
    app[ERASURE].on_erased = app[REVIEWS].replay.forget
    app[SUPERVISION] = Supervision(
        app[DATABASE],
        app[BUS],
        app[LINE],
        app[PEOPLE],
        app[CALLS],
        app[ACCOUNTS].staff,
        policy=config.supervision,
        media_path=media_path,
    )
    await app[CALLS].recover()
    # Whoever waited has lost the socket too: the page has as long to come back as any other.
    app[GATE].expect((await app[SESSIONS].waiting_customers()).values())
    watching = (
        app[CALLS].run(),
        app[GATE].run(),
        app[QUALITY].run(),
        app[SUPERVISION].run(),
        app[RETENTION].run(),
        collector.sweep(app[CALLS].ended),
    )
    async with contextlib.AsyncExitStack() as beside:
        for work in watching:
            await beside.enter_async_context(background(work))
        yield
    await app[CONNECTION_TEST].close()
    for port in ports:
        port.close()


async def spool(app: web.Application) -> AsyncIterator[None]:
    """Sealed recordings leave for the bucket, if there is one."""
    if SPOOL not in app:
        yield
        return
    async with background(app[SPOOL].run()):
        yield
    app[SPOOL].close()


async def exporting(app: web.Application) -> AsyncIterator[None]:
    """Sessions made into bundles for third parties."""
    config = app[CONFIG]
    dossier = Dossier(
        app[DATABASE],
        app[TIMELINE],
        app[SESSIONS],
        app[CUSTOMERS],
        app[FINDINGS],
        app[ARCHIVE],
        app[BUSINESSES],
        app[PAGES],
        app[NOTARY],
    )
    app[EXPORTS] = Exports(
        app[DATABASE],
        app[TIMELINE],
        app[ARCHIVE],
        dossier,
        spool=config.data / "exports",
        hours=config.export_hours,
        video=config.export_video,
    )
    async with background(app[EXPORTS].run()):
        yield


async def end_calls(app: web.Application) -> None:
    """Before the server waits for its connections to end, which open pages never do by themselves:
    end and seal every call, tell the people in it, and close the pages' sockets."""
    await app[CALLS].stop()
    app[GATE].close()
    # A connection left open would keep the process alive by its threads.
    await peer.close_all()


async def demo_people(app: web.Application) -> AsyncIterator[None]:
    """Accounts made for this run under --demo; without it, none of an earlier run works."""
    app[DEMO_PEOPLE] = await demo.people(app[ACCOUNTS], wanted=app[CONFIG].demo)
    yield


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``work`` beside the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then end every call properly."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        make_app(config), access_log=None, handle_signals=False, shutdown_timeout=LAST_REQUESTS_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, ssl_context=_tls(config))
        try:
            await site.start()
        except OSError as error:
            raise OperatorError(
                f"cannot listen on {config.host}:{config.port}: {error.strerror}"
            ) from error
        collector.settle()
        print(f"serving on {config.public_url}", flush=True)
        if config.demo:
            demo.announce(config, runner.app[DEMO_PEOPLE])
        await stopped.wait()
        print("stopping: ending calls and sealing recordings", flush=True)
    finally:
        await runner.cleanup()


def _media_ports(config: Config) -> Sequence[Port]:
    """Where browsers find the media, open: as set, else at this machine's own addresses."""
    # On localhost too: Firefox never pairs an address of its own with a loopback one.
    own = (*(ice.LOOPBACK if is_loopback(config.host) else ()), *ice.host_addresses())
    found = []
    for port in ice.ports(config.media_addresses or own, config.media_port):
        try:
            port.open()
        except OSError as error:
            if config.media_addresses or config.media_port:
                raise OperatorError(f"media cannot use {port}: {error.strerror}") from error
            log.warning("x media cannot use %s: %s", port, error.strerror)
        else:
            found.append(port)
    return found


def _spool(app: web.Application, store: "S3Store") -> "Spool":
    """The way into the bucket.  Readers of a slow one must not use up the threads that calls need
    for their disk, so there are more of them."""
    from video_bank.spool import Spool  # loads what `store_of` does

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32, "work"))
    limit = app[CONFIG].spool_limit_gb * 1_000_000_000
    return Spool(app[DATABASE], store, app[ARCHIVE].trust, limit=limit)


def _relays(config: Config) -> ice.Relays:
    """The TURN servers with the secret shared with them.  Raises :class:`OperatorError`."""
    if config.turn_secret_file is None:
        return ice.Relays()
    try:
        secret = config.turn_secret_file.read_bytes().strip()
    except OSError as error:
        raise OperatorError(f"turn_secret_file: {error}") from error
    if len(secret) < SECRET_BYTES:
        raise OperatorError(f"turn_secret_file: the secret has fewer than {SECRET_BYTES} bytes")
    return ice.Relays(config.turn_urls, secret, config.ice_policy)


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls_cert, config.tls_key)
    return context


def main(arguments: Sequence[str]) -> int:
    """The command line; answers with the process's exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s"
    )
    for noisy in ("aioice", "aiortc", "alembic", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        config = Config.load(os.environ, arguments)
        refuse_public_demo(config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config))
    except OperatorError as error:
        print(f"run_server: {error}", file=sys.stderr)
        return OperatorError.exit_code
    return 0
