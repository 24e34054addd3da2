"""Reports as CSV for spreadsheets: the figures of the JSON, one line for everything that has figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import Request, Response

from app.api.fields import rfc3339
from app.domain import ids
from app.domain.csv_files import BYTE_ORDER_MARK, csv_row
from app.domain.kpi import METRICS, Figures, shown
from app.domain.periods import Period
from app.reports.missed import Missed
from app.reports.names import Named
from app.reports.question import ENTITIES
from app.reports.summary import MODEL, Summary

FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "UTF-8 with a byte order mark, as spreadsheets want it.", "content": {"text/csv": {}}}
}
"""OpenAPI response of a report that is a file."""
EITHER: dict[int | str, dict[str, Any]] = {
    200: {"description": "As CSV when `Accept` asks for `text/csv`.", "content": {"text/csv": {}}}
}
"""OpenAPI response of a report that is JSON or a file, by `Accept`."""
VARY = {"Vary": "Accept"}

_METRICS = tuple(metric.name for metric in METRICS)
_ABOUT = ("from", "to", "tz", "model", "refunds_by", "as_of", "complete_until")
_OF_ENTITY = ("id", "name", "external_id", "archived")


def asks_for_csv(request: Request) -> bool:
    """Whether `Accept` asks for CSV, and not for JSON too."""
    wanted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return "text/csv" in wanted and "application/json" not in wanted


def answer_file(name: str, period: Period, content: bytes) -> Response:
    """A file named after its period."""
    start, end = (f"{edge.astimezone(period.zone):%Y-%m-%d}" for edge in (period.start, period.end))
    headers = {"Content-Disposition": f'attachment; filename="{name}_{start}_{end}.csv"', **VARY}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


def write_missed(rows: Sequence[Missed]) -> bytes:
    """A line for each row of the report on requests that led nowhere."""
    lines = (csv_row((row.day.isoformat(), row.host, row.slug, row.reason, row.hits)) for row in rows)
    return b"".join((BYTE_ORDER_MARK, csv_row(("day", "host", "slug", "reason", "hits")), *lines))


def write_summary(summary: Summary) -> bytes:
    """A line for each row and each sum, told apart by `row_type`: row + unsplit = totals, and totals + unattributed = all_orders.

    A null is empty, with its reason in `reasons`. The period and the like stand on every line, because people paste files of several months
    under each other.
    """
    keys = [name for group in summary.question.group_by for name in _key_columns(group)]
    header = ("row_type", *keys, "currency", *_METRICS, "coverage", "reasons", *_ABOUT)
    period = summary.question.period
    until = None if summary.complete_until is None else rfc3339(summary.complete_until)
    edges = (rfc3339(period.start), rfc3339(period.end), period.zone.key)
    about = (*edges, MODEL, summary.question.refunds_by, rfc3339(summary.as_of), until)
    lines = (
        csv_row((kind, *(key or ("",) * len(keys)), currency, *map(values.get, (*_METRICS, "coverage")), why, *about))
        for kind, key, currency, values, why in _lines(summary)
    )
    return b"".join((BYTE_ORDER_MARK, csv_row(header), *lines))


def _key_columns(group: str) -> tuple[str, ...]:
    return tuple(f"{group}_{each}" for each in _OF_ENTITY) if group in ENTITIES else (group,)


def _key_values(group: str, part: Named | str) -> tuple[object, ...]:
    if isinstance(part, str):
        return (part,)
    return None if part.id is None else ids.show(group, part.id), part.name, part.external_id, part.archived


Line = tuple[str, Sequence[object], str, Mapping[str, object], str]
"""Kind of line, values of its key (none: no row of a group), currency, figures, and why some are missing."""


def _lines(summary: Summary) -> Iterator[Line]:
    currency = summary.question.currency

    def line(kind: str, figures: Figures, *key: object) -> Line:
        reasons = (f"{name}: {reason}" for name, reason in figures.reasons.items())
        return kind, key, currency, figures.values, "; ".join(reasons)

    for row in summary.rows:
        key = (value for group, part in row.key.items() for value in _key_values(group, part))
        yield line("row", row.figures, *key)
    if summary.unsplit:
        details = dict.fromkeys(each.detail for each in summary.unsplit)
        yield "unsplit", (), currency, {each.metric: each.value for each in summary.unsplit}, "; ".join(details)
    yield line("totals", summary.totals)
    yield line("unattributed", summary.unattributed)
    yield line("all_orders", summary.all_orders)
    for other in summary.unconverted:
        sums = {name: getattr(other, name) for name in ("gross_minor", "refunds_minor", "cost_minor")}
        yield "unconverted", (), other.currency, {**sums, "conversions": shown(other.conversions, "count")}, ""
