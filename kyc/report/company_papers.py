"""Bank cards and business licences of people and companies that do not exist, drawn for measuring.

Numbers carry right check characters; banks' names are those of the prefixes, all else is invented.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from stdnum import luhn
from stdnum.cn import uscc

from kyc.document import issuers
from kyc.image import Bgr
from kyc.report.papers import CJK, CJK_SERIF, OCR_B, bgr, digits, paper, pick, typeface


@dataclass(frozen=True)
class Drawn:
    """A drawn page and the fields printed on it."""

    page: Bgr
    fields: dict[str, str]


# -- bank cards --------------------------------------------------------------------------------

_PREFIXES = (
    "622202 622848 621660 621700 622260 622588 621799 622690 622908 456351 436742 427020 518710 "
    "625955 623052 622155"
).split()
_HOLDERS = ("ZHANG SAN", "LI XIAOMING", "OUYANG WEI", "CHEN JING", "JOHN SMITH", "ANNA ERIKSSON")
_CARD = (856, 540)


def bank_card(chance: Generator) -> Drawn:
    """A flat-printed card: sixteen or nineteen digits, month of expiry, holder."""
    prefix = pick(_PREFIXES, chance)
    length = 19 if prefix[0] == "6" and chance.random() < 0.6 else 16
    body = prefix + digits(chance, length - 7)
    number = body + luhn.calc_check_digit(body)
    year, month = int(chance.integers(27, 37)), int(chance.integers(1, 13))
    holder = pick(_HOLDERS, chance)
    issuer = issuers.of(number)
    page = _plastic(chance)
    pen = ImageDraw.Draw(page)
    # Print stands out from the card: pale on dark, dark on pale.
    dark = float(np.asarray(page).mean()) < 130
    ink = (238, 238, 232) if dark else (25, 25, 32)
    pen.text((50, 36), issuer.bank, font=typeface(CJK, 40), fill=ink)
    pen.rounded_rectangle((70, 160, 180, 240), 12, fill=(200, 170, 90))
    pen.text((640, 440), issuer.scheme, font=typeface(CJK, 30), fill=ink)
    size = 46 if length == 16 else 40
    # Four by four with a remainder, or six and the rest, as banks print nineteen digits.
    if length == 19 and chance.random() < 0.4:
        shown = f"{number[:6]} {number[6:]}"
    else:
        shown = " ".join(number[at : at + 4] for at in range(0, length, 4))
    pen.text((64, 280), shown, font=typeface(OCR_B, size), fill=ink)
    pen.text((300, 362), "VALID THRU", font=typeface(CJK, 16), fill=ink)
    pen.text((420, 352), f"{month:02d}/{year:02d}", font=typeface(OCR_B, 30), fill=ink)
    pen.text((64, 440), holder, font=typeface(OCR_B, 30), fill=ink)
    fields = {"number": number, "valid_thru": f"20{year}-{month:02d}", "holder": holder}
    return Drawn(bgr(page), fields)


def _plastic(chance: Generator) -> Image.Image:
    """Two colours running into each other, as cards have them."""
    width, height = _CARD
    dark = chance.random() < 0.6
    one, other = (chance.uniform(20, 110, 3) if dark else chance.uniform(190, 245, 3) for _ in "ab")
    across = np.linspace(0, 1, width)[None, :, None]
    down = np.linspace(0, 0.4, height)[:, None, None]
    mixed = one + (other - one) * np.clip(across + down, 0, 1)
    return Image.fromarray(mixed.astype(np.uint8), "RGB")


# -- business licences -------------------------------------------------------------------------

_CITIES = "北京市 上海市 杭州市 深圳市 成都市 武汉市 南京市 青岛市 长沙市 厦门市".split()
_WORDS = "恒远 金穗 启明 博雅 华泰 锦程 瑞丰 云栖 致诚 嘉禾 天工 海纳 远帆 明德 新源".split()
_TRADES = "科技 贸易 信息技术 建筑工程 文化传播 食品 物流 医疗器械 环保设备 餐饮管理".split()
_KINDS = (
    "有限责任公司(自然人投资或控股)",
    "有限责任公司(自然人独资)",
    "有限责任公司(法人独资)",
    "其他股份有限公司(非上市)",
)
_PEOPLE = "张伟 李秀英 王芳 欧阳明月 陈静 刘洋 赵建国 周晓燕 吴海峰 司马文博".split()
_ROADS = "人民路 解放大道 科技园南区 中山东路 建设西街 滨江大道 创业路".split()
_BUSINESS = (
    "计算机软硬件的技术开发、技术咨询、技术服务",
    "食品销售",
    "会议及展览服务",
    "建筑材料、机械设备、电子产品的批发与零售",
    "货物进出口",
    "道路普通货物运输",
    "企业管理咨询",
    "广告设计、制作、代理、发布",
)
_LICENCE = (1600, 1130)


def licence(chance: Generator) -> Drawn:
    """The wide form in use since 2019: two columns, the code on the left above them."""
    city = pick(_CITIES, chance)
    year, month, day = chance.integers(1996, 2024), chance.integers(1, 13), chance.integers(1, 29)
    founded = f"{year}年{month:02d}月{day:02d}日"
    road, house, floor = pick(_ROADS, chance), chance.integers(1, 999), chance.integers(1, 30)
    code = f"91{pick('11 31 33 44 51 42 32 37 43 35'.split(), chance)}01" + digits(chance, 2)
    code += "MA" + "".join(pick("0123456789ABCDEFGHJKLMNPQRTUWXY", chance) for _ in range(7))
    chosen = chance.choice(len(_BUSINESS), int(chance.integers(3, 6)), replace=False)
    fields = {
        "name": f"{city}{pick(_WORDS, chance)}{pick(_TRADES, chance)}有限公司",
        "type": pick(_KINDS, chance),
        "representative": pick(_PEOPLE, chance),
        "capital": f"{pick('壹佰 伍佰 壹仟 叁仟 捌佰'.split(), chance)}万元整",
        "founded": founded,
        "term": f"{founded}至长期",
        "address": f"{city}{road}{house}号{floor}层",
        "scope": "；".join(_BUSINESS[each] for each in chosen) + "。",
    }
    fields = {"code": _with_check(code), **fields}
    return Drawn(_print_licence(fields, chance), fields)


def _with_check(code: str) -> str:
    """Seventeen characters and their check character; GB 32100."""
    return str(code[:17] + uscc.calc_check_digit(code[:17]))


def _print_licence(fields: dict[str, str], chance: Generator) -> Bgr:
    page = paper(_LICENCE, chance)
    pen = ImageDraw.Draw(page)
    ink = tuple(int(each) for each in chance.integers(15, 60, 3))
    label, value = typeface(CJK, 27), typeface(CJK, 27)
    pen.rectangle((30, 30, _LICENCE[0] - 30, _LICENCE[1] - 30), outline=(170, 120, 60), width=8)
    pen.text((560, 130), "营 业 执 照", font=typeface(CJK_SERIF, 92), fill=ink)
    pen.text((90, 120), "统一社会信用代码", font=label, fill=ink)
    pen.text((90, 165), fields["code"], font=typeface(CJK, 32), fill=ink)
    left = (("名    称", "name"), ("类    型", "type"), ("法定代表人", "representative"),
            ("经 营 范 围", "scope"))  # fmt: skip
    right = (("注 册 资 本", "capital"), ("成 立 日 期", "founded"), ("营 业 期 限", "term"),
             ("住    所", "address"))  # fmt: skip
    for names, x, room in ((left, 100, 560), (right, 890, 470)):
        y = 350.0
        for text, name in names:
            pen.text((x, y), text, font=label, fill=(120, 80, 40))
            rows = _wrapped(fields[name], value, room)
            for row in rows:
                pen.text((x + 180, y), row, font=value, fill=ink)
                y += 44
            y += 32
    pen.text((1050, 930), "登记机关", font=typeface(CJK, 30), fill=(120, 80, 40))
    pen.text((90, 1060), "国家企业信用信息公示系统网址", font=typeface(CJK, 16), fill=(120, 80, 40))
    return bgr(page)


def _wrapped(text: str, face: ImageFont.FreeTypeFont, room: int) -> list[str]:
    rows = [""]
    for character in text:
        if face.getlength(rows[-1] + character) > room:
            rows.append("")
        rows[-1] += character
    return rows
