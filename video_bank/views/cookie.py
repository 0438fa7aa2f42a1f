"""The cookie that carries a login."""

from aiohttp import web

from video_bank.config import Config
from video_bank.logins import cookie_name


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
