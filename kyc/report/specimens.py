"""Chinese resident identity cards of people who do not exist, drawn, and held before a camera.

Everything follows from a seeded generator: the same seed draws the same card. Places and region
codes are the real ones of GB/T 2260 (python-stdnum's table); names, streets and days are drawn by
lot. The print is Noto Sans CJK, not the typeface of real cards, and there is no hologram, no relief
and no wear: figures measured on these cards are figures of drawn cards.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from stdnum import numdb

from kyc.check import Error
from kyc.document import number, resident
from kyc.image import Bgr, Points

WIDTH, HEIGHT = 1000, 630
PHOTO = (650, 80, 270, 350)  # x, y, width, height of the portrait on a front
TODAY = dt.date(2026, 11, 22)
FONTS = Path("/usr/share/fonts/opentype/noto")
_SIMPLIFIED = 2  # the face of the collection that draws simplified Chinese

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蒋"
    "蔡余杜叶程苏魏吕丁任沈姚卢傅钟姜崔谭廖范汪陆金石戴贾韦夏邱方侯邹熊孟秦白江阎"
    "薛尹段雷黎史龙陶贺顾毛郝龚邵万钱覃武戚莫孔向汤欧阳"
)
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英文华玉萍红建国志海燕波辉鹏宇浩"
    "凯健俊帆帅旭宁龙林欢佳欣怡梦琪雨轩梓涵子豪思远嘉懿晨曦若彤博睿翔鑫淼焱垚煜璟"
    "瑾瑜珺婧媛嫣颖蕾薇菲蓉莹岚峰嵘崇德仁义礼智信忠孝廉耀祖荣光宗庆祥瑞福禄寿康泰"
)
_MINORITY = (
    "阿卜杜拉·买买提",
    "古丽娜尔·吐尔逊",
    "努尔兰·别克",
    "扎西次仁",
    "卓玛央金",
    "艾合买提·玉素甫",
)
_STREETS = (
    "人民 解放 中山 建设 朝阳 和平 新华 桂花 长江 黄河 青年 文化 学府"
    " 滨河 振兴 东风 民主 团结 光明 幸福 红旗 迎宾 凤凰 龙泉 石桥 锦"
    "绣 翠竹 梧桐"
).split()


class FontMissing(Error):
    """The typeface that draws the cards is not on this machine."""


@dataclass(frozen=True)
class Person:
    """What the two sides print, as a reader should give it back."""

    name: str
    sex: str
    nation: str
    birth: str
    address: str
    id: str
    authority: str
    valid: str

    def truth(self, side: resident.Side) -> dict[str, str]:
        """Field to text."""
        names = resident.FRONT_FIELDS if side == "front" else resident.BACK_FIELDS
        return {name: getattr(self, name) for name in names}


def person(chance: np.random.Generator) -> Person:
    """Somebody who does not exist, of age, with a card in date on :data:`TODAY`."""
    code, province, city, county = _place_name(chance)
    age = int(chance.integers(18, 85))
    born = dt.date(TODAY.year - age, 1, 1) - dt.timedelta(int(chance.integers(0, 365)))
    digits = f"{code}{born:%Y%m%d}{chance.integers(1, 999):03d}"
    number_ = digits + number.check_character(digits)
    parsed = number.parse(number_)
    assert parsed is not None
    nation = "汉" if chance.random() < 0.5 else str(chance.choice(resident.NATIONS))
    place = province + ("" if city in (province, "") else city) + county
    seat = county if city in (province, "") else city + county
    office = ("公安局", "公安局分局", "公安分局")[chance.integers(3)]
    return Person(
        name=_name(chance),
        sex=parsed.sex,
        nation=nation,
        birth=resident.print_birth(born),
        address=place + _street(chance),
        id=number_,
        authority=seat + office,
        valid=_period(chance, born),
    )


def _name(chance: np.random.Generator) -> str:
    if chance.random() < 0.06:
        return str(chance.choice(_MINORITY))
    given = "".join(chance.choice(list(_GIVEN), 1 if chance.random() < 0.25 else 2))
    return str(chance.choice(list(_SURNAMES[:-2]) + ["欧阳"])) + given


def _street(chance: np.random.Generator) -> str:
    road = str(chance.choice(_STREETS))
    if chance.random() < 0.35:
        village = f"{chance.choice(_STREETS)}村{chance.integers(1, 15)}组"
        return f"{road}镇{village}{chance.integers(1, 300)}号"
    kind = ("路", "街", "大道", "巷", "北路", "东大街")[chance.integers(6)]
    text = f"{road}{kind}{chance.integers(1, 999)}号"
    if chance.random() < 0.6:
        text += (
            f"{chance.integers(1, 40)}栋{chance.integers(1, 9)}单元{chance.integers(101, 3399)}室"
        )
    return text


def _period(chance: np.random.Generator, born: dt.date) -> str:
    """The period the law gives at the age of issue, containing today."""
    first = TODAY - dt.timedelta(int(chance.integers(30, 3600)))
    age = (first - born).days / 365.25
    years = 5 if age < 16 else 10 if age < 26 else 20 if age < 46 else None
    if years is None:
        return f"{first:%Y.%m.%d}-长期"
    if first.month == 2 and first.day == 29:
        first -= dt.timedelta(1)
    last = first.replace(year=first.year + years)
    if last < TODAY:
        return f"{TODAY:%Y}.01.05-{TODAY.year + years}.01.05"
    return f"{first:%Y.%m.%d}-{last:%Y.%m.%d}"


def _place_name(chance: np.random.Generator) -> tuple[str, str, str, str]:
    """Code, province, city and county of a county that has its code today, by lot."""
    table = numdb.get("cn/loc")
    while True:
        city = f"{chance.integers(11, 66)}{chance.integers(1, 54):02d}"
        code = f"{city}{chance.integers(1, 84):02d}"
        names = [each for _, each in table.info(code) if each]
        if len(names) != 2 or "county" not in names[1] or "province" not in names[0]:
            continue
        since, _, county = names[1]["county"].split(",")[-1].rpartition("]")
        if county in ("市辖区", "县") or (since and not since.endswith("-")):
            continue
        above = [each for _, each in table.info(f"{city}00") if each]
        town = above[1]["county"].split("]")[-1] if len(above) == 2 else ""
        return code, names[0]["province"], "" if town in ("市辖区", "县") else town, county


# -- drawing -----------------------------------------------------------------------------------


def front(
    who: Person, chance: np.random.Generator, face: Bgr | None = None, *, sizes: Any = None
) -> Bgr:
    """The side with the portrait, 1000 × 630. ``face`` is the picture to print; a drawn head else.

    ``sizes`` gives single fields another height, in shares of the right one: a forger's print.
    """
    card = _paper(chance, (246, 239, 232), (214, 190, 160))
    _portrait(card, chance, face)
    sheet = Image.fromarray(np.ascontiguousarray(card[:, :, ::-1]))
    pen, scale = ImageDraw.Draw(sheet), sizes or {}
    label, ink = (46, 116, 178), (22, 22, 26)

    def write(text: str, x: float, middle: float, size: float, field: str = "") -> None:
        grown = round(size * scale.get(field, 1.0))
        colour = ink if field else label
        pen.text((x, middle), text, font=_font("Sans-Regular", grown), fill=colour, anchor="lm")

    for text, x, y in (
        ("姓 名", 70, 92),
        ("性 别", 70, 172),
        ("出 生", 70, 250),
        ("住 址", 70, 332),
    ):
        write(text, x, y, 29)
    write("民 族", 290, 172, 29)
    write(who.name, 180, 90, 41, "name")
    write(who.sex, 180, 170, 36, "sex")
    write(who.nation, 400, 170, 36, "nation")
    year, month, day = re.findall(r"\d+", who.birth)
    for text, x, y in ((year, 180, 248), (month, 342, 248), (day, 446, 248)):
        write(text, x, y, 36, "birth")
    for text, x in (("年", 290), ("月", 396), ("日", 504)):
        write(text, x, 250, 29)
    for row in range(0, len(who.address), 11):
        write(who.address[row : row + 11], 180, 328 + row / 11 * 52, 37, "address")
    write("公民身份号码", 70, 556, 29)
    for place, character in enumerate(who.id):
        size = round(38 * scale.get("id", 1.0))
        font = _font("Sans-Bold", size, mono=True)
        pen.text((338 + 31.6 * place, 554), character, font=font, fill=ink, anchor="mm")
    return np.ascontiguousarray(np.asarray(sheet)[:, :, ::-1])


def back(who: Person, chance: np.random.Generator, *, sizes: Any = None) -> Bgr:
    """The side with the emblem, 1000 × 630."""
    card = _paper(chance, (236, 234, 240), (190, 200, 214))
    middle = (125 + int(chance.integers(-4, 5)), 140)
    cv2.circle(card, middle, 80, (40, 38, 190), -1, cv2.LINE_AA)
    cv2.circle(card, middle, 52, (60, 170, 235), 4, cv2.LINE_AA)
    sheet = Image.fromarray(np.ascontiguousarray(card[:, :, ::-1]))
    pen, scale, ink = ImageDraw.Draw(sheet), sizes or {}, (22, 22, 26)
    for text, x, y, size, gap in (
        ("中华人民共和国", 305, 130, 58, 72),
        ("居民身份证", 285, 245, 84, 122),
    ):
        for place, character in enumerate(text):
            font = _font("Serif-Bold", size)
            pen.text((x + gap * place, y), character, font=font, fill=ink, anchor="lm")
    rows = (("签发机关", who.authority, 480, "authority"), ("有效期限", who.valid, 566, "valid"))
    for label, text, y, field in rows:
        pen.text((230, y), label, font=_font("Sans-Regular", 31), fill=ink, anchor="lm")
        font = _font("Sans-Regular", round(36 * scale.get(field, 1.0)))
        # Long names of authorities run over two lines, as on real cards.
        rows_of_text = [text] if len(text) <= 15 or field == "valid" else [text[:12], text[12:]]
        for place, row in enumerate(rows_of_text):
            pen.text((400, y + 42 * place), row, font=font, fill=ink, anchor="lm")
    return np.ascontiguousarray(np.asarray(sheet)[:, :, ::-1])


def _paper(chance: np.random.Generator, ground: Any, waves: Any) -> Bgr:
    """The ground with fine waves, as guilloche looks from afar."""
    card: Any = np.full((HEIGHT, WIDTH, 3), ground, np.uint8)
    x = np.arange(0, WIDTH + 8, 8)
    for _ in range(26):
        base, swing = chance.uniform(-40, HEIGHT + 40), chance.uniform(15, 60)
        y = base + swing * np.sin(x / chance.uniform(40, 120) + chance.uniform(0, 6.3))
        line = np.stack([x, y], axis=1).round().astype(np.int32)
        layer = card.copy()
        cv2.polylines(layer, [line], False, waves, int(chance.integers(1, 4)), cv2.LINE_AA)
        card = cv2.addWeighted(card, 0.6, layer, 0.4, 0)
    return np.asarray(card, np.uint8)


def _portrait(card: Bgr, chance: np.random.Generator, face: Bgr | None) -> None:
    """A head before a pale ground; on every other card the ground fades into the paper."""
    x, y, w, h = PHOTO
    part = card[y : y + h, x : x + w]
    photo = np.full((h, w, 3), (226, 220, 214), np.uint8)
    if face is None:
        skin = tuple(int(v) for v in chance.uniform((100, 130, 175), (160, 185, 225)))
        coat = tuple(int(v) for v in chance.uniform(20, 120, 3))
        hair = (28, 26, 24)
        for middle, axes, start, colour in (
            ((w // 2, h), (int(0.46 * w), int(0.36 * h)), 0, coat),
            ((w // 2, int(0.4 * h)), (int(0.24 * w), int(0.26 * h)), 0, skin),
            ((w // 2, int(0.28 * h)), (int(0.26 * w), int(0.17 * h)), 180, hair),
        ):
            cv2.ellipse(photo, middle, axes, 0, start, 360, colour, -1, cv2.LINE_AA)
    else:
        tall = int(face.shape[1] * h / w)
        top = max(0, (face.shape[0] - tall) // 2)
        middle_part = face[top : top + tall]
        photo[:] = cv2.resize(middle_part, (w, h), interpolation=cv2.INTER_AREA)
    if chance.random() < 0.5:
        down, across = np.mgrid[0:h, 0:w].astype(np.float32)
        away = ((across - w / 2) / (0.5 * w)) ** 4 + ((down - h / 2) / (0.52 * h)) ** 6
        keep = np.clip(1.6 - 1.6 * away, 0, 1)[:, :, None]
    else:
        keep = np.ones((h, w, 1), np.float32)
    part[:] = (photo * keep + part * (1 - keep)).astype(np.uint8)


@lru_cache(maxsize=64)
def _font(style: str, size: int, mono: bool = False) -> ImageFont.FreeTypeFont:
    path = FONTS / f"Noto{style.split('-')[0]}CJK-{style.split('-')[1]}.ttc"
    if not path.is_file():
        raise FontMissing(f"{path} is missing: install Noto CJK (Debian: fonts-noto-cjk)")
    return ImageFont.truetype(str(path), size, index=_SIMPLIFIED + (5 if mono else 0))


# -- before the camera -------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A picture of a card and where the card lies in it."""

    bgr: Bgr
    quad: Points
    "Corners in pixels, clockwise from the card's own top left."


def held(
    card: Bgr,
    chance: np.random.Generator,
    share: tuple[float, float] = (0.35, 0.55),
    *,
    tilt: float = 12.0,
    quality: tuple[int, int] = (70, 92),
    surface: Bgr | None = None,
    exposure: float = 1.0,
) -> View:
    """A 720p webcam's picture of the card filling ``share`` of it, after JPEG.

    Turned by up to ``tilt`` degrees and seen a little from the side; light, colour cast, blur,
    a lamp's reflection and noise by lot. ``surface``: what is really there instead of the card, of
    any size, seen without the lens making it coarser first (a screen's pixels, say), times
    ``exposure``.
    """
    wide, tall = 1280, 720
    quad = _place(chance, wide, tall, chance.uniform(*share), tilt)
    picture = _background(chance, wide, tall).astype(np.float32)
    flat = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    turn = cv2.getPerspectiveTransform(flat, quad)
    mask = cv2.warpPerspective(_rounded(), turn, (wide, tall), flags=cv2.INTER_AREA)
    if surface is None:
        # A small card must not alias: it is made coarser first, as a lens would.
        scale = float(np.linalg.norm(quad[1] - quad[0])) / WIDTH
        smooth = cv2.GaussianBlur(card, (0, 0), max(0.01, 0.42 / scale - 0.3))
        laid = cv2.warpPerspective(smooth, turn, (wide, tall), flags=cv2.INTER_LINEAR)
    else:
        laid = _sampled(surface, quad, wide, tall) * np.float32(exposure)
    over = (mask / np.float32(255))[:, :, None]
    picture = picture * (1 - over) + laid * over
    if chance.random() < 0.6:
        picture += _lamp(chance, quad, wide, tall) * over
    picture *= np.float32(chance.uniform(0.6, 1.12))
    picture *= chance.uniform(0.93, 1.07, 3).astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), chance.uniform(0.3, 1.0)), np.float32)
    picture += chance.standard_normal(picture.shape, np.float32) * chance.uniform(1, 5)
    seen = np.clip(picture, 0, 255).astype(np.uint8)
    return View(_jpeg(seen, int(chance.integers(*quality))), quad)


def _sampled(surface: Bgr, quad: Points, wide: int, tall: int) -> Any:
    """Each camera pixel the mean of nine samples: fine patterns may beat with its grid."""
    height, width = surface.shape[:2]
    own = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = cv2.getPerspectiveTransform(own, quad * 3)
    fine = cv2.warpPerspective(surface, turn, (3 * wide, 3 * tall), flags=cv2.INTER_LINEAR)
    return cv2.resize(fine, (wide, tall), interpolation=cv2.INTER_AREA).astype(np.float32)


def _place(chance: np.random.Generator, wide: int, tall: int, share: float, tilt: float) -> Points:
    """Corners of a card covering ``share`` of the picture, wholly inside it."""
    for attempt in range(200):
        long = np.sqrt(share * wide * tall * WIDTH / HEIGHT)
        angle = np.radians(chance.uniform(-tilt, tilt) * max(0.0, 1 - attempt / 150))
        box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
        box = box * (long, long * HEIGHT / WIDTH) * chance.uniform(0.965, 1.035, (4, 2))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        quad = box @ turn
        reach = np.abs(quad).max(axis=0)
        if (reach + 6 < (wide / 2, tall / 2)).all():
            room = np.array([wide / 2, tall / 2]) - reach - 4
            middle = np.array([wide / 2, tall / 2]) + chance.uniform(-room, room)
            return np.asarray(quad + middle, np.float32)
    raise ValueError(f"no card covers {share:.0%} of the picture")


def _background(chance: np.random.Generator, wide: int, tall: int) -> Bgr:
    """Coloured blobs, a plain wall with its shading, or a table with a grain."""
    kind = chance.integers(3)
    if kind == 0:
        coarse = chance.integers(0, 130, (18, 32, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(coarse, (wide, tall), interpolation=cv2.INTER_CUBIC), np.uint8)
    tone = chance.uniform(40, 200, 3)
    ramp = np.linspace(chance.uniform(0.6, 1), chance.uniform(0.6, 1), wide)[None, :, None]
    ground = np.broadcast_to(tone * ramp, (tall, wide, 3)).astype(np.float32)
    if kind == 2:
        grain = cv2.resize(chance.normal(0, 14, (tall // 3, 20)).astype(np.float32), (wide, tall))
        ground = ground + grain[:, :, None]
    return np.clip(ground, 0, 255).astype(np.uint8)


def _lamp(chance: np.random.Generator, quad: Points, wide: int, tall: int) -> Any:
    """A reflection somewhere on the card, seldom bright enough to hide print."""
    spot = quad.mean(axis=0) + (quad[0] - quad.mean(axis=0)) * chance.uniform(-0.8, 0.8, 2)
    size = float(np.linalg.norm(quad[1] - quad[0])) * chance.uniform(0.05, 0.12, 2)
    down, across = np.mgrid[0:tall, 0:wide].astype(np.float32)
    away = ((across - spot[0]) / size[0]) ** 2 + ((down - spot[1]) / size[1]) ** 2
    return (chance.uniform(20, 130) * np.exp(-away / 2)).astype(np.float32)[:, :, None]


@lru_cache(maxsize=1)
def _rounded() -> Any:
    """The card's own shape: corners rounded by 3.18 mm (ISO/IEC 7810 ID-1)."""
    shape: Any = np.zeros((HEIGHT, WIDTH), np.uint8)
    r = 37
    cv2.rectangle(shape, (r, 0), (WIDTH - r - 1, HEIGHT - 1), (255,), -1)
    cv2.rectangle(shape, (0, r), (WIDTH - 1, HEIGHT - r - 1), (255,), -1)
    for x in (r, WIDTH - r - 1):
        for y in (r, HEIGHT - r - 1):
            cv2.circle(shape, (x, y), r, (255,), -1, cv2.LINE_AA)
    return shape


def _jpeg(bgr: Bgr, quality: int) -> Bgr:
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
