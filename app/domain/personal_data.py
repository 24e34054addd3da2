"""Blots a shopper's data out of a message before it is kept: names, addresses, telephone numbers, e-mails, IP addresses.

What is personal is data of its platform (`personal.toml` beside it): fields, by their paths. Every other text is searched for e-mails and IP
addresses. Numbers, and whatever the parser read, are never touched. In place of a customer's id and e-mail stands a token, a keyed hash of each,
which `customer_key` reads: so a blotted message is read as it was before. Blotting twice changes nothing.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec

from app.domain.customers import EMAIL_TOKEN_END, KEY_CHARACTERS, email_token, id_token
from app.domain.strict_json import Unreadable, read_json, read_text

MARK = "(blotted)"
"""Stands in place of what was blotted out. No sender's template variable looks like it, and it holds no `@`."""
ANYWHERE, EACH = "**", "*"
"""Steps of a path: at any depth; every element of a list."""
LONG_CHARACTERS_MIN = 6
"""Shortest text that was read for which a longer text is kept that holds it: an address of a page with the id of a click."""
DEPTH_MAX = 200
"""Levels of a body that are searched; what lies deeper is blotted out whole."""

HEADER = "header:"
"""Begins the path of a header."""

NAMES_CACHED = 4_096
"""Names of fields in the cache of `_plain`."""

CustomerKey = Callable[[str | None, str | None], str | None]
"""From (id, e-mail), either of them None, to the keyed hash of it."""


class PersonalFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The personal fields of a platform, as paths: names with dots between, `*` for every element of a list, `**.name` for a name at any depth.

    objects: every text beneath, whatever its name. texts: single values, also numbers. unread: texts beneath that were not read (attributes that a
    shop's page adds to an order, among which a click stands). emails, ids: of the customer, by token. customers: either of the two, as in
    the pixel.
    """

    objects: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()


NO_FIELDS = PersonalFields()


@dataclass(slots=True)
class _Node:
    """While a blotter is made: one name on the way to personal fields. action: what happens to the value, '' for nothing. guarded: what was read stays."""

    action: str = ""
    guarded: bool = False
    children: "dict[str, _Node]" = field(default_factory=dict)
    each: "_Node | None" = None


def _nothing_read() -> frozenset[str]:
    return frozenset()


class Blotter:
    """Blots messages with these fields. paths: more of them, as (action, steps), for names with dots. folded: names are compared in any
    case, as a platform does that reads them so.
    """

    def __init__(
        self, fields: PersonalFields, *, paths: Iterable[tuple[str, Sequence[str]]] = (), folded: bool = False
    ) -> None:
        self._root = _Node()
        self._anywhere: dict[str, _Node] = {}
        self._folded = folded
        for action in PersonalFields.__struct_fields__:
            for path in getattr(fields, action):
                self._add(action, path.split("."))
        for action, steps in paths:
            self._add(action, steps)
        self._complete(self._root)
        named = [
            (name.removeprefix(HEADER), node) for name, node in self._root.children.items() if name.startswith(HEADER)
        ]
        self._headers = dict(named)

    def _add(self, action: str, steps: Sequence[str]) -> None:
        if steps[0] == ANYWHERE:
            self._anywhere[_plain(steps[1])] = _Node(action, guarded=True)
            return
        node = self._root
        for step in steps:
            if step == EACH:
                node.each = node.each or _Node()
                node = node.each
            else:
                node = node.children.setdefault(step, _Node())
        node.action = action

    def _complete(self, node: _Node) -> None:
        """Gives a node that only leads on what is blotted anywhere under its name."""
        for name, child in node.children.items():
            everywhere = self._anywhere.get(_plain(name))
            if everywhere is not None and not child.action:
                child.action, child.guarded = everywhere.action, True
            self._complete(child)
        if node.each is not None:
            self._complete(node.each)

    # ── Values of JSON ───────────────────────────────────────────────────────────────────────────────────────────────

    def blot_json(self, value: Any, key: CustomerKey, read: Callable[[], frozenset[str]] = _nothing_read) -> bytes:
        """The JSON of a body without personal data, as compact bytes; `value` is changed. read: the texts that were read in it."""
        work = _Work(self, key, read)
        value = work.walk(value, self._root, 0)
        written = _encode(value)
        if _may_hold_addresses(written):
            written = _encode(work.scan_all(value, 0))
        return written

    def blot_pairs(self, text: str, key: CustomerKey, read: Callable[[], frozenset[str]] = _nothing_read) -> str:
        """`name=value&…`, urlencoded, without personal data; pairs without any are the same to the byte."""
        work = _Work(self, key, read)
        return "&".join(work.pair(part) for part in text.split("&"))

    def blot_text(self, text: str, key: CustomerKey, read: Callable[[], frozenset[str]] = _nothing_read) -> str:
        """A text without e-mails and IP addresses."""
        return _Work(self, key, read).scan(text)

    def blot_headers(
        self,
        headers: Mapping[str, str],
        key: CustomerKey,
        read: Callable[[], frozenset[str]] = _nothing_read,
        *,
        query: str,
    ) -> dict[str, str]:
        """The headers, each of which a path `header:name` may name. query: the name of the one that is `name=value&…`."""
        work = _Work(self, key, read)
        blotted = {}
        for name, text in headers.items():
            if name == query:
                blotted[name] = self.blot_pairs(text, key, read)
            elif (found := self._headers.get(name)) is None:
                blotted[name] = work.scan(text)
            else:
                blotted[name] = str(work.apply(text, found, 0) or "")
        return blotted

    def blot_body(
        self,
        body: bytes,
        key: CustomerKey,
        read: Callable[[], frozenset[str]] = _nothing_read,
        *,
        is_form: bool = False,
    ) -> bytes:
        """A body of any kind: JSON, `is_form` pairs, else a text that is searched alone."""
        if not body.strip():
            return body
        if not is_form or body.lstrip()[:1] in (b"{", b"["):
            try:
                return self.blot_json(read_json(body), key, read)
            except (Unreadable, RecursionError):
                pass
        text = body.decode("utf-8", "surrogateescape")
        blotted = self.blot_pairs(text, key, read) if is_form else self.blot_text(text, key, read)
        return blotted.encode("utf-8", "surrogateescape")


class _Work:
    """One message being blotted."""

    def __init__(self, blotter: Blotter, key: CustomerKey, read: Callable[[], frozenset[str]]) -> None:
        self._root = blotter._root
        self._anywhere = blotter._anywhere
        self._folded = blotter._folded
        self._slow = bool(self._anywhere) or self._folded
        self._tokens: dict[tuple[bool, str], Any] = {}
        self._key = key
        self._ask = read
        self._read: frozenset[str] | None = None

    @property
    def read(self) -> frozenset[str]:
        """The texts that were read. Only asked for where it matters: most messages never need it."""
        if self._read is None:
            self._read = self._ask()
        return self._read

    # ── Fields ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def walk(self, value: Any, node: _Node, depth: int) -> Any:
        """The value, with the fields of this node and those named anywhere blotted."""
        if isinstance(value, dict):
            if self._slow:
                for name, child in value.items():
                    found = self._named(name, node)
                    if found is not None:
                        value[name] = self.apply(child, found, depth + 1)
                    elif self._anywhere and isinstance(child, dict | list):
                        value[name] = MARK if depth > DEPTH_MAX else self.walk(child, _NOTHING, depth + 1)
            else:
                for name, found in node.children.items():
                    child = value.get(name)
                    # Most of what is looked for is not there, or empty.
                    if not child:
                        continue
                    action = found.action
                    if not action:
                        self.walk(child, found, depth + 1)
                    elif type(child) is str and (action == "objects" or action == "texts"):
                        value[name] = MARK
                    elif action == "objects":
                        value[name] = self._beneath(child, found, found, depth + 1)
                    else:
                        value[name] = self.apply(child, found, depth + 1)
        elif isinstance(value, list):
            inner = node.each
            if inner is not None and not inner.action and not self._slow:
                for each in value:
                    self.walk(each, inner, depth + 1)
            elif inner is not None or self._anywhere:
                value[:] = [self.apply(each, inner or _NOTHING, depth + 1) for each in value]
        return value

    def _named(self, name: str, node: _Node) -> _Node | None:
        plain = name.strip().lower() if self._folded else name
        found = node.children.get(plain)
        return found if found is not None or not self._anywhere else self._anywhere.get(_plain(name))

    def apply(self, value: Any, node: _Node, depth: int) -> Any:
        """The value of a field that leads to this node."""
        if value is None or value == "" or isinstance(value, bool):
            return value
        if depth > DEPTH_MAX:
            return MARK
        action = node.action
        if not action:
            return self.walk(value, node, depth)
        if isinstance(value, dict | list):
            return self._beneath(value, node, node, depth)
        if action == "objects" or action == "unread":
            return self._leaf(value, node)
        if action == "texts":
            return value if node.guarded and self._was_read(value) else MARK
        return self._token(value, action)

    def _beneath(self, value: Any, node: _Node, top: _Node, depth: int) -> Any:
        """Blots every text beneath; fields that the node names in it are blotted their own way."""
        if depth > DEPTH_MAX:
            return MARK
        if isinstance(value, dict):
            if not (self._slow or top.guarded or top.action == "unread"):
                return self._all_beneath(value, node, top, depth)
            for name, child in value.items():
                found = node.children.get(name) or (self._anywhere.get(_plain(name)) if self._anywhere else None)
                if found is not None and found.action:
                    value[name] = self.apply(child, found, depth + 1)
                else:
                    value[name] = self._beneath(child, found or _NOTHING, top, depth + 1)
            return value
        if isinstance(value, list):
            inner = node.each or _NOTHING
            for index, each in enumerate(value):
                value[index] = self._beneath(each, inner, top, depth + 1)
            return value
        return self._leaf(value, top)

    def _all_beneath(self, value: dict[str, Any], node: _Node, top: _Node, depth: int) -> Any:
        """As `_beneath` for an object of which nothing was read: without a call for each text, because most of an address is texts."""
        children = node.children
        for name, child in value.items():
            if name in children:
                value[name] = (
                    self.apply(child, children[name], depth + 1)
                    if children[name].action
                    else (self._beneath(child, children[name], top, depth + 1))
                )
            elif not child:
                continue
            elif type(child) is str:
                value[name] = MARK
            elif isinstance(child, dict | list):
                value[name] = self._beneath(child, _NOTHING, top, depth + 1)
        return value

    def _leaf(self, value: Any, top: _Node) -> Any:
        if not isinstance(value, str) or not value:
            return value
        if top.action == "unread" and (value.strip().casefold() in _PLAIN or self._holds_read(value)):
            return value
        if top.guarded and (_AMOUNT.fullmatch(value) or self._was_read(value)):
            return value
        return MARK

    def _token(self, value: Any, action: str) -> Any:
        """The token of an id or e-mail. What no parser takes for one would, as a mark, be taken for an id: there stands nothing."""
        try:
            text = read_text(value)
        except ValueError:
            return None
        if text == "0":
            return value
        is_email = action != "ids" and "@" in text
        # One message names its customer several times.
        known = self._tokens.get((is_email, text))
        if known is None:
            key = self._key(None, text) if is_email else self._key(text, None)
            known = value if key is None else email_token(key) if is_email else id_token(key)
            self._tokens[is_email, text] = known
        return known

    def _was_read(self, value: Any) -> bool:
        text = str(value).strip()
        return text in self.read or (text[:1] == "#" and text[1:].strip() in self.read)

    def _holds_read(self, text: str) -> bool:
        """Whether it was read, a part of a list in it was, or it holds a long text that was."""
        if self._was_read(text) or ("," in text and any(map(self._was_read, text.split(",")))):
            return True
        return any(each in text and len(each) >= LONG_CHARACTERS_MIN for each in self.read)

    # ── Pairs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def pair(self, part: str) -> str:
        """One `name=value`."""
        name, equals, escaped = part.partition("=")
        if not escaped:
            name, escaped = "", name
        value = unquote_plus(escaped, errors="surrogateescape")
        if value[:1] in ("{", "["):
            blotted = self._nested(name, value)
        else:
            found = self._named(unquote_plus(name, errors="surrogateescape"), self._root)
            blotted = self.scan(value) if found is None else self.apply(value, found, 0)
        if blotted == value:
            return part
        return f"{name}{equals}{quote_plus('' if blotted is None else str(blotted), errors='surrogateescape')}"

    def _nested(self, name: str, value: str) -> str:
        """JSON in a query, as /a.js sends it."""
        try:
            document = read_json(value.encode("utf-8", "surrogateescape"))
        except Unreadable:
            return self.scan(value)
        plain = unquote_plus(name, errors="surrogateescape")
        before = _encode(document)
        after = self.scan_all(self.walk({plain: document}, self._root, 0), 0)[plain]
        written = _encode(after)
        return value if written == before else written.decode()

    # ── E-mails and IP addresses in any text ─────────────────────────────────────────────────────────────────────────

    def scan_all(self, value: Any, depth: int) -> Any:
        """The value, without e-mails and IP addresses in any text or name."""
        if isinstance(value, str):
            return self.scan(value)
        if isinstance(value, dict | list) and depth > DEPTH_MAX:
            return MARK
        if isinstance(value, dict):
            return {self.scan(name): self.scan_all(each, depth + 1) for name, each in value.items()}
        if isinstance(value, list):
            return [self.scan_all(each, depth + 1) for each in value]
        return value

    def scan(self, text: str) -> str:
        """The text without e-mails and IP addresses, but for those in what was read."""
        if "@" in text or "%40" in text:
            text = _EMAIL.sub(self._email, text)
        if text.count(".") >= 3:
            text = _V4.sub(self._address, text)
        if text.count(":") >= 2:
            text = _V6.sub(self._address, text)
        return text

    def _email(self, matched: re.Match[str]) -> str:
        return matched[0] if _TOKEN.fullmatch(matched[0]) else self._unless_read(matched[0])

    def _address(self, matched: re.Match[str]) -> str:
        found = matched[0].rstrip(".")
        try:
            address = ipaddress.ip_address(found.partition("%")[0])
        except ValueError:
            return matched[0]
        if address.is_unspecified and ":" in found:
            return matched[0]
        return self._unless_read(found) + matched[0][len(found) :]

    def _unless_read(self, found: str) -> str:
        return found if any(found in each for each in self.read) else MARK


@lru_cache(maxsize=NAMES_CACHED)
def _plain(name: str) -> str:
    """A name as `**` compares it: `first_name`, `First-Name` and `firstName` are one."""
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")


_NOTHING = _Node()
_PLAIN = frozenset({"yes", "no", "true", "false", "on", "off", "1", "0"})
_AMOUNT = re.compile(r"[-+]?\d{1,12}[.,]\d{1,8}", re.ASCII)

# Each begins where no character of its own stands before, so that a long word is looked at once.
_EMAIL = re.compile(r"(?<![\w.+'%-])(?:[\w.+'-]|%[0-9a-fA-F]{2})+(?:@|%40)[\w-]{1,100}(?:\.[\w-]{1,100}){1,20}")
_TOKEN = re.compile(rf"[0-9a-f]{{{KEY_CHARACTERS}}}(?:@|%40){re.escape(EMAIL_TOKEN_END[1:])}")
_V4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)", re.ASCII)
_V6 = re.compile(r"(?<![\w:.])[0-9a-fA-F:]{1,45}:[0-9a-fA-F:.]{0,45}(?![\w:])", re.ASCII)

_V4_BYTES = re.compile(rb"\.\d{1,3}\.\d{1,3}\.\d")
# Written out: as a repeated group it takes twice as long, and nearly every colon of a body stands after a name.
_V6_BYTES = re.compile(rb":[0-9a-fA-F]{0,4}:(?:(?<=::)|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:)")
_AT_TOKEN = EMAIL_TOKEN_END.encode()


def _may_hold_addresses(written: bytes) -> bool:
    """Whether a text in it may hold an e-mail or IP address. Searched in C, because all of every message is."""
    at = written.find(b"@")
    while at >= 0:
        if not written.startswith(_AT_TOKEN, at):
            return True
        at = written.find(b"@", at + 1)
    # One byte is found several times as fast as two.
    if b"%" in written and b"%40" in written:
        return True
    return _V4_BYTES.search(written) is not None or _V6_BYTES.search(written) is not None


# ── Writing JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────

# A Decimal is written as it was read.
_write = msgspec.json.Encoder(decimal_format="number").encode
_HALF = re.compile("[\ud800-\udfff]")
_NO_CHARACTER = "\ufdd0"
_MARKED_HALF = re.compile(_NO_CHARACTER.encode() + rb"([0-9a-f]{4})")


def _encode(value: Any) -> bytes:
    try:
        return _write(value)
    except (UnicodeEncodeError, OverflowError):
        # Half a surrogate pair, which has no UTF-8: written as it came, by its escape.
        return _MARKED_HALF.sub(rb"\\u\1", _write(_without_halves(value)))


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF.sub(lambda half: f"{_NO_CHARACTER}{ord(half[0]):04x}", value)
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_halves(each) for each in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63 else value


def load_fields(table: Mapping[str, object]) -> PersonalFields:
    """The fields of a `personal.toml`. Raises msgspec.ValidationError for an unknown action."""
    return msgspec.convert(table, PersonalFields)
