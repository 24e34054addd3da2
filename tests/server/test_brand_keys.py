"""Keys from the command line: a brand made once, a fresh secret key each time, and the one publishable key."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from app.api.auth import key_hash
from app.domain import ids
from app.errors import Conflict, Invalid, NotFound
from app.server.brand_keys import Keys, find_key, issue_first_keys, issue_keys, list_keys, revoke_key
from tests.cast import Brand, create_brand
from tests.tracking.rows import write_source


async def issue(pool: asyncpg.Pool, brand: str, *scopes: str) -> Keys:
    async with pool.acquire() as connection:
        return await issue_keys(connection, brand, scopes or ("read", "write", "admin"))


async def test_the_first_call_makes_the_brand_and_the_second_finds_it(pool: asyncpg.Pool) -> None:
    first, second = await issue(pool, "Maison Léa "), await issue(pool, "Maison Léa")
    assert first.brand_id == second.brand_id
    assert first.publishable_key == second.publishable_key
    assert first.secret_key != second.secret_key
    row = await pool.fetchrow("SELECT * FROM brand WHERE id = $1", ids.read("brand", first.brand_id))
    assert (row["name"], row["currency"], row["time_zone"]) == ("Maison Léa", "EUR", "UTC")


@pytest.mark.parametrize(("field", "other"), [("currency", "USD"), ("time_zone", "Europe/Paris")])
async def test_a_brand_that_is_there_with_another_currency_or_zone_is_not_passed_over(
    pool: asyncpg.Pool, field: str, other: str
) -> None:
    there = {"currency": "CHF", "time_zone": "Europe/Zurich"}
    async with pool.acquire() as connection:
        made = await issue_keys(connection, "Züri", **there)
        assert (await issue_keys(connection, "Züri", **there)).brand_id == made.brand_id
        with pytest.raises(Conflict, match=f"{field}: .* is there already, with {there[field]}"):
            await issue_keys(connection, "Züri", **(there | {field: other}))


async def test_a_key_is_stored_as_its_hash_with_the_scopes_that_were_asked_for(pool: asyncpg.Pool) -> None:
    made = await issue(pool, "Scoped", "conversions", "read")
    row = await pool.fetchrow("SELECT * FROM api_key WHERE key_hash = $1", key_hash(made.secret_key))
    assert row["scopes"] == ["read", "conversions"]
    assert row["hint"] == made.secret_key[-4:]
    public = await pool.fetchrow("SELECT * FROM api_key WHERE key_hash = $1", key_hash(made.publishable_key))
    assert (public["kind"], public["shop"], public["scopes"]) == ("publishable", "main", [])


async def test_many_at_once_make_one_brand(pool: asyncpg.Pool) -> None:
    made = await asyncio.gather(*(issue(pool, "Raced") for _ in range(6)))
    assert len({keys.brand_id for keys in made}) == 1
    assert len({keys.publishable_key for keys in made}) == 1


async def test_a_revoked_publishable_key_is_not_handed_out_again(pool: asyncpg.Pool) -> None:
    first = await issue(pool, "Revoked")
    await pool.execute("UPDATE api_key SET revoked_at = now() WHERE key_hash = $1", key_hash(first.publishable_key))
    assert (await issue(pool, "Revoked")).publishable_key != first.publishable_key


async def test_the_keys_of_a_brand_with_several_shops_name_theirs(pool: asyncpg.Pool, charlie: Brand) -> None:
    first, rival = await issue(pool, "Two shops"), await issue(pool, "One shop")
    for made, shops in ((first, ("main", "outlet")), (rival, ("main",))):
        for shop in shops:
            await write_source(
                pool, replace(charlie, id=ids.read("brand", made.brand_id)), "shopify", "secret", shop=shop
            )
    async with pool.acquire() as connection:
        with pytest.raises(Invalid, match="several shops: main, outlet") as refused:
            await issue_keys(connection, "Two shops")
        assert [each.field for each in refused.value.fields] == ["shop"]
        main = await issue_keys(connection, "Two shops", shop="main")
        outlet = await issue_keys(connection, "Two shops", shop=" outlet ")
        reading = await issue_keys(connection, "Two shops", ("read",))
        assert main.publishable_key == reading.publishable_key == first.publishable_key != outlet.publishable_key
        found = {key.hint: key.shop for key in await list_keys(connection, "Two shops")}
    assert (found[outlet.secret_key[-4:]], found[outlet.publishable_key]) == ("outlet", "outlet")
    assert found[reading.secret_key[-4:]] is None
    assert (await issue(pool, "One shop")).publishable_key == rival.publishable_key


async def test_another_brand_is_left_alone(pool: asyncpg.Pool, charlie: Brand) -> None:
    await issue(pool, "Not Charlie")
    assert await pool.fetchval("SELECT count(*) FROM api_key WHERE brand_id = $1", charlie.id) == 2


async def test_an_ambiguous_name_is_refused(pool: asyncpg.Pool) -> None:
    await create_brand(pool, "Twins")
    await create_brand(pool, "Twins")
    with pytest.raises(Conflict, match="several brands are named 'Twins'"):
        await issue(pool, "Twins")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("scopes", {"scopes": ("read", "everything")}),
        ("scopes", {"scopes": ()}),
        ("brand", {"brand": "  "}),
        ("brand", {"brand": "a\x00b"}),
        ("currency", {"currency": "ZZZ"}),
        ("time_zone", {"time_zone": "Paris"}),
        ("shop", {"shop": " "}),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_made(
    pool: asyncpg.Pool, field: str, values: dict[str, object]
) -> None:
    before = await pool.fetchval("/* across brands: none was made */ SELECT count(*) FROM brand")
    with pytest.raises(Invalid) as refused:
        async with pool.acquire() as connection:
            await issue_keys(connection, **({"brand": "Wrong"} | values))  # type: ignore[arg-type]
    assert [each.field for each in refused.value.fields] == [field]
    assert "String" not in refused.value.message
    assert await pool.fetchval("/* across brands: none was made */ SELECT count(*) FROM brand") == before


async def test_first_keys_are_made_in_an_empty_database_and_never_again(fresh_dsn) -> None:  # type: ignore[no-untyped-def]
    connection = await asyncpg.connect(await fresh_dsn())
    try:
        made = await issue_first_keys(connection)
        assert made is not None
        assert made.secret_key.startswith("sk_")
        assert await issue_first_keys(connection) is None
        assert await connection.fetchval("/* across brands: there is one */ SELECT name FROM brand") == "My brand"
    finally:
        await connection.close()


async def test_keys_are_listed_by_brand_without_their_secrets_and_a_revoked_one_when_asked(pool: asyncpg.Pool) -> None:
    made, rival = await issue(pool, "Listed", "read"), await issue(pool, "Rival of Listed")
    again = await issue(pool, "Listed", "admin")
    async with pool.acquire() as connection:
        secret, public, first = await list_keys(connection, " Listed ")
        assert [each.hint for each in (secret, public, first)] == [
            again.secret_key[-4:],
            made.publishable_key,
            made.secret_key[-4:],
        ]
        assert (first.kind, first.scopes, public.kind, public.shop) == ("secret", ("read",), "publishable", "main")
        assert {each.brand_id for each in (secret, public, first)} == {made.brand_id}
        everybody = await list_keys(connection)
        assert {made.brand_id, rival.brand_id} <= {each.brand_id for each in everybody}
        assert made.secret_key not in repr(everybody)
        revoked = await revoke_key(connection, first)
        assert revoked.revoked_at is not None
        assert [each.id for each in await list_keys(connection, "Listed")] == [secret.id, public.id]
        assert (await list_keys(connection, "Listed", revoked=True))[-1] == revoked
        assert await find_key(connection, first.id) == revoked
        # Revoked again, it keeps its time.
        assert await revoke_key(connection, first) == revoked
        assert len(await list_keys(connection, "Rival of Listed")) == 2
        with pytest.raises(NotFound, match="no brand is named 'Nobody of that name'"):
            await list_keys(connection, "Nobody of that name")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("sk_the-whole-secret", "that is a key, and its id is asked for"),
        ("lnk_00000000000000000000000000", "expected key_ and 26 characters"),
        ("key_00000000000000000000000000", "there is no key key_0"),
    ],
)
async def test_what_is_no_id_of_a_key_is_told_so_and_a_secret_is_not_repeated(
    pool: asyncpg.Pool, asked: str, sentence: str
) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(NotFound, match=sentence) as refused:
            await find_key(connection, asked)
    assert "whole-secret" not in refused.value.message
