"""Mappings: what a source would read in a message, tried without keeping anything."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.fields import Given, Word
from app.api.http import BODY, Session, resource
from app.api.orders import show_parsed
from app.api.routes.sources.samples import Sample, SampleHeaders, check_settings, read_sample
from app.api.routes.sources.settings import SourceSettings, refuse_foreign, refuse_unknown_preset
from app.platforms.registry import MAPPED

router: APIRouter = resource("mappings")


class MappingTrial(Given):
    """A message and the settings of a generic source."""

    settings: SourceSettings = Field(
        default_factory=lambda: SourceSettings(),
        description="With `preset` or `mapping`; without either, our own words.",
    )
    sample: Sample
    headers: SampleHeaders = Field(default_factory=dict)
    shop: Word = "main"


class Unfound(BaseModel):
    """A field of the mapping that said nothing."""

    field: str
    detail: str = Field(description="Where the way to it ended, and what stands there.")


class MappingRead(BaseModel):
    """What was read in the sample."""

    reads: bool = Field(description="Whether there is an order or a refund in it.")
    rule: int | None = Field(description="Which rule read it, counted from 0; null when none is about it.")
    read: dict[str, Any] = Field(description="As the `read` of a delivery: reports, or why there are none.")
    unfound: list[Unfound] = Field(description="Fields that found nothing here; other messages may have them.")


@router.post("/check", responses=BODY)
async def check_mapping(caller: Reader, session: Session, request: Request, body: MappingTrial) -> MappingRead:
    """Reads a pasted message as a source of these settings would, and answers what it read. Nothing is saved."""
    refuse_foreign(body.settings, MAPPED.name)
    settings = body.settings.model_dump(exclude_none=True)
    refuse_unknown_preset(MAPPED.name, settings)
    check_settings(settings)
    mapped = await read_sample(
        session, caller, request, settings, shop=body.shop, sample=body.sample, headers=body.headers
    )
    return MappingRead(
        reads=bool(mapped.parsed.reports),
        rule=mapped.rule,
        read=show_parsed(mapped.parsed),
        unfound=[Unfound(field=name, detail=detail) for name, detail in dict(mapped.unfound).items()],
    )
