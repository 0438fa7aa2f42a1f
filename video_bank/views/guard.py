"""What every request passes through: headers, errors, who is asking, and whether they may."""

import hmac
import logging
import secrets as randomness
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from video_bank.accounts import LOGIN, Login, cookie_name, require
from video_bank.config import Config
from video_bank.errors import NotAllowed, NotFound, NotSignedIn, UserError
from video_bank.keys import ACCOUNTS, CONFIG, PAGES
from video_bank.views.pages import language
from video_bank.views.route import Handler, Route, plain

log = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": (
        "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), geolocation=()"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Server": "video-bank",  # no version for those who collect them
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def headers(
    config: Config,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Adds the security headers to every answer just before it leaves, streams included."""
    fixed = dict(HEADERS)
    if config.https:
        fixed["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(fixed)
        # Pages and answers hold personal data; the files pages are made of do not.
        static = request.path.startswith("/static/")
        response.headers.setdefault("Cache-Control", "no-cache" if static else "no-store")

    return add


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes an answer its reader can use; ours get an id, the log the trace."""
    try:
        return await handler(request)
    except NotSignedIn as error:
        if request.path in ("/visit",):
            raise web.HTTPSeeOther("/") from None
        if _is_page(request):
            raise web.HTTPSeeOther("/staff/sign-in") from None
        return web.json_response(error.reply(), status=error.status)
    except UserError as error:
        return _refusal(request, error)
    except web.HTTPRequestEntityTooLarge:
        return _refusal(request, UserError("too_large", 413))
    except web.HTTPNotFound:
        return _refusal(request, UserError("not_found", 404))
    except (web.HTTPException, ConnectionResetError):
        raise  # an answer already, or nobody left to answer
    except Exception:
        number = randomness.token_hex(4)
        log.exception("x %s %s failed (%s)", request.method, _route(request), number)
        return _refusal(request, UserError("internal", 500, id=number))


def _refusal(request: web.Request, error: UserError) -> web.Response:
    if not _is_page(request):
        return web.json_response(error.reply(), status=error.status)
    lang = language(request)
    sentence = error.reply()["error"][f"message_{lang}"]
    html = request.app[PAGES].render(
        "error.html",
        lang,
        "common",
        page="error",
        csrf="",
        role="",
        name="",
        demo=request.app[CONFIG].demo,
        sentence=sentence,
    )
    return web.Response(text=html, content_type="text/html", status=error.status)


def _is_page(request: web.Request) -> bool:
    return not request.path.startswith(("/api/", "/static/", "/ws"))


def _route(request: web.Request) -> str:
    # The pattern, not the path: paths hold tokens and ids.
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown route"


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the login of the request's cookie; none is an answer too."""
    cookie = request.cookies.get(cookie_name(request.app[CONFIG]))
    if cookie and not request.path.startswith("/static/"):
        login = await request.app[ACCOUNTS].find_login(cookie)
        if login is not None:
            request[LOGIN] = login
    return await handler(request)


def permitted(route: Route) -> Handler:
    """The route's handler behind its permission and the checks against forged requests."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        login = request.get(LOGIN)
        if request.method not in SAFE_METHODS:
            # Signing in anew needs no token of the login before it: a page that another app
            # opened was sent without the cookie, and so without a token.
            _not_forged(request, login if route.permission else None)
        if route.permission is not None:
            require(login, route.permission)
        if not all(map(plain, request.match_info.values())):
            raise NotFound()
        if not all(map(plain, request.query.values())):
            raise UserError("bad_request")
        return await route.handler(request)

    return guarded


def _not_forged(request: web.Request, login: Login | None) -> None:
    """Refuse what another site's page sent in the name of ours.

    The Origin header cannot be set by a page; the token cannot be read by another site's.
    """
    if request.headers.get("Origin") not in origins(request.app[CONFIG]):
        raise NotAllowed("cross_origin")
    if login is not None:
        token = request.headers.get("X-CSRF-Token", "")
        if not hmac.compare_digest(token.encode(), login.csrf.encode()):
            raise NotAllowed("csrf")


def origins(config: Config) -> frozenset[str]:
    """Where our own pages come from; on loopback the machine goes by two names."""
    url = urlsplit(config.public_url)
    if url.hostname in ("localhost", "127.0.0.1"):
        port = f":{url.port}" if url.port else ""
        return frozenset(f"{url.scheme}://{host}{port}" for host in ("localhost", "127.0.0.1"))
    return frozenset({f"{url.scheme}://{url.netloc}"})
