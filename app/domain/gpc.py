"""Global Privacy Control (https://www.w3.org/TR/gpc/): a browser that sends `Sec-GPC: 1` asks not to be followed, nor its data sold or shared."""

from typing import Literal

GpcRule = Literal["respect", "click_id_only"]
"""What such a browser gets from a brand's link. `respect`: the way to the shop and nothing else; the click is counted. `click_id_only`: also the id of this one
click, so that an order can name it. No visitor, network or country is kept either way."""
