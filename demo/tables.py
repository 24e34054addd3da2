"""The report as tables: what each influencer brought, and what came through each platform."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.compare import read_report
from demo.ledger import Query
from demo.run import Run

COLUMNS = {
    "clicks": "clicks",
    "unique_clicks": "unique",
    "conversions": "orders",
    "gross_minor": "gross",
    "refunds_minor": "refunds",
    "net_minor": "net",
    "cost_minor": "cost",
    "roi": "roi",
}
SHOP_COLUMNS = ("conversions", "gross_minor", "refunds_minor", "net_minor")


async def show_influencers(run: Run, console: Console) -> None:
    """The report by influencer."""
    answer = await read_report(run, Query(("influencer",)))
    table = _table(f"The launch day, in {answer['currency']}", "influencer", *COLUMNS.values())
    for row in sorted(answer["rows"], key=lambda row: -row["net_minor"]):
        name = str((row["key"]["influencer"] or {}).get("name"))
        table.add_row(name, *(_cell(column, row.get(column), decimals=0) for column in COLUMNS))
    table.add_section()
    for name in ("totals", "unattributed", "all_orders"):
        table.add_row(
            name.replace("_", " "), *(_cell(column, answer[name].get(column), decimals=0) for column in COLUMNS)
        )
    console.print(table)


async def show_shops(run: Run, shops: dict[str, str], console: Console) -> None:
    """All orders of each shop, attributed or not. shops: by name, what each is connected by."""
    table = _table("Through each platform, all orders", "shop", "by", *(COLUMNS[name] for name in SHOP_COLUMNS))
    for shop, platform in shops.items():
        answer = await read_report(run, Query(shop=shop))
        table.add_row(shop, platform, *(_cell(name, answer["all_orders"][name]) for name in SHOP_COLUMNS))
    table.add_section()
    whole = await read_report(run, Query())
    table.add_row("all", "", *(_cell(name, whole["all_orders"][name]) for name in SHOP_COLUMNS))
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(columns):
        is_text = not number or column == "by"
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    return table


def _cell(name: str, value: Any, *, decimals: int = 2) -> str:
    if value is None:
        return "–"
    if name.endswith("_minor"):
        return f"{value / 100:,.{decimals}f}"
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
