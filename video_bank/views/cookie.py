"""The cookie that carries a login."""

from aiohttp import web

from video_bank.config import Config


def cookie_name(config: Config) -> str:
    """``__Host-`` makes browsers insist on Secure, this host and the root path."""
    return "__Host-login" if config.https else "login"


def login_cookie(request: web.Request, config: Config) -> str | None:
    """The login's secret, if the browser sent one."""
    return request.cookies.get(cookie_name(config))


def give_login(response: web.StreamResponse, config: Config, value: str) -> None:
    """Sign the browser in.

    SameSite=Strict: the cookie is not sent when another app opens one of our pages, so the pages
    that such links point to (invitations) need no login.
    """
    response.set_cookie(
        cookie_name(config),
        value,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=config.https,
    )


def take_login(response: web.StreamResponse, config: Config) -> None:
    """Sign the browser out."""
    response.del_cookie(
        cookie_name(config), path="/", httponly=True, samesite="Strict", secure=config.https
    )
