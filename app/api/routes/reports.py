"""Reports: what campaigns, influencers, links and codes earned, cost and returned."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Reader
from app.api.currencies import KNOWS_CURRENCIES, Currency
from app.api.downloads import CSV, CSV_FILE, Amounts, DecimalMark, Separator, money_style
from app.api.fields import Moment, rfc3339
from app.api.http import FOUND, ReportsSession, Settings, resource
from app.api.problems import no_such
from app.api.rows import resolve
from app.database.tables import MISSED_REASONS, campaign, code, collaboration, influencer, link, missed_day
from app.domain import ids
from app.domain.csv_files import CsvStyle, csv_header, csv_line
from app.domain.kpi import DEFINITION_VERSION, METRICS, ORDER_METRICS, Figures, Metric
from app.domain.orders import ORIGINS
from app.domain.periods import DEFAULT_DAYS, TIME_UNITS, Period, read_moment, read_period, read_zone
from app.errors import FieldError, Invalid, NotFound
from app.reports.assembly import Summary
from app.reports.names import Named
from app.reports.question import ENTITIES, GROUPS, GROUPS_MAX, Filters, Question
from app.reports.statements import ROWS_MAX, fetch, in_days, is_one_of
from app.reports.summary import MODEL, one_moment, read_basics, summarise
from app.settings import Settings as AllSettings

router: APIRouter = resource("reports")

FILTERS_MAX = 100
TEXT_MAX = 205
"""`ext_` and an external id."""
FILTERED = {f"{table.name}_id": table for table in (influencer, campaign, collaboration, link, code)}
"""Filters that name rows, with their tables."""

_JSON = msgspec.json.Encoder(decimal_format="number")


EITHER: dict[int | str, dict[str, Any]] = {
    200: {**CSV_FILE[200], "description": "As CSV when `Accept` asks for `text/csv`."}
}
VARY = {"Vary": "Accept"}
OF_CSV = {"separator", "decimal", "amounts"}
"""Parameters that say how a file is written."""


# ── The parameters ────────────────────────────────────────────────────────────────────────────────────────────────────


def _moment(text: str) -> str:
    # Which midnight a date means depends on the zone; whether it is a date does not.
    read_moment(text, ZoneInfo("UTC"))
    return text


def _zone(name: str) -> str:
    return read_zone(name).key


def _words(values: object) -> object:
    """The values, each of which may hold several separated by commas."""
    if not isinstance(values, list):
        return values
    return [part.strip() for value in values for part in str(value).split(",")]


def _one_of(values: list[str], choices: Sequence[str]) -> list[str]:
    for value in values:
        if value not in choices:
            raise ValueError(f"{value[:80]!r} is none of {', '.join(choices)}")
    return values


def _groups(groups: list[str]) -> list[str]:
    _one_of(groups, GROUPS)
    if len(groups) > GROUPS_MAX:
        raise ValueError(f"holds more than {GROUPS_MAX} groups")
    if len(set(groups)) < len(groups):
        raise ValueError("names one group twice")
    if sum(group in TIME_UNITS for group in groups) > 1:
        raise ValueError("holds two units of time; choose one of day, week, month")
    return groups


def _texts(values: list[str]) -> list[str]:
    # Checked as a list: an error within an item would name the item's number, not the parameter.
    if len(values) > FILTERS_MAX:
        raise ValueError(f"holds more than {FILTERS_MAX} values")
    for value in values:
        if not value or len(value) > TEXT_MAX or not value.isprintable():
            raise ValueError(f"holds a value that is empty, longer than {TEXT_MAX} characters or not printable")
    return values


Texts = Annotated[list[str], BeforeValidator(_words), AfterValidator(_texts)]
Edge = Annotated[str, Field(max_length=64), AfterValidator(_moment)]

_FROM = f"First moment, RFC 3339, or a date: its midnight in `tz`. {DEFAULT_DAYS} days before `to` by default."
_TO = "Moment after the last one: ranges are half-open. A date: its midnight in `tz`, so the day itself is not in it. The end of today by default."


class Range(BaseModel):
    """Parameters of every report. Unknown ones are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    since: Edge | None = Field(None, alias="from", description=_FROM, examples=["2026-11-01"])
    to: Edge | None = Field(None, description=_TO, examples=["2026-12-01"])


class SummaryQuery(Range):
    """Parameters of the summary."""

    tz: Annotated[str, Field(max_length=64), AfterValidator(_zone)] | None = Field(
        None,
        description="IANA time zone that dates, days, weeks and months are meant in. The brand's by default.",
        examples=["Europe/Paris"],
    )
    currency: Currency | None = Field(
        None,
        description="ISO 4217, or one that the brand has declared; amounts in others are listed under `unconverted`.",
    )
    model: Literal["policy"] = Field("policy", description="`policy`: credits as each order's own policy gives them.")
    refunds_by: Literal["event", "order"] = Field(
        "event",
        description="When a refund counts: `event`, at its own date, as the books of a month do; `order`, at the date of its order (cohort), so that each "
        "day's orders show what is left of them.",
    )
    group_by: Annotated[list[str], BeforeValidator(_words), AfterValidator(_groups)] = Field(
        [],
        description=f"At most {GROUPS_MAX} of {', '.join(GROUPS)}, at most one of them of time; repeated or separated by commas.",
        examples=[["influencer", "day"]],
    )
    influencer_id: Texts = Field([], description="Only these; our ids, or `ext_` and yours.")
    campaign_id: Texts = Field([], description="Only these.")
    collaboration_id: Texts = Field([], description="Only these.")
    link_id: Texts = Field([], description="Only these. Costs are null then: no link has any.")
    code_id: Texts = Field([], description="Only these. Costs and clicks are null then: no code has any.")
    shop: Texts = Field([], description="Only orders of these shops. Costs and clicks are null then.")
    kind: Texts = Field([], description="Only conversions of these kinds, such as `sale` or `lead`.")
    origin: Annotated[list[str], BeforeValidator(_words), AfterValidator(partial(_one_of, choices=ORIGINS))] = Field(
        [], description=f"Only orders of these origins: {', '.join(ORIGINS)}. Costs and clicks are null then."
    )
    separator: Separator = ","
    decimal: DecimalMark = "."
    amounts: Amounts = "minor"


class MissedQuery(Range):
    """Parameters of the report on requests that led nowhere."""

    separator: Separator = ","

    reason: Annotated[list[str], BeforeValidator(_words), AfterValidator(partial(_one_of, choices=MISSED_REASONS))] = (
        Field([], description=f"Only these: {', '.join(MISSED_REASONS)}.")
    )


# ── The shapes of answers, which msgspec writes, exactly ─────────────────────────────────────────


def _field(metric: Metric) -> tuple[Any, Any]:
    kind = float if metric.unit == "ratio" or metric.name in ("conversions", "orders") else int
    unit = {"minor": "minor units", "ratio": "fraction", "count": "count"}[metric.unit]
    return kind | None, Field(description=f"{metric.formula}. Unit: {unit}. Definition: {metric.source}.")


class Reasoned(BaseModel):
    """Figures, and for each one that is null the reason."""

    reasons: dict[str, str] = Field(
        description="By name of each figure that is null: no_clicks, no_cost, no_conversions, no_orders, unsplittable, filtered."
    )


_ALL: dict[str, Any] = {metric.name: _field(metric) for metric in METRICS}
_OF_ORDERS: dict[str, Any] = {name: field for name, field in _ALL.items() if name in ORDER_METRICS}
SummaryTotals = create_model(
    "SummaryTotals", __base__=Reasoned, __doc__="Everything that is credited to somebody.", **_ALL
)
OrderTotals = create_model("OrderTotals", __base__=Reasoned, __doc__="Figures of orders alone.", **_OF_ORDERS)


class ReportEntity(BaseModel):
    """What a row is about. `id` null and `name` "(unknown)": what has none."""

    id: str | None
    name: str = Field(description="A link's slug; for a collaboration the names of both sides.")
    external_id: str | None
    archived: bool


class ReportKey(BaseModel):
    """A row's place: one field for each group asked for."""

    influencer: ReportEntity | None = None
    campaign: ReportEntity | None = None
    collaboration: ReportEntity | None = None
    link: ReportEntity | None = None
    code: ReportEntity | None = None
    day: str | None = Field(None, examples=["2026-11-22"])
    week: str | None = Field(None, description="Its Monday.", examples=["2026-11-16"])
    month: str | None = Field(None, examples=["2026-11"])


class SummaryRow(SummaryTotals):  # type: ignore[valid-type,misc]
    """One row: its key, the figures, and the reasons of those that are null."""

    key: ReportKey


class AllOrdersTotals(OrderTotals):  # type: ignore[valid-type,misc]
    """totals + unattributed."""

    coverage: float | None = Field(
        description="Attributed conversions / all conversions. Null under a filter that only attribution can answer."
    )


class UnsplitFigure(BaseModel):
    """A figure of the totals that no row can take: rows + unsplit = totals."""

    metric: str
    value: int
    reason: Literal["unsplittable"]
    detail: str


class UnconvertedAmounts(BaseModel):
    """Sums in another currency, which are in no figure of the report."""

    currency: str
    conversions: float
    gross_minor: int
    refunds_minor: int
    cost_minor: int


class UnsignedAmounts(BaseModel):
    """What of everything attributed rests on unsigned signals: a code, click or visitor that only pixels name (docs/trust.md)."""

    currency: str
    conversions: float
    net_minor: int = Field(description="Less refunds, as `net_minor` of the totals.")


class HeldBack(BaseModel):
    """What is not counted yet, the oldest of it."""

    what: Literal["host", "visitors", "deliveries", "orders"] = Field(
        description="The spool of a machine, visitors of recorded clicks, messages of shops, or orders to be decided again."
    )
    host: str | None = Field(description="The machine, as `ariane hosts list` names it; null for the rest.")


class SummaryReport(BaseModel):
    """A report. rows + unsplit = totals, and totals + unattributed = all_orders, to the minor unit."""

    as_of: Moment
    complete_until: Moment | None = Field(
        description="Everything received before is counted; null while nothing was drained yet."
    )
    held_back_by: HeldBack | None = Field(
        description="What keeps `complete_until` from being newer, when it lies more than 10 s back; else null."
    )
    since: Moment = Field(alias="from")
    to: Moment
    tz: str
    currency: str
    model: str
    refunds_by: Literal["event", "order"]
    definition_version: str = Field(description="Changes when a formula changes.")
    group_by: list[str]
    filters: dict[str, list[str]]
    rows: list[SummaryRow]
    totals: SummaryTotals  # type: ignore[valid-type]
    unattributed: OrderTotals  # type: ignore[valid-type]
    all_orders: AllOrdersTotals
    unsplit: list[UnsplitFigure]
    unconverted: list[UnconvertedAmounts]
    unsigned: list[UnsignedAmounts] = Field(
        description="By currency, without those in which nothing rests on unsigned signals. That of the report is part of `totals`, others of "
        "`unconverted`."
    )


class MissedHits(BaseModel):
    """Hits of one slug on one day of the brand's zone."""

    day: date
    host: str = Field(description="`*`: the shared host.")
    slug: str = Field(description="`(other)`: slugs past the number that is told apart per host and day.")
    reason: Literal["unknown_slug", "expired", "disabled"]
    hits: int


class MissedReport(BaseModel):
    """Requests that led nowhere, latest day first."""

    since: Moment = Field(alias="from")
    to: Moment
    tz: str
    hits: int
    rows: list[MissedHits]


# ── The operations ───────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/summary", response_model=SummaryReport, responses={**EITHER, **FOUND}, dependencies=[KNOWS_CURRENCIES])
async def read_summary(
    caller: Reader,
    session: ReportsSession,
    settings: Settings,
    request: Request,
    query: Annotated[SummaryQuery, Query()],
) -> Response:
    """Clicks, orders, revenue, refunds, costs and the KPIs made of them, in one currency and one time zone.

    Orders count by their own date, refunds by theirs (or, as asked, by that of their order), costs by the day they were incurred on. Ratios are
    ratios of sums, as fractions; what cannot be divided is null, with the reason. `unattributed` holds the orders that nobody is credited with.
    Rows are there for what has something to tell in the range; days, weeks and months on their own are all there.
    """
    style = await _style_of(request, query) if _is_csv(request, query) else None
    return await _answer_summary(session, settings, caller.brand_id, query, style)


@router.get("/summary.csv", responses={**CSV_FILE, **FOUND}, response_class=Response, dependencies=[KNOWS_CURRENCIES])
async def download_summary(
    caller: Reader,
    session: ReportsSession,
    settings: Settings,
    request: Request,
    query: Annotated[SummaryQuery, Query()],
) -> Response:
    """The summary as a file for a spreadsheet. `row_type`: `row`, and below the rows `unsplit`, `totals`, `unattributed`, `all_orders`,
    `unconverted`, `unsigned`.

    A name that a spreadsheet would run as a formula begins with an apostrophe.
    """
    return await _answer_summary(session, settings, caller.brand_id, query, await _style_of(request, query))


@router.get("/missed", response_model=MissedReport, responses=EITHER)
async def read_missed(
    caller: Reader, session: ReportsSession, request: Request, query: Annotated[MissedQuery, Query()]
) -> Response:
    """Requests that led nowhere: unknown slugs of your own hosts, expired and disabled links, per day of the brand's time zone."""
    style = CsvStyle(query.separator) if _is_csv(request, query) else None
    return await _answer_missed(session, caller.brand_id, query, style)


@router.get("/missed.csv", responses=CSV_FILE, response_class=Response)
async def download_missed(caller: Reader, session: ReportsSession, query: Annotated[MissedQuery, Query()]) -> Response:
    """The missed clicks as a file for a spreadsheet."""
    return await _answer_missed(session, caller.brand_id, query, CsvStyle(query.separator))


async def _answer_summary(
    session: AsyncConnection, settings: AllSettings, brand_id: UUID, query: SummaryQuery, style: CsvStyle | None
) -> Response:
    async with one_moment(session):
        currency, zone = await read_basics(session, brand_id)
        period = _period(query, read_zone(query.tz) if query.tz else zone)
        filters = await _filters(session, brand_id, query)
        question = Question(period, query.currency or currency, tuple(query.group_by), filters, query.refunds_by)
        summary = await summarise(
            session, brand_id, zone, question, as_of=clock.now(), click_days=settings.click_retention_days
        )

    def write() -> Response:
        report = _shown(summary)
        if style is None:
            return _respond_json(report)
        columns = _columns(report["group_by"])
        lines = (csv_line(line, columns, style) for line in _lines(report, style))
        return _respond_csv("summary", period, csv_header(columns, style), lines)

    return await asyncio.to_thread(write)


async def _answer_missed(
    session: AsyncConnection, brand_id: UUID, query: MissedQuery, style: CsvStyle | None
) -> Response:
    columns = ("day", "host", "slug", "reason", "hits")
    day, host, slug, reason, hits = (missed_day.c[name] for name in columns)
    async with one_moment(session):
        _, zone = await read_basics(session, brand_id)
        period = _period(query, zone)
        conditions = [missed_day.c.brand_id == brand_id, *in_days(day, period)]
        if query.reason:
            conditions.append(is_one_of(reason, query.reason))
        order = (day.desc(), hits.desc(), host, slug, reason)
        listed = select(day, host, slug, reason, hits).where(*conditions).order_by(*order).limit(ROWS_MAX + 1)
        rows = [row._asdict() for row in await fetch(session, listed)]
    if style is None:
        return _respond_json({**_range(period), "hits": sum(row["hits"] for row in rows), "rows": rows})
    lines = (csv_line(row, columns, style) for row in rows)
    return _respond_csv("missed", period, csv_header(columns, style), lines)


def _period(query: Range, zone: ZoneInfo) -> Period:
    period, faults = read_period(query.since, query.to, zone, clock.now())
    if period is None:
        raise Invalid.at(*(FieldError(name, reason, "invalid") for name, reason in faults.items()))
    return period


async def _filters(connection: AsyncConnection, brand_id: UUID, query: SummaryQuery) -> Filters:
    """The filters with their ids read; NotFound names every one that leads nowhere. Archived rows are found: their history stays."""
    found: dict[str, tuple[UUID, ...]] = {}
    faults: list[FieldError] = []
    for name, table in FILTERED.items():
        wanted: list[str] = getattr(query, name)
        rows = await resolve(connection, table, brand_id, wanted)
        unknown = [each for each in wanted if each not in rows]
        faults += [FieldError(name, no_such(table.name, each), f"{table.name}_not_found") for each in unknown]
        found[name] = tuple(rows[each].id for each in wanted if each in rows)
    if faults:
        raise NotFound.at(*faults)
    return Filters(**found, shop=tuple(query.shop), kind=tuple(query.kind), origin=tuple(query.origin))


# ── How it is shown ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _style_of(request: Request, query: SummaryQuery) -> CsvStyle:
    return await money_style(request, query.separator, query.decimal, query.amounts)


def _is_csv(request: Request, query: Range) -> bool:
    """Whether `Accept` asks for CSV, and not for JSON too. Raises Invalid for JSON with a parameter of CSV, which would be ignored."""
    wanted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    is_csv = "text/csv" in wanted and "application/json" not in wanted
    for name in OF_CSV & type(query).model_fields.keys():
        # The default itself is no wish: /docs sends every default that there is.
        if not is_csv and getattr(query, name) != type(query).model_fields[name].default:
            raise Invalid.field(name, "is for CSV: ask at the address with .csv, or with Accept: text/csv")
    return is_csv


def _respond_json(report: Mapping[str, Any]) -> Response:
    return Response(_JSON.encode(report), media_type="application/json", headers=VARY)


def _respond_csv(name: str, period: Period, header: bytes, lines: Iterable[bytes]) -> Response:
    """The lines as a file named after its period."""
    start, end = (f"{edge.astimezone(period.zone):%Y-%m-%d}" for edge in (period.start, period.end))
    headers = {**VARY, "Content-Disposition": f'attachment; filename="{name}_{start}_{end}.csv"'}
    return Response(b"".join((header, *lines)), media_type=CSV, headers=headers)


def _range(period: Period) -> dict[str, str]:
    return {"from": rfc3339(period.start), "to": rfc3339(period.end), "tz": period.zone.key}


def _shown(summary: Summary) -> dict[str, Any]:
    question, completeness = summary.question, summary.completeness
    held = completeness.held_back_by
    filters = asdict(question.filters)
    for name, table in FILTERED.items():
        filters[name] = [ids.show(table.name, each) for each in filters[name]]
    return {
        "as_of": rfc3339(summary.as_of),
        "complete_until": None if completeness.until is None else rfc3339(completeness.until),
        "held_back_by": held and {"what": held.what, "host": held.host},
        **_range(question.period),
        "currency": question.currency,
        "model": MODEL,
        "refunds_by": question.refunds_by,
        "definition_version": DEFINITION_VERSION,
        "group_by": question.group_by,
        "filters": {name: values for name, values in filters.items() if values},
        "rows": [
            {"key": {group: _part(group, part) for group, part in row.key.items()}, **_figures(row.figures)}
            for row in summary.rows
        ],
        "totals": _figures(summary.totals),
        "unattributed": _figures(summary.unattributed),
        "all_orders": _figures(summary.all_orders),
        "unsplit": [asdict(part) for part in summary.unsplit],
        "unconverted": [asdict(each) for each in summary.unconverted],
        "unsigned": [asdict(each) for each in summary.unsigned],
    }


def _figures(figures: Figures) -> Mapping[str, Any]:
    return {**figures.values, "reasons": figures.reasons}


def _part(group: str, part: Named | str) -> Any:
    if isinstance(part, str):
        return part
    return {**asdict(part), "id": None if part.id is None else ids.show(group, part.id)}


_ENTITY_COLUMNS = {group: [f"{group}_{name}" for name in ReportEntity.model_fields] for group in ENTITIES}
_ABOUT = ("from", "to", "tz", "model", "refunds_by", "as_of", "complete_until")


def _columns(group_by: Sequence[str]) -> tuple[str, ...]:
    """The columns of a summary's file: what a line is, a group in one column or four, the figures, and what was asked."""
    keys = [name for group in group_by for name in _ENTITY_COLUMNS.get(group, [group])]
    return ("row_type", *keys, "currency", *_ALL, "coverage", "reasons", *_ABOUT)


def _lines(report: Mapping[str, Any], style: CsvStyle) -> Iterator[Mapping[str, object]]:
    """A line for each row of a summary and each sum: row + unsplit = totals, and totals + unattributed = all_orders.

    A null is empty, with its reason in `reasons`. The period and the like stand on every line, because people paste files of several months
    under each other.
    """

    def line(kind: str, figures: Mapping[str, Any], reasons: Iterable[str] = ()) -> Mapping[str, object]:
        return {**report, **figures, "row_type": kind, "reasons": "; ".join(reasons)}

    def reasons_of(figures: Mapping[str, Any]) -> Iterable[str]:
        return (f"{style.column(name)}: {reason}" for name, reason in figures["reasons"].items())

    for row in report["rows"]:
        keys = [name for group in row["key"] for name in _ENTITY_COLUMNS.get(group, [group])]
        parts = [part.values() if group in _ENTITY_COLUMNS else [part] for group, part in row["key"].items()]
        yield line("row", {**row, **dict(zip(keys, chain(*parts), strict=True))}, reasons_of(row))
    if report["unsplit"]:
        details = dict.fromkeys(part["detail"] for part in report["unsplit"])
        yield line("unsplit", {part["metric"]: part["value"] for part in report["unsplit"]}, details)
    for kind in ("totals", "unattributed", "all_orders"):
        yield line(kind, report[kind], reasons_of(report[kind]))
    for other in report["unconverted"]:
        yield line("unconverted", other)
    for part in report["unsigned"]:
        yield line("unsigned", part)
