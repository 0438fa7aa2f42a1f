"""The HTML pages: a shell each; what is on them comes over the API and the WebSocket."""

from aiohttp import web

from video_bank.accounts import LOGIN
from video_bank.keys import CONFIG, PAGES
from video_bank.pages import LANGUAGES
from video_bank.permissions import Permission
from video_bank.views.route import Handler, Route


def language(request: web.Request) -> str:
    """The page's language: the visitor's own choice, else the first one the browser asks for."""
    chosen = request.cookies.get("lang")
    if chosen in LANGUAGES:
        return chosen
    wanted = request.headers.get("Accept-Language", "").split(",")[0].strip().lower()
    return "en" if wanted.startswith("en") else "zh"


def page(name: str, template: str, area: str) -> Handler:
    """The handler of a page: a shell with the words of its area, for whoever asks."""

    async def show(request: web.Request) -> web.Response:
        login = request.get(LOGIN)
        html = request.app[PAGES].render(
            template,
            language(request),
            area,
            page=name,
            csrf=login.csrf if login else "",
            role=login.role if login else "",
            name=login.name if login else "",
            demo=request.app[CONFIG].demo,
        )
        return web.Response(text=html, content_type="text/html")

    return show


async def health(request: web.Request) -> web.Response:
    """Whether the server serves; says nothing else to strangers."""
    return web.json_response({"status": "ok"})


REPLAYS = "staff export notary"
"""Areas of words on pages with a replay."""

routes = [
    Route("GET", "/", None, page("home", "home.html", "customer")),
    # Where a personal link leads; nothing is used up until the customer says so.
    Route("GET", "/i/{token}", None, page("invitation", "home.html", "customer")),
    Route("GET", "/visit", Permission.VISIT, page("customer", "customer.html", "customer")),
    Route("GET", "/staff/sign-in", None, page("sign_in", "sign_in.html", "staff")),
    Route("GET", "/staff", Permission.OWN_ACCOUNT, page("staff", "staff.html", "staff")),
    Route("GET", "/teller", Permission.SERVE, page("teller", "teller.html", "staff")),
    Route("GET", "/supervise", Permission.SUPERVISE, page("supervise", "supervise.html", "staff")),
    Route("GET", "/review", Permission.REVIEW, page("review", "review.html", REPLAYS)),
    Route("GET", "/replay", Permission.REPLAY, page("replay", "replay.html", REPLAYS)),
    Route("GET", "/admin", Permission.AUDIT, page("admin", "admin.html", "staff notary")),
    Route("GET", "/api/health", None, health),
]
