"""`GET /a.js`, `GET /p.gif` and `POST|OPTIONS /e`: the script of a shop's page, and its report of an order, stored as received.

Browsers need no preflight for these requests. Origin, Referer and cookies are not used: a sandboxed frame sends none of them.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_plus

import msgspec

from app import random_ids
from app.directory.cache import PixelKey
from app.directory.lookup import Directory
from app.domain.visitors import truncate_address
from app.errors import AppError, TooLarge, TooMany, Unavailable
from app.metrics import PIXELS_NOT_STORED, PIXELS_OVER_LIMIT, PIXELS_STORED, PIXELS_TOO_LARGE, Counts
from app.spool.records import PixelLine, encode
from app.spool.writer import Spool, SpoolFull
from app.tracking.pixel_limits import PixelLimits, is_landing
from app.tracking.responses import NO_STORE, NOSNIFF, Answer, Header, Receive, Scope, method_refused, problem, read_body
from app.tracking.trusted_proxies import Proxies

# Pages with COEP only load images that allow it.
CROSS_ORIGIN: Header = (b"cross-origin-resource-policy", b"cross-origin")
CORS: list[Header] = [(b"access-control-allow-origin", b"*"), CROSS_ORIGIN]

_SOURCE = (Path(__file__).parent / "a.js").read_bytes()
# Comments that have lines of their own and indentation are a sixth of what every page would load.
SCRIPT = re.sub(rb"\A/\*.*?\*/\n|^ *//[^\n]*\n|^ +", b"", _SOURCE, flags=re.DOTALL | re.MULTILINE)
COMPRESSED = gzip.compress(SCRIPT, mtime=0)
_DIGEST = hashlib.sha256(SCRIPT).hexdigest()[:20]
ETAG = f'"{_DIGEST}"'.encode()
COMPRESSED_ETAG = f'"{_DIGEST}-gz"'.encode()

SCRIPT_HEADERS: list[Header] = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    # An hour: a corrected script reaches every shop the same day, and most page views cost no request.
    (b"cache-control", b"public, max-age=3600"),
    *CORS,
    (b"vary", b"accept-encoding"),
    NOSNIFF,
]
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""A transparent pixel of 43 bytes, because a 204 would fire the image's `onerror`."""
PIXEL_ANSWER = Answer(
    200,
    GIF,
    [
        (b"content-type", b"image/gif"),
        (b"cache-control", b"no-store, private, max-age=0"),
        CROSS_ORIGIN,
        (b"timing-allow-origin", b"*"),
        NOSNIFF,
    ],
)
PREFLIGHT: list[Header] = [
    *CORS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
]
CONTENT_TYPE_MAX_CHARS = 100
KEY_MAX_CHARS = 128


async def answer_script(scope: Scope, receive: Receive) -> Answer:
    """200 with the script, or 304 when the browser has it."""
    if scope["method"] not in ("GET", "HEAD"):
        return method_refused(scope, "GET", "HEAD")
    headers = dict(scope["headers"])
    compress = b"gzip" in headers.get(b"accept-encoding", b"")
    etag = COMPRESSED_ETAG if compress else ETAG
    script_headers = [*SCRIPT_HEADERS, (b"etag", etag)]
    cached = {tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")}
    if etag in cached or b"*" in cached:
        return Answer(304, headers=script_headers)
    if compress:
        return Answer(200, COMPRESSED, [*script_headers, (b"content-encoding", b"gzip")])
    return Answer(200, SCRIPT, script_headers)


class _Keyed(msgspec.Struct):
    k: str = ""


_read_keyed = msgspec.json.Decoder(_Keyed).decode


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixel and the beacon of one worker. Both are answered after the report is on the disk."""

    directory: Directory
    spool: Spool
    counts: Counts
    body_max_bytes: int
    proxies: Proxies
    limits: PixelLimits

    async def answer_pixel(self, scope: Scope, receive: Receive) -> Answer:
        """`GET /p.gif`: always 200 and the GIF, because anything else is an error in the shop's page. HEAD records nothing."""
        if scope["method"] not in ("GET", "HEAD"):
            return method_refused(scope, "GET", "HEAD")
        if scope["method"] == "GET":
            query = scope["query_string"]
            key = key_in_query(query)
            if len(query) > self.body_max_bytes:
                self.counts.slots[PIXELS_TOO_LARGE] += 1
                # A truncated report could name a wrong amount, so only its length is stored.
                query = b"too_large=%d" % len(query)
            try:
                await self._store(key, "pixel", "", query, scope)
            except SpoolFull:
                self.counts.slots[PIXELS_NOT_STORED] += 1
            except TooMany:
                pass  # counted
        return PIXEL_ANSWER

    async def answer_beacon(self, scope: Scope, receive: Receive) -> Answer:
        """`POST /e`: 204 once the report is on the disk; 408 for a body that does not arrive; 413 over the limit; 503 if it cannot be stored.

        OPTIONS: 204, for scripts of others.
        """
        if scope["method"] == "OPTIONS":
            return Answer(204, headers=PREFLIGHT)
        if scope["method"] != "POST":
            return method_refused(scope, "POST", "OPTIONS")
        query = scope["query_string"]
        try:
            if len(query) > self.body_max_bytes:
                raise TooLarge(f"the query is larger than {self.body_max_bytes} bytes", code="body_too_large")
            body = await read_body(scope, receive, self.body_max_bytes)
            content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
            key = key_in_body(body) or key_in_query(query)
            shown = content_type.decode("latin-1")[:CONTENT_TYPE_MAX_CHARS]
            await self._store(key, "beacon", shown, body or query, scope)
        except AppError as error:
            if isinstance(error, TooLarge | SpoolFull):
                self.counts.slots[PIXELS_TOO_LARGE if isinstance(error, TooLarge) else PIXELS_NOT_STORED] += 1
            return problem(scope["path"], error, *CORS)
        return Answer(204, headers=[*CORS, NO_STORE, NOSNIFF])

    async def _store(self, key: str, door: str, content_type: str, body: bytes, scope: Scope) -> None:
        """Store the report; on the disk on return. Raises SpoolFull, and TooMany for a landing over a limit."""
        headers: list[Header] = scope["headers"]
        peer = scope["client"][0] if scope.get("client") else ""
        network = truncate_address(self.proxies.client(peer, headers))
        try:
            found = await self.directory.find_key(key) if key else None
        except Unavailable:
            # Browsers do not retry. The key is in the body, so the background process can still look it up.
            found = None
        brand_id, key_id, shop = (found.brand_id, found.id, found.shop) if found else (None, None, "")
        # Of one who asks not to be followed the network is used and not kept.
        asks_not = any(name == b"sec-gpc" and value.strip() == b"1" for name, value in headers)
        kept = "" if asks_not else network
        line = encode(PixelLine(str(random_ids.new_id()), brand_id, key_id, shop, door, content_type, body, kept))
        if self.limits.is_over(found, network):
            self._check_room(found, body, len(line))
        self.spool.append(line)
        await self.spool.synced()
        self.counts.slots[PIXELS_STORED] += 1

    def _check_room(self, key: PixelKey | None, body: bytes, size_bytes: int) -> None:
        """For a hit over a limit. Raises TooMany for a landing, and SpoolFull where the brand has filled its share of the spool."""
        landing = is_landing(body)
        if not landing and self.limits.has_room(key, size_bytes):
            return
        self.counts.slots[PIXELS_OVER_LIMIT] += 1
        self.limits.turn_away(key, is_landing=landing)
        if landing:
            raise TooMany("this key, or this network, reports more than is recorded in a minute", code="over_limit")
        raise SpoolFull("this key, or this network, reports more than is recorded, and the spool is half full")


def key_in_query(query: bytes) -> str:
    """The publishable key (`k`) of a query string or urlencoded body; '' when it names none."""
    for pair in query.split(b"&"):
        if pair.startswith(b"k="):
            return unquote_plus(pair[2:].decode("latin-1"))[:KEY_MAX_CHARS]
    return ""


def key_in_body(body: bytes) -> str:
    """The publishable key (`k`) of a beacon's body, JSON or urlencoded, regardless of its Content-Type; '' when it names none."""
    if body.lstrip()[:1] == b"{":
        try:
            return _read_keyed(body).k[:KEY_MAX_CHARS]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
    return key_in_query(body)
