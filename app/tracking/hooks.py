"""`GET|POST /in/{token}`: verify the raw bytes, write them to the disk, answer. They are read later, by the background process.

So a shop's webhook is safe within a millisecond, also while PostgreSQL is down: some shop systems never send one twice.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

from app import clock, metrics, random_ids
from app.directory.cache import CachedSource
from app.directory.lookup import Directory
from app.domain import ids
from app.errors import AppError, NotFound, TooLarge, Unauthorized, Unavailable
from app.platforms.kit.digests import PROOF, QUERY, URL
from app.platforms.registry import platform_of
from app.platforms.signing import Setup, advise, forget, set_up, signer, verify
from app.secret import UnsealError, unseal
from app.settings import Settings
from app.spool.records import HookLine, encode
from app.spool.writer import Spool, SpoolFull
from app.tracking.responses import Answer, Receive, Scope, json_answer, method_refused, read_body

HEADER_MAX_CHARS = 4_096
"""Longest stored part of a header, in characters."""
QUERY_MAX_BYTES = 16 << 10
INLINE_BYTES = 128 << 10
"""Largest message that is checked at once, in bytes: under a millisecond. A larger one is hashed and written out in a thread."""
INLINE_BY_QUERY_BYTES = 2 << 10
"""Largest message that is checked at once where its token has to be searched for first, in bytes."""
HOUR_S = 3_600
REFUSALS: dict[type[AppError], int] = {
    NotFound: metrics.HOOKS_UNKNOWN,
    Unauthorized: metrics.HOOKS_UNSIGNED,
    TooLarge: metrics.HOOKS_TOO_LARGE,
    SpoolFull: metrics.HOOKS_NOT_STORED,
    Unavailable: metrics.UNAVAILABLE,
}
"""The counter of each error of the door."""

log = logging.getLogger("ariane.hooks")


class Checked(NamedTuple):
    """A message without what must not be kept. reason: why its signature is wrong; None when it is right. verified_by: `secret_id` of the secret."""

    reason: str | None
    verified_by: str
    query: str
    headers: dict[str, str]
    body: bytes


class Hooks:
    """The webhook door of one worker."""

    def __init__(
        self, directory: Directory, spool: Spool, counts: metrics.Counts, settings: Settings, secret: str
    ) -> None:
        self._directory = directory
        self._spool = spool
        self._counts = counts
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "hooks")
        self._unsigned: dict[str, tuple[int, int]] = {}
        # Opening a sealed secret costs more than checking a signature with it.
        self._unseal = lru_cache(maxsize=1_024)(lambda sealed: _open(secret, sealed))

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """200 once the message is on the disk; 401 for a wrong signature (kept too); 404, 405, 408, 413; 503 while its source cannot be looked up or the
        message cannot be stored."""
        try:
            source = await self._directory.find_source(scope["path"].partition("/in/")[2])
            if source is None:
                raise NotFound("no source has this token", code="unknown_token")
            allowed = ("GET", "POST") if platform_of(source.platform).by_query else ("POST",)
            if scope["method"] not in allowed:
                return method_refused(scope, *allowed)
            query = scope["query_string"]
            if len(query) > QUERY_MAX_BYTES:
                raise TooLarge(f"the query is larger than {QUERY_MAX_BYTES} bytes", code="body_too_large")
            limit_bytes = min(self._settings.body_max_bytes, platform_of(source.platform).body_max_bytes)
            body = await read_body(scope, receive, limit_bytes)
            return json_answer(200, await self._take(source, scope, query.decode("latin-1"), body))
        except AppError as error:
            if type(error) in REFUSALS:
                self._counts.slots[REFUSALS[type(error)]] += 1
            raise

    async def _take(self, source: CachedSource, scope: Scope, query: str, body: bytes) -> dict[str, str]:
        """The answer, once the message is on the disk (a ping is not stored). Raises Unauthorized (also after storing) and SpoolFull."""
        setup = set_up(source.platform, source.settings)
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name = setup.kept_headers.get(raw_name)
            if name is not None:
                headers[name] = raw_value.decode("latin-1")[:HEADER_MAX_CHARS]
        if setup.keeps_url:
            # What a proxy in front made of the address does not matter: the checkout signs the one that it was given.
            headers[URL] = self._settings.base_url + scope["path"]
        if setup.platform.is_ping(body, headers):
            self._counts.slots[metrics.HOOKS_PINGS] += 1
            return {"status": "pong"}
        inline_bytes = INLINE_BY_QUERY_BYTES if setup.platform.by_query else INLINE_BYTES
        in_thread = asyncio.get_running_loop().run_in_executor if len(query) + len(body) > inline_bytes else None
        if in_thread is None:
            checked = self._check(source, setup, query, headers, body)
        else:
            checked = await in_thread(self._thread, self._check, source, setup, query, headers, body)
        if checked.reason is not None and not self._may_keep_unsigned(source):
            raise Unauthorized(
                "the signature is wrong; too many such messages have come, this one was not kept", code=checked.reason
            )
        new = random_ids.new_id()
        line = HookLine(
            id=str(new),
            brand_id=source.brand_id,
            source_id=source.id,
            platform=source.platform,
            shop=source.shop,
            signed=checked.reason is None,
            reason=checked.reason or "",
            headers=checked.headers,
            query=checked.query,
            body=checked.body,
            verified_by=checked.verified_by,
        )
        self._spool.append(encode(line) if in_thread is None else await in_thread(self._thread, encode, line))
        await self._spool.synced()
        if checked.reason is not None:
            raise Unauthorized(advise(checked.reason), code=checked.reason)
        self._counts.slots[metrics.HOOKS_STORED] += 1
        return {"id": ids.show("delivery", new), "status": "received"}

    def _check(self, source: CachedSource, setup: Setup, query: str, headers: dict[str, str], body: bytes) -> Checked:
        """Whether the message is the source's, and what is kept of it."""
        query, headers, body = setup.platform.conceal(query, headers, body, setup.settings)
        secrets = [self._unseal(sealed) for sealed in source.secrets]
        now_s = clock.now_ms() / 1000
        given = {**headers, QUERY: query}
        reason = verify(
            source.platform, body=body, headers=given, secrets=secrets, now_s=now_s, settings=setup.settings
        )
        if reason is not None:
            query, body = forget(source.platform, query, headers, body, secrets)
            return Checked(reason, "", query, headers, body)
        verified_by = signer(
            source.platform,
            body=body,
            headers=given,
            sealed=source.secrets,
            secrets=secrets,
            now_s=now_s,
            settings=setup.settings,
        )
        # The proof is kept only while the message is to be checked again.
        headers.pop(PROOF, None)
        return Checked(None, verified_by, query, headers, body)

    def _may_keep_unsigned(self, source: CachedSource) -> bool:
        """Whether the source may store another unsigned message this hour: anybody who knows its token could fill the disk."""
        hour = int(clock.monotonic_s() // HOUR_S)
        began, count = self._unsigned.get(source.id, (hour, 0))
        if began != hour:
            began, count = hour, 0
        self._unsigned[source.id] = began, count + 1
        return count < self._settings.unsigned_cap_rows


def _open(secret: str, sealed: str) -> str:
    try:
        return unseal(secret, sealed)
    except UnsealError:
        log.error("a source's secret was sealed with another secret key: its messages will be refused, and kept")
        return ""
