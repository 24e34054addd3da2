"""The settings of a source: checked, a mapping tried on a pasted message before it is stored, and mappings tried without keeping anything."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, JsonValue, Strict, WithJsonSchema
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Reader
from app.api.fields import Given, Word
from app.api.http import BODY, Session, resource
from app.api.orders import show_parsed
from app.database.tables import brand
from app.domain.customers import PURPOSE, customer_key
from app.domain.orders import Context
from app.errors import FieldError, Invalid
from app.platforms.generic import mapping as mappings
from app.platforms.generic import signature as signatures
from app.platforms.generic.reading import Mapped
from app.platforms.generic.webhook import read
from app.platforms.presets import resolve
from app.platforms.registry import MAPPED, PLATFORMS, platform_of
from app.secret import derive

router: APIRouter = resource("mappings")

SAMPLE_HEADERS_MAX = 50
HEADER_CHARACTERS_MAX = 4_096

if TYPE_CHECKING:
    PlatformName = str
else:
    PlatformName = Literal[tuple(PLATFORMS)]


def _schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of a msgspec type, without references."""
    definitions = msgspec.json.schema(kind)
    return dict(_inlined(definitions, definitions["$defs"]))


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    # Generators name classes after titles, and a type that is written out twice would be two classes of one name.
    dropped = {"$defs", "title"} if isinstance(schema.get("title"), str) else {"$defs"}
    return {name: _inlined(value, definitions) for name, value in schema.items() if name not in dropped}


Signature = Annotated[dict[str, JsonValue], WithJsonSchema(_schema_of(signatures.Layout))]
MappingGiven = Annotated[dict[str, JsonValue], WithJsonSchema(_schema_of(mappings.Mapping))]
Sample = Annotated[
    JsonValue,
    Field(
        description="The body of one message of this checkout: its JSON, or its text. The mapping must read an order or a refund in it.",
        examples=[{"id": "1001", "total": "49.90"}],
    ),
]
SampleHeaders = Annotated[
    dict[str, Annotated[str, Field(max_length=HEADER_CHARACTERS_MAX)]],
    Field(max_length=SAMPLE_HEADERS_MAX, description="Its headers, where the mapping reads any."),
]


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _description(name: str) -> str:
    readers = (each for each in PLATFORMS.values() if name in each.settings)
    return " ".join(f"{each.title}: {each.settings[name]}" for each in readers)


class PlatformSettings(Given):
    """What may be set; each field says for which platforms."""

    taxes_included: Annotated[bool, Strict()] | None = Field(default=None, description=_description("taxes_included"))
    preset: Annotated[str, Strict(), Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description=_description("preset"),
        examples=[each.preset_example for each in PLATFORMS.values() if each.preset_example],
    )
    signature: Signature | None = Field(
        default=None,
        description=_description("signature"),
        examples=[{"header": "X-Signature", "encoding": "hex", "prefix": "sha256="}],
    )
    mapping: MappingGiven | None = Field(
        default=None,
        description=_description("mapping"),
        examples=[{"amounts": "major", "rules": [{"read": "order", "order_id": "/id", "total": "/total"}]}],
    )


def refuse_foreign(settings: PlatformSettings, platform: str) -> None:
    """Raises Invalid naming every setting that this platform does not read."""
    foreign = [
        FieldError(f"settings.{name}", f"is not a setting of {platform}", "unknown_setting")
        for name in sorted(settings.model_fields_set - platform_of(platform).settings.keys())
    ]
    if foreign:
        raise Invalid("these settings are of another platform", fields=tuple(foreign))


def refuse_unguarded(platform: str, settings: Mapping[str, object], secrets_count: int) -> None:
    """Raises Invalid where nothing would tell the shop's messages from anybody's: a platform that signs, or a preset that demands its token,
    without a secret; and for a preset that does not exist."""
    found = platform_of(platform)
    reason = found.secret_reason(settings)
    if found.is_signed:
        reason = f"a source of {platform} needs the secret that signs its messages"
    if reason is not None and not secrets_count:
        raise Invalid.field("secrets", reason, code="required")
    _refuse_unknown_preset(platform, settings)


def _refuse_unknown_preset(platform: str, settings: Mapping[str, object]) -> None:
    """Raises Invalid for a preset that the platform does not have."""
    presets = platform_of(platform).presets
    preset = settings.get("preset")
    if preset is not None and preset not in presets:
        raise Invalid.field("settings.preset", f"is none of {', '.join(presets)}", code="unknown_preset")


SETTINGS_READ: dict[str, Callable[[object], Iterator[tuple[str, str]]]] = {
    "signature": lambda given: signatures.faults(signatures.read_layout(given)),
    "mapping": lambda given: mappings.faults(mappings.read_mapping(given)),
}


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raises Invalid naming every part of `settings.signature` and `settings.mapping` that is invalid."""
    found: list[FieldError] = []
    for name, faults_in in SETTINGS_READ.items():
        given = settings.get(name)
        if given is None:
            continue
        if len(json.dumps(given).encode("utf-8", "replace")) > mappings.MAPPING_BYTES_MAX:
            reason = f"is longer than {mappings.MAPPING_BYTES_MAX} bytes"
            found.append(FieldError(f"settings.{name}", reason, "too_long"))
            continue
        try:
            found += [FieldError(f"settings.{name}.{path}", reason, "invalid") for path, reason in faults_in(given)]
        except ValueError as error:
            # As msgspec writes it: "Expected `str`, got `int` - at `$.rules[0].order_id`".
            reason, _, place = str(error).partition(" - at `$")
            path = re.sub(r"\[(\d+)\]", r".\1", place.rstrip("`")).lstrip(".")
            found.append(FieldError(f"settings.{name}.{path}".rstrip("."), reason, "invalid"))
    if found:
        raise Invalid.at(*found, code="invalid", shown_max=5)


# ── The sample ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _read_sample(
    session: AsyncConnection,
    request: Request,
    settings: Mapping[str, Any],
    shop: str,
    sample: JsonValue,
    headers: Mapping[str, str],
) -> Mapped:
    """What a source of these settings would read in the sample. Nothing is recorded."""
    brand_id = request.state.caller.brand_id
    query = select(brand.c.currency, brand.c.currencies, brand.c.click_param).where(brand.c.id == brand_id)
    row = (await session.execute(query)).one()
    context = Context(
        received_at=clock.now(),
        currency=row.currency,
        customer_key=partial(customer_key, derive(request.app.state.secret, PURPOSE), brand_id),
        shop=shop,
        click_param=row.click_param,
        settings=settings,
        currencies=row.currencies,
    )
    body = sample if isinstance(sample, str) else json.dumps(sample)
    lowered = {name.lower(): text.strip() for name, text in headers.items()}
    return read(body.encode("utf-8", "surrogatepass"), lowered, context)


class Sampled(Given):
    """A body that may bring a sample."""

    sample: Sample = None
    sample_headers: SampleHeaders = Field(default_factory=dict)


async def check_source(
    session: AsyncConnection, request: Request, body: Sampled, settings: Mapping[str, Any], shop: str
) -> None:
    """Raises Invalid for invalid settings, for a mapping without a sample, and for a sample in which nothing is read: neither an order
    nor a refund, or an order without the amount that the mapping has a place for. `settings`: as they are to be stored."""
    _check_settings(settings)
    if body.sample is None:
        given = getattr(body, "settings", None)
        if given is not None and given.mapping is not None:
            reason = "is required with a mapping: the body of one message, so that the mapping is seen to read it"
            raise Invalid.field("sample", reason, code="required")
        return
    mapping = resolve(settings).get("mapping")
    if mapping is None:
        raise Invalid.field("sample", "is read through a mapping or preset, and these settings have none")
    mapped = await _read_sample(session, request, settings, shop, body.sample, body.sample_headers)
    parsed = mapped.parsed
    if not parsed.reports:
        why = parsed.detail or "the rule that it falls under ignores it; paste an order or a refund"
        raise Invalid.field("sample", f"the mapping reads nothing in it: {why}", code="mapping_reads_nothing")
    rule = mappings.read_mapping(mapping).rules[mapped.rule or 0]
    amounts = {name for name, _ in mappings.given_fields(rule)} & mappings.MONEY
    if rule.read == "order" and amounts and parsed.reports[0].net_minor is None:
        gaps = "; ".join(f"{name}: {why}" for name, why in mapped.unfound if name in amounts)
        raise Invalid.field("sample", f"the mapping reads no amount in it: {gaps}", code="mapping_reads_nothing")


# ── Mappings tried without a source ──────────────────────────────────────────────────────────────────────────────────


class MappingCheck(Given):
    """A message and the settings of a generic source."""

    settings: PlatformSettings = Field(
        default_factory=lambda: PlatformSettings(),
        description="With `preset` or `mapping`; without either, our own words.",
    )
    sample: Sample
    headers: SampleHeaders = Field(default_factory=dict)
    shop: Word = "main"


class MissingField(BaseModel):
    """A field of the mapping that said nothing."""

    field: str
    detail: str = Field(description="Where the way to it ended, and what stands there.")


class MappingCheckResult(BaseModel):
    """What was read in the sample."""

    reads: bool = Field(description="Whether there is an order or a refund in it.")
    rule: int | None = Field(description="Which rule read it, counted from 0; null when none is about it.")
    read: dict[str, Any] = Field(description="As the `read` of a delivery: reports, or why there are none.")
    unfound: list[MissingField] = Field(description="Fields that found nothing here; other messages may have them.")


@router.post("/check", responses=BODY)
async def check_mapping(caller: Reader, session: Session, request: Request, body: MappingCheck) -> MappingCheckResult:
    """Reads a pasted message as a source of these settings would, and answers what it read. Nothing is saved."""
    refuse_foreign(body.settings, MAPPED.name)
    settings = body.settings.model_dump(exclude_none=True)
    _refuse_unknown_preset(MAPPED.name, settings)
    _check_settings(settings)
    mapped = await _read_sample(session, request, settings, body.shop, body.sample, body.headers)
    return MappingCheckResult(
        reads=bool(mapped.parsed.reports),
        rule=mapped.rule,
        read=show_parsed(mapped.parsed),
        unfound=[MissingField(field=name, detail=detail) for name, detail in dict(mapped.unfound).items()],
    )
