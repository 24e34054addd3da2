"""QR codes that scan: as few modules as the address allows, each wide enough, dark on light."""

from urllib.parse import urlsplit

import segno

MODULE_MIN_PIXELS = 3
"""Least width of a module: below it, cameras and a printer's rounding blur neighbours into each other."""
CONTRAST_MIN = 4.0
"""Least ratio of the luminances of light and dark, as WCAG computes it: black on white has 21. Grey on white of 3 is lost in the shade of a hand."""


def make_qr_code(url: str, level: str) -> segno.QRCode:
    """The code of a short address, in capitals where that takes fewer modules: scheme, host and slug are matched in any case.

    level: of error correction, `l`, `m`, `q` or `h`.
    """
    plain = segno.make(url, error=level, boost_error=False, micro=False)
    # A path in front of the slug belongs to a proxy, which may tell case apart.
    if urlsplit(url).path.count("/") > 1:
        return plain
    capitals = segno.make(url.upper(), error=level, boost_error=False, micro=False)
    return capitals if capitals.symbol_size() < plain.symbol_size() else plain


def contrast(dark: str, light: str) -> float:
    """The ratio of the luminances of two colours (RGB in hexadecimal); below 1 where `dark` is the lighter one."""
    return (_luminance(light) + 0.05) / (_luminance(dark) + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
