"""What an order's decision rests on: each candidate with all that is known of it, and the policies in force at the order's time."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.codes import normalise
from app.domain.orders import TRUST_PIXEL, TRUST_SERVER, TRUST_WEBHOOK, Landing, OrderReport, Receipt
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.orders.record import Recorded, record, record_landings
from app.orders.redecide import redecide_orders
from app.spool.records import ClickLine
from tests.cast import Brand, Collaboration, create_code, create_collaboration, create_link

NOW = clock.now().replace(microsecond=0)
PLACED = NOW - timedelta(hours=1)
SERVER = Receipt(TRUST_SERVER, "api", "api", NOW)
PIXEL = Receipt(TRUST_PIXEL, "pixel", "pixel", NOW)
ORDER = OrderReport("main", "sale", ("1",), order_id="1", net_minor=10_000, currency="EUR", occurred_at=PLACED)
NOBODY = dict.fromkeys(("collaboration_id", "campaign_id", "influencer_id", "link_id", "code_id"))


async def post(pool: asyncpg.Pool, brand: Brand, *reports: OrderReport, receipt: Receipt = SERVER) -> list[Recorded]:
    return await in_transaction(
        pool, lambda connection: record(connection, brand.id, [(each, receipt) for each in reports])
    )


async def candidates(pool: asyncpg.Pool, brand: Brand) -> list[dict[str, Any]]:
    [row] = await pool.fetch("SELECT candidates FROM decision WHERE brand_id = $1", brand.id)
    found: list[dict[str, Any]] = json.loads(row["candidates"])
    return found


async def click(pool: asyncpg.Pool, brand: Brand, owner: Collaboration, at: datetime) -> tuple[UUID, UUID]:
    """A click on a new link of the collaboration: its id and the link's."""
    click_id, link_id = ids.floor_at(at), await create_link(pool, brand, owner, random_ids.new_id().hex)
    await pool.execute(
        "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, 0)",
        brand.id, click_id, link_id, at,
    )  # fmt: skip
    return click_id, link_id


def shown(owner: Collaboration) -> dict[str, str]:
    return {
        "collaboration_id": str(owner.id),
        "campaign_id": str(owner.campaign_id),
        "influencer_id": str(owner.influencer_id),
    }


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_a_code_is_a_candidate_with_its_owner_known_or_not(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    code_id = await create_code(pool, alice, lea, normalise("LEA10"))
    await pool.execute("UPDATE code SET code = 'Lea 10' WHERE brand_id = $1", alice.id)
    [recorded] = await post(pool, alice, replace(ORDER, codes=("lea-10", "Neuf"), code_ids=("promo_1",)))
    common = {"code_alias": None, "click_id": None, "method": "code", "occurred_at": text(PLACED)}
    known = {**NOBODY, **common, **shown(lea), "code_id": str(code_id), "code": "Lea 10"}
    unknown = {**NOBODY, **common, "eligible": False, "reason": "unknown_code"}
    assert await candidates(pool, alice) == [
        {**known, "eligible": True, "reason": "code_owner"},
        {**unknown, "code": "Neuf"},
        {**unknown, "code": "promo_1", "code_alias": "promo_1"},
    ]
    assert recorded.state.decision is not None
    assert [len(recorded.state.decision[name]) for name in ("credits", "candidates")] == [1, 3]
    [decision] = await pool.fetch("SELECT * FROM decision WHERE brand_id = $1", alice.id)
    assert json.loads(decision["credits"]) == [
        {
            **NOBODY,
            **shown(lea),
            "code_id": str(code_id),
            "method": "code",
            "weight": "1",
            "weight_bp": 10_000,
            "net_minor": 10_000,
            "unsigned": False,
        }
    ]
    assert (decision["verdict"], decision["method"], decision["model"]) == ("attributed", "code", "last")
    assert (decision["policy_version"], decision["reason"]) == (0, "code_owner")


async def test_a_click_is_a_candidate_with_its_link_known_or_not(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    at = PLACED - timedelta(minutes=5)
    click_id, link_id = await click(pool, alice, lea, at)
    missing = ids.floor_at(at - timedelta(days=1))
    named = (str(click_id), str(missing), "no click")
    await post(pool, alice, replace(ORDER, click_ids=named))
    common = {"code": None, "code_alias": None, "method": "click"}
    unknown = {**NOBODY, **common, "occurred_at": None, "eligible": False, "reason": "unknown_click"}
    found = {each["click_id"]: each for each in await candidates(pool, alice)}
    assert found[str(click_id)] == {
        **NOBODY, **common, **shown(lea), "link_id": str(link_id), "click_id": str(click_id),
        "occurred_at": text(at), "eligible": True, "reason": "touch_model",
    }  # fmt: skip
    assert found[str(missing)] == {**unknown, "click_id": str(missing)}
    assert found["no click"] == {**unknown, "click_id": "no click"}
    [credit] = await pool.fetch("SELECT link_id, code_id, method FROM credit WHERE brand_id = $1", alice.id)
    assert (credit["link_id"], credit["code_id"], credit["method"]) == (link_id, None, "click")


async def test_a_code_order_stands_under_the_link_that_led_there_whenever_the_click_arrives(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea, max_ = await create_collaboration(pool, alice, "Lea"), await create_collaboration(pool, alice, "Max")
    code_id = await create_code(pool, alice, lea, normalise("LEA10"))
    strange, _ = await click(pool, alice, max_, PLACED - timedelta(minutes=1))
    at = PLACED - timedelta(minutes=5)
    [recorded] = await post(
        pool, alice, replace(ORDER, codes=("LEA10",), click_ids=(str(strange), str(ids.floor_at(at))))
    )
    credit = "SELECT collaboration_id, link_id, code_id, method, amount_minor FROM credit WHERE brand_id = $1"
    assert [tuple(row) for row in await pool.fetch(credit, alice.id)] == [(lea.id, None, code_id, "code", 10_000)]
    _, link_id = await click(pool, alice, lea, at)
    await in_transaction(pool, lambda connection: redecide_orders(connection, alice.id, [recorded.conversion_id]))
    assert [tuple(row) for row in await pool.fetch(credit, alice.id)] == [(lea.id, link_id, code_id, "code", 10_000)]


async def test_a_click_that_is_younger_than_its_order_is_flagged(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    late, _ = await click(pool, alice, lea, PLACED + timedelta(minutes=6))
    [recorded] = await post(pool, alice, replace(ORDER, click_ids=(str(late),)))
    assert recorded.state.conversion["flags"] == ["late_click"]
    assert await pool.fetchval("SELECT flags FROM conversion WHERE brand_id = $1", alice.id) == ["late_click"]
    in_time, _ = await click(pool, alice, lea, PLACED + timedelta(minutes=4))
    [recorded] = await post(pool, alice, replace(ORDER, refs=("2",), order_id="2", click_ids=(str(in_time),)))
    assert recorded.state.conversion["flags"] == []


async def test_the_clicks_of_the_visitor_are_candidates_within_the_longest_window_and_once(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea = await create_collaboration(pool, alice)
    ages = [timedelta(minutes=5), timedelta(minutes=1), timedelta(days=91), timedelta(minutes=-6)]
    clicks = [await click(pool, alice, lea, PLACED - age) for age in ages[:2]]
    landed = [click_id for click_id, _ in clicks] + [ids.floor_at(PLACED - age) for age in ages[2:]]
    undrained = ids.floor_at(PLACED - timedelta(minutes=2))
    landings = [Landing("v1", str(each), NOW) for each in (*landed, undrained)]
    await in_transaction(pool, lambda connection: record_landings(connection, alice.id, landings))
    await post(pool, alice, replace(ORDER, visitor_id="v1", click_ids=(str(landed[0]),)))
    other = replace(ORDER, refs=("2",), order_id="2")
    [elsewhere] = await post(pool, alice, replace(other, visitor_id="v2"))
    assert elsewhere.state.decision is not None
    assert elsewhere.state.decision["candidates"] == []
    [row] = await pool.fetch(
        "SELECT candidates FROM decision WHERE brand_id = $1 AND conversion_id <> $2", alice.id, elsewhere.conversion_id
    )
    found = json.loads(row["candidates"])
    assert {(each["method"], each["click_id"]) for each in found} == {
        ("click", str(landed[0])),
        ("visitor", str(landed[1])),
    }
    assert len(found) == 2
    by_visitor = next(each for each in found if each["method"] == "visitor")
    assert (by_visitor["link_id"], by_visitor["collaboration_id"]) == (str(clicks[1][1]), str(lea.id))


async def test_what_only_the_pixel_names_beside_a_trusted_report_is_no_reason_for_a_credit(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea, max_ = await create_collaboration(pool, alice, "Lea"), await create_collaboration(pool, alice, "Max")
    await create_code(pool, alice, lea, normalise("LEA10"))
    await create_code(pool, alice, max_, normalise("MAX5"))
    trusted, _ = await click(pool, alice, lea, PLACED - timedelta(minutes=5))
    forged, _ = await click(pool, alice, max_, PLACED - timedelta(minutes=4))
    await post(pool, alice, replace(ORDER, codes=("MAX5",), click_ids=(str(forged),)), receipt=PIXEL)
    await post(pool, alice, replace(ORDER, codes=("LEA10",), click_ids=(str(trusted),)))
    found = {each["code"] or each["click_id"]: each for each in await candidates(pool, alice)}
    assert {name: each["reason"] for name, each in found.items() if not each["eligible"]} == {
        normalise("MAX5"): "unsigned",
        str(forged): "unsigned",
    }
    assert await pool.fetchval("SELECT collaboration_id FROM credit WHERE brand_id = $1", alice.id) == lea.id


# ── Policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def policy(pool: asyncpg.Pool, brand: Brand, scope: UUID, version: int, rules: str, since: Any = None) -> None:
    await pool.execute(
        """INSERT INTO policy (brand_id, scope_id, version, effective_from, rules, created_at)
           VALUES ($1, $2, $3, $4, $5, now())""",
        brand.id, scope, version, since, rules,
    )  # fmt: skip


async def hold_days(pool: asyncpg.Pool, brand: Brand, **fields: Any) -> tuple[int, int]:
    """Days for which a paid order is held, and the version of the policy that decided it."""
    name = random_ids.new_id().hex
    report = replace(ORDER, refs=(name,), order_id=name, paid=True, **fields)
    receipt = Receipt(TRUST_WEBHOOK, "hook", "shopify", report.occurred_at or NOW)
    [recorded] = await post(pool, brand, report, receipt=receipt)
    assert recorded.state.decision is not None
    held = recorded.state.conversion["locks_at"] - recorded.state.conversion["occurred_at"]
    return held.days, recorded.state.decision["policy_version"]


async def test_the_newest_version_of_a_policy_that_was_in_force_at_the_order_s_time_counts(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    assert await hold_days(pool, alice) == (30, 0)
    await policy(pool, alice, alice.id, 1, '{"hold_days": 10, "click_window_days": null}')
    await policy(pool, alice, alice.id, 2, '{"hold_days": 20}', PLACED)
    await policy(pool, alice, alice.id, 3, '{"hold_days": 40}', NOW + timedelta(days=1))
    assert await hold_days(pool, alice, occurred_at=PLACED - timedelta(seconds=1)) == (10, 1)
    assert await hold_days(pool, alice) == (20, 2)


async def test_a_campaign_s_rules_lie_over_the_brand_s(pool: asyncpg.Pool, alice: Brand) -> None:
    lea, max_ = await create_collaboration(pool, alice, "Lea"), await create_collaboration(pool, alice, "Max")
    await create_code(pool, alice, lea, normalise("LEA10"))
    await create_code(pool, alice, max_, normalise("MAX5"))
    await policy(pool, alice, alice.id, 1, '{"hold_days": 50}')
    await policy(pool, alice, lea.campaign_id, 1, '{"hold_days": 5}', NOW)
    assert await hold_days(pool, alice, codes=("LEA10",)) == (50, 1)
    await policy(pool, alice, lea.campaign_id, 2, '{"hold_days": null, "model": "first"}', PLACED)
    await policy(pool, alice, max_.campaign_id, 7, '{"hold_days": 60}')
    assert await hold_days(pool, alice, codes=("LEA10",)) == (50, 2)
    assert await hold_days(pool, alice, codes=("MAX5",)) == (60, 7)
    assert await hold_days(pool, alice) == (50, 1)


async def test_rules_that_cannot_be_read_stop_no_order(
    pool: asyncpg.Pool, alice: Brand, caplog: pytest.LogCaptureFixture
) -> None:
    await policy(pool, alice, alice.id, 4, '{"hold_days": "many"}')
    assert await hold_days(pool, alice) == (30, 0)
    [(name, _, message)] = set(caplog.record_tuples)
    assert name == "ariane.intake"
    assert message.startswith(f"policy {alice.id} version 4 is not usable: hold_days")


# ── Witnesses ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_amounts_that_differ_by_less_than_the_brand_s_tolerance_are_no_disagreement(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await pool.execute(
        "UPDATE brand SET witness_tolerance_minor = 10, witness_tolerance_bp = 0 WHERE id = $1", alice.id
    )
    webhook = Receipt(TRUST_WEBHOOK, "hook", "shopify", NOW)
    reports = [replace(ORDER, refs=(name,), order_id=name) for name in ("a", "b", "c")]
    await post(pool, alice, *reports)
    again = [replace(each, net_minor=amount) for each, amount in zip(reports, (10_000, 10_010, 10_011), strict=True)]
    recorded = await post(pool, alice, *again, receipt=webhook)
    assert [each.state.conversion["flags"] for each in recorded] == [[], [], ["amount_disagreement"]]


@pytest.mark.parametrize(
    ("platform", "secrets", "paused", "status"),
    [
        ("shopify", ["s"], False, "unverified"),
        ("shopify", ["s"], True, "pending"),
        ("shopify", [], False, "pending"),
        ("postback", ["s"], False, "pending"),
    ],
)
async def test_an_order_that_only_the_pixel_names_is_unverified_while_the_shop_has_a_signed_source(
    pool: asyncpg.Pool, alice: Brand, platform: str, secrets: list[str], paused: bool, status: str
) -> None:
    pauses = [NOW - timedelta(hours=2), NOW + timedelta(hours=2)] if paused else []
    for shop, name in (("main", "a"), ("other", "b")):
        await pool.execute(
            """INSERT INTO source (token, id, brand_id, platform, shop, secrets, pauses, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)""",
            name + random_ids.new_token("in"), random_ids.new_id(), alice.id, platform, shop, secrets, pauses,
            NOW - timedelta(days=1),
        )  # fmt: skip
    elsewhere = replace(ORDER, shop="third", refs=("2",), order_id="2")
    here, there = await post(pool, alice, ORDER, elsewhere, receipt=PIXEL)
    assert here.state.conversion["status"] == status
    assert there.state.conversion["status"] == "pending"
    [confirmed] = await post(pool, alice, ORDER)
    assert confirmed.state.conversion["status"] == "pending"


HOURS_2, HOURS_3, LATER = timedelta(hours=2), timedelta(hours=3), NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "shop", "edges", "revoked_at", "status"),
    [
        ("secret", "main", [NOW - HOURS_2], None, "unverified"),
        ("secret", "main", [NOW - HOURS_2], LATER, "unverified"),
        ("secret", "main", [NOW - HOURS_2], NOW - HOURS_2, "pending"),
        ("secret", "main", [LATER], None, "pending"),
        ("secret", "main", [NOW - HOURS_3, NOW - HOURS_2], None, "pending"),
        ("secret", "main", [NOW - HOURS_3, LATER], NOW - HOURS_3, "unverified"),
        ("secret", "other", [NOW - HOURS_2], None, "pending"),
        ("secret", None, [NOW - HOURS_2], None, "pending"),
        ("secret", "main", [], None, "pending"),
    ],
)
async def test_an_order_that_only_the_pixel_names_is_unverified_while_the_shop_s_server_reports_every_order(
    pool: asyncpg.Pool,
    alice: Brand,
    charlie: Brand,
    kind: str,
    shop: str | None,
    edges: list[datetime],
    revoked_at: datetime | None,
    status: str,
) -> None:
    await pool.execute(
        """INSERT INTO api_key (key_hash, id, brand_id, kind, scopes, shop, hint, created_at, every_order_edges, revoked_at)
           VALUES ($1, $2, $3, $4, '{conversions}', $5, 'hint', $6, $7, $8)""",
        random_ids.new_token("sk").encode(), random_ids.new_id(), alice.id, kind, shop, NOW - timedelta(days=1), edges,
        revoked_at,
    )  # fmt: skip
    [here] = await post(pool, alice, ORDER, receipt=PIXEL)
    assert here.state.conversion["status"] == status
    [rival] = await post(pool, charlie, ORDER, receipt=PIXEL)
    assert rival.state.conversion["status"] == "pending"
    [confirmed] = await post(pool, alice, ORDER)
    assert confirmed.state.conversion["status"] == "pending"


# ── The visitor of a named click ─────────────────────────────────────────────────────────────────────────────────────


async def land(pool: asyncpg.Pool, brand: Brand, visitor_id: str, click_id: UUID, seen_at: datetime = PLACED) -> None:
    landing = Landing(visitor_id, str(click_id), seen_at)
    await in_transaction(pool, lambda connection: record_landings(connection, brand.id, [landing]))


async def by_visitor(pool: asyncpg.Pool, brand: Brand) -> list[str]:
    """The clicks of the visitor that are candidates of the brand's only order."""
    return [each["click_id"] for each in await candidates(pool, brand) if each["method"] == "visitor"]


async def test_the_visitor_of_a_named_click_is_the_one_who_landed_with_it_first(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    lea, max_ = await create_collaboration(pool, alice), await create_collaboration(pool, alice, "Max")
    named, _ = await click(pool, alice, lea, PLACED - timedelta(hours=1))
    before, _ = await click(pool, alice, max_, PLACED - timedelta(hours=2))
    another, _ = await click(pool, alice, max_, PLACED - timedelta(hours=3))
    await land(pool, alice, "v2", named)
    await land(pool, alice, "v2", another)
    # The earliest landing, although it is heard of last.
    await land(pool, alice, "v1", named, PLACED - timedelta(minutes=59))
    await land(pool, alice, "v1", before)
    await land(pool, charlie, "v0", named, PLACED - timedelta(hours=1))
    await post(pool, alice, replace(ORDER, click_ids=(str(named),)))
    assert await by_visitor(pool, alice) == [str(before)]
    [row] = await pool.fetch("SELECT visitor_id FROM conversion WHERE brand_id = $1", alice.id)
    assert row["visitor_id"] is None


async def test_a_visitor_s_clicks_have_the_rank_of_the_click_that_names_the_visitor(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    """So a stranger's own click brings none of the stranger's other clicks before those of a trusted report."""
    lea, max_ = await create_collaboration(pool, alice), await create_collaboration(pool, alice, "Max")
    late, _ = await click(pool, alice, lea, PLACED + timedelta(minutes=6))
    before, _ = await click(pool, alice, lea, PLACED - timedelta(days=2))
    own, _ = await click(pool, alice, max_, PLACED - timedelta(hours=1))
    for visitor_id, click_id in (("v1", late), ("v1", before), ("v2", own)):
        await land(pool, alice, visitor_id, click_id)
    await post(pool, alice, replace(ORDER, click_ids=(str(late),)))
    hit = replace(ORDER, occurred_at=None, click_ids=(str(own),))
    await post(pool, alice, hit, receipt=replace(PIXEL, received_at=PLACED))
    [row] = await pool.fetch("SELECT credits FROM decision WHERE brand_id = $1", alice.id)
    assert [each["collaboration_id"] for each in json.loads(row["credits"])] == [str(lea.id)]


@pytest.mark.parametrize(
    "last", ["landing with the named click", "landing with another click", "another click", "order"]
)
async def test_whatever_arrives_last_the_path_is_the_same(pool: asyncpg.Pool, alice: Brand, last: str) -> None:
    lea = await create_collaboration(pool, alice)
    link_id = await create_link(pool, alice, lea, random_ids.new_id().hex)
    named, other = ids.floor_at(PLACED - timedelta(hours=1)), ids.floor_at(PLACED - timedelta(hours=2))

    async def drain(click_id: UUID) -> None:
        line = ClickLine(str(click_id), str(alice.id), str(link_id), None, "", "Mozilla/5.0", "", "")
        async with pool.acquire() as connection:
            await record_clicks(connection, read_clicks([line]), Calendar())

    steps = {
        "click": lambda: drain(named),
        "order": lambda: post(pool, alice, replace(ORDER, click_ids=(str(named),))),
        "landing with the named click": lambda: land(pool, alice, "v1", named),
        "landing with another click": lambda: land(pool, alice, "v1", other),
        "another click": lambda: drain(other),
    }
    for name in [*(each for each in steps if each != last), last]:
        await pool.execute("DELETE FROM redecide WHERE brand_id = $1", alice.id)
        await steps[name]()
    for row in await pool.fetch("SELECT DISTINCT conversion_id FROM redecide WHERE brand_id = $1", alice.id):
        await in_transaction(
            pool,
            lambda connection, row=row: redecide_orders(connection, alice.id, [row["conversion_id"]]),  # type: ignore[misc]
        )
    assert await by_visitor(pool, alice) == [str(other)]
