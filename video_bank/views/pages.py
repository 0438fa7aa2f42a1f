"""The HTML pages: a shell each; what is on them comes over the API and the WebSocket."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import CONFIG, PAGES
from video_bank.pages import LANGUAGES
from video_bank.permissions import Permission
from video_bank.views.route import Route


def language(request: web.Request) -> str:
    """The page's language: the visitor's own choice, else the first one the browser asks for."""
    chosen = request.cookies.get("lang")
    if chosen in LANGUAGES:
        return chosen
    wanted = request.headers.get("Accept-Language", "").split(",")[0].strip().lower()
    return "en" if wanted.startswith("en") else "zh"


async def render(request: web.Request, template: str, page: str, area: str) -> web.Response:
    """The page for whoever asks."""
    login = request.get(LOGIN)
    html = request.app[PAGES].render(
        template,
        language(request),
        area,
        page=page,
        csrf=login.csrf if login else "",
        role=login.role if login else "",
        name=login.name if login else "",
        demo=request.app[CONFIG].demo,
    )
    return web.Response(text=html, content_type="text/html")


async def home(request: web.Request) -> web.Response:
    """What this is and how to begin."""
    return await render(request, "home.html", "home", "customer")


async def invitation(request: web.Request) -> web.Response:
    """Where a personal link leads; nothing is used up until the customer says so."""
    return await render(request, "home.html", "invitation", "customer")


async def visit(request: web.Request) -> web.Response:
    """The customer's page."""
    return await render(request, "customer.html", "customer", "customer")


async def sign_in(request: web.Request) -> web.Response:
    """Where staff sign in."""
    return await render(request, "sign_in.html", "sign_in", "staff")


async def staff(request: web.Request) -> web.Response:
    """The staff's home."""
    return await render(request, "staff.html", "staff", "staff")


async def teller(request: web.Request) -> web.Response:
    """The teller's console."""
    return await render(request, "teller.html", "teller", "staff")


async def review(request: web.Request) -> web.Response:
    """The reviewer's page."""
    return await render(request, "review.html", "review", "staff")


async def admin(request: web.Request) -> web.Response:
    """Accounts and the audit log."""
    return await render(request, "admin.html", "admin", "staff")


async def health(request: web.Request) -> web.Response:
    """Whether the server serves; says nothing else to strangers."""
    return web.json_response({"status": "ok"})


routes = [
    Route("GET", "/", None, home),
    Route("GET", "/i/{token}", None, invitation),
    Route("GET", "/visit", Permission.VISIT, visit),
    Route("GET", "/staff/sign-in", None, sign_in),
    Route("GET", "/staff", Permission.OWN_ACCOUNT, staff),
    Route("GET", "/teller", Permission.SERVE, teller),
    Route("GET", "/review", Permission.REVIEW, review),
    Route("GET", "/admin", Permission.AUDIT, admin),
    Route("GET", "/api/health", None, health),
]
