"""`GET|HEAD /a.js`: the shop's script, from memory, plain and compressed."""

import gzip
import hashlib
from pathlib import Path

from app.tracking.responses import NOSNIFF, Answer, Header, Receive, Scope, method_refused

SCRIPT = (Path(__file__).parent / "a.js").read_bytes()
COMPRESSED = gzip.compress(SCRIPT, mtime=0)
_DIGEST = hashlib.sha256(SCRIPT).hexdigest()[:20]
ETAG = f'"{_DIGEST}"'.encode()
COMPRESSED_ETAG = f'"{_DIGEST}-gz"'.encode()

HEADERS: list[Header] = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    # An hour: a corrected script reaches every shop the same day, and most page views cost no request.
    (b"cache-control", b"public, max-age=3600"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"vary", b"accept-encoding"),
    NOSNIFF,
]


async def answer_script(scope: Scope, receive: Receive) -> Answer:
    """200 with the script, or 304 when the browser has it."""
    if scope["method"] not in ("GET", "HEAD"):
        return method_refused(scope, "GET", "HEAD")
    headers = dict(scope["headers"])
    compress = b"gzip" in headers.get(b"accept-encoding", b"")
    etag = COMPRESSED_ETAG if compress else ETAG
    script_headers = [*HEADERS, (b"etag", etag)]
    cached = {tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")}
    if etag in cached or b"*" in cached:
        return Answer(304, headers=script_headers)
    if compress:
        return Answer(200, COMPRESSED, [*script_headers, (b"content-encoding", b"gzip")])
    return Answer(200, SCRIPT, script_headers)
