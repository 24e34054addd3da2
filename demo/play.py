"""Runs the launch day against a service, waits until everything is counted, shows the report, and compares every figure with the books."""

import asyncio
import random
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo import clock
from demo.brand_setup import COUNTER, set_up
from demo.clicks import send_clicks
from demo.compare import DIFFERENCES_SHOWN_MAX, await_report, compare_all, find_orders
from demo.ledger import Ledger
from demo.orders import send_orders
from demo.run import CONCURRENCY, Run
from demo.simulator.checkouts import SHOPS
from demo.tables import show_influencers, show_shops
from demo.target import Target, find_or_start

ZONE = "Europe/Paris"
TIMEOUT_S = 20.0


def play(base_url: str, environment: Mapping[str, str], *, clicks: int, orders: int, seed: int) -> int:
    """Plays the day against the service there, or against one of its own; the number of figures that differ from the books."""
    with find_or_start(Target(base_url, environment)) as target:
        return asyncio.run(_play(target, clicks, orders, seed, Console()))


async def _play(target: Target, clicks: int, orders: int, seed: int, console: Console) -> int:
    limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    secret_key = target.make_secret_key()
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client:
        run = Run(
            client=client,
            base_url=target.base_url,
            secret_key=secret_key,
            rng=random.Random(seed),  # noqa: S311 a scenario, not a secret
            ledger=Ledger("EUR", ZoneInfo(ZONE)),
            now=clock.now(),
        )
        with _progress(console) as progress:
            await set_up(run, progress)
            await send_clicks(run, clicks, progress)
            await send_orders(run, orders, progress)
            await await_report(run, progress)
        shops = {shop.name: str(shop.settings.get("preset", shop.platform)) for shop in SHOPS} | {COUNTER: "server"}
        await show_influencers(run, console)
        await show_shops(run, shops, console)
        with _progress(console) as progress:
            differences, compared = await compare_all(run, shops, progress)
            orders_found = await find_orders(run) if differences else []
    for difference in (*orders_found, *differences)[:DIFFERENCES_SHOWN_MAX]:
        console.print(f"[red]{difference}[/red]", highlight=False)
    console.print(f"{run.forged_pixels:,} forged pixels ran beside the day", highlight=False)
    verdict = f"{compared:,} figures compared, {len(differences)} differences"
    console.print(verdict, style="bold red" if differences else "bold green", highlight=False)
    return len(differences)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
