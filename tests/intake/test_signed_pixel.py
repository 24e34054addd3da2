"""Goal: a hit that the shop's server signed is a trusted report of its order; with any other signature it is kept and counts for nothing."""

import json
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import pytest

from app.domain.codes import normalise
from app.domain.orders import TRUST_PIXEL, TRUST_SIGNED_PIXEL
from app.intake.deliveries.recording import RecordingCounts
from app.intake.deliveries.replaying import replay
from app.orders.redecide import redecide
from app.secret import seal
from app.spool.records import PixelLine
from tests.cast import Brand, Collaboration, create_code, create_collaboration
from tests.intake.test_deliveries import Record, deliveries, hit, orders, record, secret
from tests.platforms.test_pixel_signature import FIELDS, SECRET, sign

__all__ = ["record", "secret"]


@pytest.fixture
async def lea(pool: asyncpg.Pool, alice: Brand) -> Collaboration:
    """Lea's collaboration, with the code LEA10."""
    found = await create_collaboration(pool, alice)
    await create_code(pool, alice, found, normalise("LEA10"))
    await create_code(pool, alice, await create_collaboration(pool, alice, "Max"), normalise("MAX5"))
    return found


@pytest.fixture
async def armed(pool: asyncpg.Pool, alice: Brand, secret: str) -> Brand:
    """Alice's brand, whose publishable key has a signing secret."""
    await arm(pool, alice, secret, "an earlier secret", SECRET)
    return alice


async def arm(pool: asyncpg.Pool, brand: Brand, secret: str, *signing: str) -> None:
    sealed = [seal(secret, each) for each in signing]
    await pool.execute("UPDATE api_key SET signing_secrets = $2 WHERE id = $1", brand.publishable_id, sealed)


def signed(brand: Brand, **added: str) -> PixelLine:
    return hit(brand, urlencode({"k": "pk_x", **sign(FIELDS), **added}))


async def trusts(pool: asyncpg.Pool, brand: Brand) -> list[int]:
    rows = await pool.fetch("SELECT trust FROM witness WHERE brand_id = $1 ORDER BY trust DESC", brand.id)
    return [row["trust"] for row in rows]


async def owners(pool: asyncpg.Pool, brand: Brand) -> list[UUID]:
    while await redecide(pool):
        pass
    rows = await pool.fetch("SELECT collaboration_id FROM credit WHERE brand_id = $1", brand.id)
    return [row["collaboration_id"] for row in rows]


async def test_a_signed_hit_is_a_trusted_report_and_no_later_pixel_moves_its_order(
    pool: asyncpg.Pool, armed: Brand, lea: Collaboration, record: Record
) -> None:
    assert await record(signed(armed)) == RecordingCounts(recorded=1)
    assert await trusts(pool, armed) == [TRUST_SIGNED_PIXEL]
    forged = {
        "event": "sale",
        "order_id": "1001",
        "amount": "900",
        "code": "MAX5",
        "occurred_at": "2019-01-01T00:00:00Z",
        "test": "1",
    }
    await record(hit(armed, urlencode(forged)))
    [order] = await orders(pool, armed)
    assert (order["net_minor"], order["test"], order["occurred_at"].year) == (4_990, False, order["created_at"].year)
    assert await owners(pool, armed) == [lea.id]


async def test_what_the_signature_does_not_cover_is_kept_as_an_unsigned_report(
    pool: asyncpg.Pool, armed: Brand, lea: Collaboration, record: Record
) -> None:
    await record(signed(armed, codes="MAX5", visitor_id="v", tax="9.00"))
    assert await trusts(pool, armed) == [TRUST_SIGNED_PIXEL, TRUST_PIXEL]
    [order] = await orders(pool, armed)
    assert order["net_minor"] == 4_990
    assert await owners(pool, armed) == [lea.id]
    [kept] = await deliveries(pool, armed.id)
    assert (kept["status"], kept["conversion_id"], kept["detail"]) == (
        "recorded",
        order["id"],
        "not signed: codes, tax, visitor_id",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"amount": "900"}, "wrong_signature"), ({"code": "MAX5"}, "wrong_signature"), ({"sig": "x"}, "malformed_signature"),
     ({"event": "lead"}, "wrong_signature")],
)  # fmt: skip
async def test_a_signature_that_is_not_right_is_kept_as_rejected_and_never_counts(
    pool: asyncpg.Pool, armed: Brand, record: Record, changed: dict[str, str], reason: str
) -> None:
    assert await record(signed(armed, **changed)) == RecordingCounts(rejected=1)
    [kept] = await deliveries(pool, armed.id)
    assert (kept["status"], kept["reason"]) == ("rejected", reason)
    assert await orders(pool, armed) == []


async def test_a_hit_kept_before_the_secret_was_made_is_replayed_after_it_and_a_recorded_one_changes_nothing(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, record: Record, secret: str
) -> None:
    line = signed(alice, visitor_id="v")
    assert await record(line) == RecordingCounts(rejected=1)
    assert [each["reason"] for each in await deliveries(pool, alice.id)] == ["no_secret"]
    await arm(pool, charlie, secret, SECRET)
    assert await record(signed(charlie)) == RecordingCounts(recorded=1)
    [still] = await replay(pool, alice.id, [UUID(line.id)], secret=secret)
    assert still.result.reason == "no_secret", "the secret of a rival's key is none of this one"
    await arm(pool, alice, secret, SECRET)
    for _ in range(2):
        [again] = await replay(pool, alice.id, [UUID(line.id)], secret=secret)
        assert again.result.status == "recorded"
        assert await trusts(pool, alice) == [TRUST_SIGNED_PIXEL, TRUST_PIXEL]
    [order] = await orders(pool, alice)
    assert again.result.conversion_id == order["id"]


async def test_a_secret_that_cannot_be_opened_does_not_hide_the_one_beside_it(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str
) -> None:
    sealed = [seal("a key that has gone", "x" * 9), seal(secret, SECRET)]
    await pool.execute("UPDATE api_key SET signing_secrets = $2 WHERE id = $1", alice.publishable_id, sealed)
    assert await record(signed(alice)) == RecordingCounts(recorded=1)


async def test_hits_that_claim_no_signature_ask_for_no_secret(
    pool: asyncpg.Pool, alice: Brand, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.intake.deliveries.pixel_secrets.SECRETS", "no statement")
    assert await record(hit(alice, "event=sale&order_id=1&code=design")) == RecordingCounts(recorded=1)


async def test_a_replay_does_not_verify_again_what_was_recorded_as_the_shoppers_data_has_been_blotted_out(
    pool: asyncpg.Pool, armed: Brand, record: Record, secret: str
) -> None:
    fields = sign({**FIELDS, "customer": "bob@example.com"})
    lines = [hit(armed, urlencode(fields)), hit(armed, json.dumps(fields), door="beacon")]
    assert await record(*lines) == RecordingCounts(recorded=2)
    kept = await deliveries(pool, armed.id)
    assert not any(b"bob" in bytes(each["body"]) for each in kept)
    assert all(each["verified_at"] is not None for each in kept)
    facts = "SELECT content_hash FROM witness WHERE brand_id = $1 ORDER BY 1"
    before = await pool.fetch(facts, armed.id)
    await arm(pool, armed, secret, "another secret")
    for line in lines:
        [again] = await replay(pool, armed.id, [UUID(line.id)], secret=secret)
        assert (again.result.status, again.result.reason) == ("recorded", None)
    assert await pool.fetch(facts, armed.id) == before


async def test_a_hit_of_a_release_that_knew_no_signatures_is_verified_when_it_is_replayed(
    pool: asyncpg.Pool, armed: Brand, record: Record, secret: str
) -> None:
    line = hit(armed, urlencode({**sign(FIELDS), "amount": "900"}))
    await record(line)
    await pool.execute("UPDATE delivery SET status = 'recorded', reason = NULL WHERE brand_id = $1", armed.id)
    [again] = await replay(pool, armed.id, [UUID(line.id)], secret=secret)
    assert (again.result.status, again.result.reason) == ("rejected", "wrong_signature")
    assert await trusts(pool, armed) == []


@pytest.mark.parametrize("stranger_first", [True, False])
async def test_what_the_script_adds_to_a_signed_hit_outranks_what_a_stranger_sends_by_number(
    pool: asyncpg.Pool, armed: Brand, lea: Collaboration, record: Record, stranger_first: bool
) -> None:
    """The signature is a proof, which nobody has who has not seen the page."""
    ours = hit(armed, urlencode({**sign({"order_id": "1001", "amount": "49.90"}), "code": "LEA10"}))
    strangers = hit(armed, "event=sale&order_id=1001&code=MAX5")
    for line in (strangers, ours) if stranger_first else (ours, strangers):
        await record(line)
    assert await owners(pool, armed) == [lea.id]
