"""QR codes of short addresses, as SVG and PNG."""

from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Literal

import segno
from fastapi import Depends, Query

from app.errors import Invalid

Size = Annotated[int, Query(ge=64, le=2_048, description="Width and height in pixels, border included.")]
Border = Annotated[int, Query(ge=0, le=20, description="Quiet zone in modules; readers ask for 4.")]
Level = Annotated[
    Literal["l", "m", "q", "h"], Query(description="Error correction: 7, 15, 25 or 30 % may be covered by a logo.")
]
Colour = Annotated[str, Query(pattern="^[0-9A-Fa-f]{6}$", description="RGB in hexadecimal, without #.")]


@dataclass(frozen=True, slots=True)
class Look:
    """The look of a QR code."""

    size: Size = 512
    border: Border = 4
    level: Level = "m"
    dark: Colour = "000000"
    light: Colour = "ffffff"


AtLook = Annotated[Look, Depends()]
"""The look that the query parameters describe."""


def draw_svg(text: str, look: Look) -> bytes:
    """An SVG image of `size` pixels."""
    out = BytesIO()
    code = segno.make(text, error=look.level, boost_error=False, micro=False)
    scale = look.size / code.symbol_size(border=look.border)[0]
    colours = {"dark": f"#{look.dark}", "light": f"#{look.light}"}
    code.save(out, kind="svg", scale=scale, border=look.border, title=text, **colours)
    return out.getvalue()


def draw_png(text: str, look: Look) -> bytes:
    """A PNG image of at most `size` pixels: modules are whole pixels, so that readers see sharp edges. Raises Invalid when they do not fit."""
    out = BytesIO()
    code = segno.make(text, error=look.level, boost_error=False, micro=False)
    modules = code.symbol_size(border=look.border)[0]
    if look.size < modules:
        raise Invalid.field("size", f"must be at least {modules} for this address, border and level")
    colours = {"dark": f"#{look.dark}", "light": f"#{look.light}"}
    code.save(out, kind="png", scale=look.size // modules, border=look.border, **colours)
    return out.getvalue()
