"""How much one publishable key, and one network, may report: anybody who reads a shop's page has its key, and may fill the spool of everybody with it.

The limits lie far above a launch day. Over one of them landings go first, as they only help to find an order's click: they are not recorded. Orders are,
as long as the spool is less than half full; from then on each brand has a share of it. The brand is told by a refused delivery once a minute.

In memory and per web worker, as nothing on the way of a hit may ask a database. Bounded: whoever sends from very many networks makes room for himself only
in the limit by network, and runs into the one of the key.
"""

import asyncio
import logging
import re
from contextlib import suppress

from app import clock, random_ids
from app.directory.cache import PixelKey
from app.settings import Settings
from app.spool.records import PixelLine, encode
from app.spool.writer import Spool, SpoolFull
from app.tracking.trusted_proxies import Proxies

BURST_S = 60.0
"""A limit is per minute, and a minute's worth may come at once."""
REMEMBERED_MAX = 50_000
"""Keys, and networks, whose rate is known at a time; beyond it the one that was seen first is forgotten."""
TOLD_EVERY_S = 60.0
BRAND_SHARE = 0.05
"""Share of the spool's cap that one brand's hits over a limit may fill, by each web worker, from the moment at which the spool is half full."""

LOOPBACK = frozenset({"127.0.0.0", "::"})
"""This machine's own networks, as they are truncated."""
LANDING = re.compile(rb"""event(?:=|"\s*:\s*")land(?:&|"|$)""")

log = logging.getLogger("ariane.doors")


class Rate:
    """A limit per minute for each of many callers (the generic cell rate algorithm: one number a caller). per_minute: 0 for no limit."""

    def __init__(self, per_minute: int) -> None:
        self._interval_s = 60.0 / per_minute if per_minute else 0.0
        # Until when each caller has used up what it may.
        self._until_s: dict[str, float] = {}

    def takes(self, caller: str, now_s: float) -> bool:
        """Count one, if it is within the limit."""
        if not self._interval_s:
            return True
        until_s = max(self._until_s.get(caller, 0.0), now_s) + self._interval_s
        if until_s - now_s > BURST_S:
            return False
        if caller not in self._until_s and len(self._until_s) >= REMEMBERED_MAX:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[caller] = until_s
        return True


class PixelLimits:
    """The limits of one worker's pixel and beacon."""

    def __init__(self, settings: Settings, spool: Spool, proxies: Proxies) -> None:
        self._spool = spool
        self._untrusted = proxies.untrusted
        self._of_key, self._of_network = Rate(settings.pixel_key_per_minute), Rate(settings.pixel_network_per_minute)
        self._share_bytes = int(settings.spool_cap_bytes * BRAND_SHARE)
        self._filled_bytes: dict[str, int] = {}
        # By key: what was not recorded since the brand was told last.
        self._turned_away: dict[str, tuple[PixelKey, int, int]] = {}
        self._telling: asyncio.TimerHandle | None = None

    def is_over(self, key: PixelKey | None, network: str) -> bool:
        """Count a hit, and say whether it is over a limit. key: None for one that nobody has; all of these are counted as one."""
        now_s = clock.monotonic_s()
        of_key = self._of_key.takes(key.id if key else "", now_s)
        # Behind a proxy that is not trusted, and by programs of this machine, all visitors come from one network.
        if not network or network in LOOPBACK or self._untrusted.peer:
            return not of_key
        return not (self._of_network.takes(network, now_s) and of_key)

    def has_room(self, key: PixelKey | None, size_bytes: int) -> bool:
        """Whether a hit over a limit that is no landing may be recorded."""
        if not self._spool.is_half_full:
            self._filled_bytes.clear()
            return True
        brand_id = key.brand_id if key else ""
        filled_bytes = self._filled_bytes.get(brand_id, 0) + size_bytes
        if filled_bytes > self._share_bytes:
            return False
        self._filled_bytes[brand_id] = filled_bytes
        return True

    def turn_away(self, key: PixelKey | None, *, is_landing: bool) -> None:
        """Note a hit that is not recorded, for its brand to be told."""
        if key is None:
            return
        _, landings, others = self._turned_away.get(key.id, (key, 0, 0))
        self._turned_away[key.id] = key, landings + is_landing, others + (not is_landing)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TOLD_EVERY_S, self.tell)

    def tell(self) -> None:
        """Record, for each brand, what was turned away: the background process makes a refused delivery of it."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        turned_away, self._turned_away = self._turned_away, {}
        for key, landings, others in turned_away.values():
            log.warning(
                "the publishable key %s is over a limit: %d landings and %d others were not recorded",
                key.id,
                landings,
                others,
            )
            body = b"over_limit=%d+landings,+%d+others" % (landings, others)
            line = PixelLine(str(random_ids.new_id()), key.brand_id, key.id, key.shop, "pixel", "", body)
            with suppress(SpoolFull):  # it was logged
                self._spool.append(encode(line))


def is_landing(body: bytes) -> bool:
    """Whether a hit is a landing, judged by its bytes: only hits over a limit are asked about."""
    return LANDING.search(body) is not None
