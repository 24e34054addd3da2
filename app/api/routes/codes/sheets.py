"""Codes as a table."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.auth import Reader, Writer
from app.api.downloads import CSV_FILE, Style, send_csv
from app.api.http import CHANGES, Session, resource
from app.api.routes.codes.codes import Code, NewCode, codes, make_code
from app.api.sheets import (
    ID,
    METADATA,
    Cells,
    Column,
    DryRun,
    Form,
    SheetAnswer,
    SheetRoute,
    columns_of,
    file_body,
    make_each,
    read_whole,
    take,
    text,
    texts,
    whole,
)  # fmt: skip
from app.database.tables import code
from app.domain.codes import normalise

router: APIRouter = resource("codes")


def _read_percent(cell: str, _: Cells) -> dict[str, Any]:
    """`12.5` as a discount. Raises ValueError."""
    if not re.fullmatch(r"\d{1,3}([.,]\d{1,2})?", cell, re.ASCII):
        raise ValueError(f"{cell[:40]!r} is no percentage with at most two decimals")
    whole, _point, part = cell.replace(",", ".").partition(".")
    return {"type": "percent", "value_bp": int(whole) * 100 + int(part.ljust(2, "0") or 0)}


def _read_fixed(cell: str, cells: Cells) -> dict[str, Any]:
    return {"type": "fixed", "amount_minor": read_whole(cell, cells)}


def _write_percent(discount: dict[str, Any]) -> str | None:
    if discount["type"] != "percent":
        return None
    whole, part = divmod(discount["value_bp"], 100)
    return f"{whole}.{part:02}" if part else str(whole)


def _write_fixed(discount: dict[str, Any]) -> int | None:
    return discount["amount_minor"] if discount["type"] == "fixed" else None


FORM = Form(
    NewCode,
    (
        ID, text("external_id"), text("code"), text("collaboration_id"), text("campaign_id"), text("influencer_id"),
        Column("discount_percent", ("discount",), _read_percent, _write_percent, ("discount.value_bp",)),
        Column("discount_minor", ("discount",), _read_fixed, _write_fixed, ("discount.amount_minor",)),
        text("starts_at"), text("ends_at"), whole("max_redemptions"), text("credit_policy"), texts("aliases"), METADATA, Column("status", ("status",), None),
    ),
    keys=("code", "id"),
    stand_ins={"campaign_id": "ext_-", "influencer_id": "ext_-", "collaboration_id": "ext_-"},
)  # fmt: skip


class CodeSheet(SheetRoute):
    """Reads the columns of codes."""

    columns = columns_of(FORM, "code,campaign_id,influencer_id,discount_percent")


sheets: APIRouter = resource("codes", route_class=CodeSheet)


@sheets.post(".csv", responses=CHANGES, openapi_extra=file_body(CodeSheet.columns, "LEA15,ext_serum,ext_lea,15"))
async def upload_codes(caller: Writer, session: Session, request: Request, dry_run: DryRun = False) -> SheetAnswer:
    """Makes up to 1,000 codes from a CSV, all or none; everything that is wrong is told at once, by line and column. The same file again changes nothing.

    A discount as `discount_percent`, `12.5`, or as `discount_minor`, an amount in the campaign's currency. Aliases as `promo_1|promo_2`.
    """

    async def make(body: NewCode, cells: Cells) -> bool:
        if "id" in cells:
            row = await codes.find(session, caller.brand_id, cells["id"])
            named, by = code.c.id == row.id, "id"
        elif body.external_id is not None:
            named, by = code.c.external_id == body.external_id, "external_id"
        else:
            named, by = code.c.code_norm == normalise(body.code or ""), "code"
        _, made = await make_code(session, caller.brand_id, body, named, by=by)
        return made

    return await take(
        session,
        request.state.lines,
        FORM,
        lambda rows, faults: make_each(session, FORM, rows, faults, make),
        dry_run=dry_run,
    )


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_codes(caller: Reader, request: Request, style: Style, include_archived: bool = False) -> Response:
    """All codes as a CSV, newest first, in the columns in which they can be sent in again."""
    return await send_csv(
        request, "codes", codes.listing(caller.brand_id, include_archived), FORM.header, _written, style
    )


def _written(shown: Code) -> dict[str, object]:
    """The cells of a code; the collaboration alone says whose it is."""
    return {**FORM.written(shown), "campaign_id": None, "influencer_id": None}
