"""The pages of docs/ and the README as HTML, at `/docs/guides/…`, with each other's addresses in place of their files'.

The pages are our own and come with the release, yet nothing in them is markup: what stands between `<` and `>` is shown, comments are left out.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = "/docs/guides"
PAGE = Template(Path(__file__).with_name("guide.html").read_text("utf-8"))
FRONT = "README.md"
"""The page at `/docs/guides` itself, which says what each of the others is for."""
ELSEWHERE = {"openapi/openapi.json": "/openapi.json"}
"""Files outside docs/ that the service serves, with their addresses."""
PAGES_CACHED = 200

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@lru_cache(maxsize=1)
def pages() -> Mapping[str, Path]:
    """The files by the end of their addresses: "" for the README, `connect/shopify` for docs/connect/shopify.md. Empty where no docs were installed."""
    found = {path.relative_to(ROOT / "docs").with_suffix("").as_posix(): path for path in (ROOT / "docs").rglob("*.md")}
    return {"": ROOT / FRONT, **found} if found and (ROOT / FRONT).is_file() else found


def guide_path(file: str) -> str | None:
    """The path under which a file of the repository (`docs/pixel.md`) is served; None for one that is not."""
    if file in ELSEWHERE:
        return ELSEWHERE[file]
    name = "" if file == FRONT else file.removeprefix("docs/").removesuffix(".md")
    return f"{ADDRESS}/{name}".rstrip("/") if name in pages() and file.endswith(".md") else None


@lru_cache(maxsize=PAGES_CACHED)
def render_guide(name: str) -> str | None:
    """The page of this name as HTML; None where there is none. It takes some milliseconds the first time."""
    path = pages().get(name)
    if path is None:
        return None
    file = path.relative_to(ROOT).as_posix()
    markdown = MarkdownIt("commonmark").enable("table")
    for kind in ("html_block", "html_inline"):
        markdown.add_render_rule(kind, _show_markup)
    tokens = markdown.parse(path.read_text("utf-8"))
    title = _name_headings(tokens) or "Ariane"
    for token in tokens:
        _point_at_guides(token.children or (), posixpath.dirname(file))
    return PAGE.substitute(title=escape(title), body=markdown.renderer.render(tokens, markdown.options, {}))


def _show_markup(_renderer: object, tokens: list[Token], at: int, *_: object) -> str:
    return escape(_COMMENT.sub("", tokens[at].content))


def _name_headings(tokens: list[Token]) -> str:
    """Gives each heading the anchor that GitHub gives it; returns the text of the first."""
    taken: dict[str, int] = {}
    first = ""
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            first = first or text
            anchor = _NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-")
            taken[anchor] = taken.get(anchor, -1) + 1
            token.attrSet("id", f"{anchor}-{taken[anchor]}" if taken[anchor] else anchor)
    return first


def _point_at_guides(tokens: Sequence[Token], directory: str) -> None:
    """Links between files become links between pages. One to a file that is not served loses its address, and stays readable."""
    for token in tokens:
        address = str(token.attrGet("href") or "")
        target = urlsplit(address)
        if token.type != "link_open" or target.scheme or target.netloc or not target.path:
            continue
        path = guide_path(posixpath.normpath(posixpath.join(directory, target.path)))
        if path is None:
            del token.attrs["href"]
        else:
            token.attrSet("href", f"{path}#{target.fragment}" if target.fragment else path)
