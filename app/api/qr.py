"""QR codes of short addresses, as SVG and PNG."""

from io import BytesIO
from typing import Annotated, Literal

import segno
from fastapi import Query

from app.errors import Invalid

Size = Annotated[int, Query(ge=64, le=2_048, description="Width and height in pixels, border included.")]
Border = Annotated[int, Query(ge=0, le=20, description="Quiet zone in modules; readers ask for 4.")]
Level = Annotated[
    Literal["l", "m", "q", "h"], Query(description="Error correction: 7, 15, 25 or 30 % may be covered by a logo.")
]
Colour = Annotated[str, Query(pattern="^[0-9A-Fa-f]{6}$", description="RGB in hexadecimal, without #.")]


def draw_svg(text: str, *, size: int, border: int, level: str, dark: str, light: str) -> bytes:
    """An SVG image of `size` pixels."""
    out = BytesIO()
    code = segno.make(text, error=level, boost_error=False, micro=False)
    scale = size / code.symbol_size(border=border)[0]
    code.save(out, kind="svg", scale=scale, border=border, dark=f"#{dark}", light=f"#{light}", title=text)
    return out.getvalue()


def draw_png(text: str, *, size: int, border: int, level: str, dark: str, light: str) -> bytes:
    """A PNG image of at most `size` pixels: modules are whole pixels, so that readers see sharp edges. Raises Invalid when they do not fit."""
    out = BytesIO()
    code = segno.make(text, error=level, boost_error=False, micro=False)
    modules = code.symbol_size(border=border)[0]
    if size < modules:
        raise Invalid.field("size", f"must be at least {modules} for this address, border and level")
    code.save(out, kind="png", scale=size // modules, border=border, dark=f"#{dark}", light=f"#{light}")
    return out.getvalue()
