"""What can be seen of the source before anything is sent."""

import asyncio
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.platforms.registry import platform_of
from app.secret import UnsealError, unseal
from app.trial.state import CheckResult, Trial

RESOLVE_TIMEOUT_S = 2.0
"""Longest wait for the address of the public host."""


async def in_use(trial: Trial) -> CheckResult:
    """An archived source accepts no messages."""
    expected = "the source is in use"
    if trial.source.archived_at is not None:
        hint = "its address answers 404; bring it back with POST /v1/sources/{id}/unarchive"
        return CheckResult(False, expected, f"archived on {trial.source.archived_at:%Y-%m-%d}", hint)
    return CheckResult(True, expected, "in use")


async def secrets(trial: Trial) -> CheckResult:
    """Opens the stored secrets, for the steps that sign."""
    sealed = trial.source.sealed
    for text in sealed:
        with suppress(UnsealError):
            trial.opened.append(unseal(trial.secret, text))
    expected = "every stored secret can be opened with the service's present key"
    found = f"{len(trial.opened)} of {len(sealed)} can be opened"
    if not sealed and not platform_of(trial.source.platform).is_signed:
        return CheckResult(True, expected, "none is stored: whoever knows the address can report orders")
    if sealed and len(trial.opened) == len(sealed):
        return CheckResult(True, expected, found)
    hint = "they were stored under another ARIANE_SECRET_KEY: restore that key, or send the secrets again with PATCH /v1/sources/{id}"
    return CheckResult(False, expected, found, hint)


async def public_address(trial: Trial) -> CheckResult:
    """A hint at most: whether the outside reaches us cannot be seen from the inside."""
    base_url = trial.settings.base_url
    expected = "the address given to the shop leads to a public host"
    host = urlsplit(base_url).hostname or ""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError):
        hint = "look at ARIANE_PUBLIC_URL and the DNS of that host"
        return CheckResult(None, expected, f"{base_url}: {host} has no address here", hint)
    addresses = sorted({str(answer[4][0]).partition("%")[0] for answer in answers})
    found = f"{base_url} is {', '.join(addresses[:4])}"
    if any(ip_address(address).is_global for address in addresses):
        return CheckResult(True, expected, found)
    hint = "a shop on the internet cannot post there: set ARIANE_PUBLIC_URL to the address the outside reaches this service by"
    return CheckResult(None, expected, f"{found}, which only this network reaches", hint)
