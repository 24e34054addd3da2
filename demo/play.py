"""Plays the launch day against a running service, waits until it has all been counted, shows it, and compares every figure with the books."""

import random
from zoneinfo import ZoneInfo

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app import clock
from demo.clicks import send_clicks
from demo.compare import NAMED_DIFFERENCES, compare_all, find_orders, settle
from demo.ledger import Ledger
from demo.orders import send_orders
from demo.performance import CONCURRENCY, Performance
from demo.setting import COUNTER, SHOPS, set_up
from demo.tables import show_influencers, show_shops

ZONE = "Europe/Paris"
TIMEOUT_S = 20.0


async def play(base_url: str, secret_key: str, *, clicks: int, orders: int, seed: int, console: Console) -> int:
    """Plays the whole day; the number of figures that differ from the books."""
    limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client:
        show = Performance(
            client=client,
            base_url=base_url.rstrip("/"),
            secret_key=secret_key,
            chance=random.Random(seed),  # noqa: S311 a story, not a secret
            ledger=Ledger("EUR", ZoneInfo(ZONE)),
            now=clock.now(),
        )
        with _progress(console) as progress:
            await set_up(show, progress)
            await send_clicks(show, clicks, progress)
            await send_orders(show, orders, progress)
            await settle(show, progress)
        shops = {shop.name: str(shop.settings.get("preset", shop.platform)) for shop in SHOPS} | {COUNTER: "server"}
        await show_influencers(show, console)
        await show_shops(show, shops, console)
        with _progress(console) as progress:
            differences, compared = await compare_all(show, shops, progress)
            named = await find_orders(show) if differences else []
    for difference in (*named, *differences)[:NAMED_DIFFERENCES]:
        console.print(f"[red]{difference}[/red]", highlight=False)
    verdict = f"{compared:,} figures compared, {len(differences)} differences"
    console.print(verdict, style="bold red" if differences else "bold green", highlight=False)
    return len(differences)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
