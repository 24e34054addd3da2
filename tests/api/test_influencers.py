"""Influencers over the API."""

import asyncio

from httpx2 import AsyncClient

from tests.api.conftest import Statements


async def make(client: AsyncClient, **fields: object) -> dict[str, object]:
    answer = await client.post("/v1/influencers", json={"name": "Léa", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_an_influencer_is_created_read_changed_and_archived(as_alice: AsyncClient) -> None:
    handles = [{"network": "Instagram", "handle": "@lea.cooks", "followers": 12_000}]
    made = await make(
        as_alice, email="lea@example.com", handles=handles, tags=["food", "food"], metadata={"a": 1, "b": 2}
    )
    assert made["handles"] == [{"network": "instagram", "handle": "lea.cooks", "followers": 12_000}]
    assert made["tags"] == ["food"]
    assert str(made["id"]).startswith("inf_")
    assert str(made["created_at"]).endswith("Z")
    path = f"/v1/influencers/{made['id']}"
    assert (await as_alice.get(path)).json() == made

    changed = (await as_alice.patch(path, json={"email": None, "metadata": {"a": None, "c": 3}})).json()
    assert changed["email"] is None
    assert changed["metadata"] == {"b": 2, "c": 3}
    assert changed["handles"] == made["handles"]

    archived = await as_alice.delete(path)
    assert archived.status_code == 200
    assert archived.json()["archived_at"] is not None
    assert (await as_alice.delete(path)).json() == archived.json()
    assert (await as_alice.get(path)).json()["archived_at"] is not None
    assert (await as_alice.get("/v1/influencers")).json()["data"] == []
    assert len((await as_alice.get("/v1/influencers", params={"include_archived": True})).json()["data"]) == 1
    assert (await as_alice.patch(path, json={"name": "x"})).json()["code"] == "influencer_archived"


async def test_a_name_can_not_be_cleared(as_alice: AsyncClient) -> None:
    made = await make(as_alice)
    answer = await as_alice.patch(f"/v1/influencers/{made['id']}", json={"name": None})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"


async def test_the_same_external_id_with_the_same_content_is_found_and_with_another_refused(
    as_alice: AsyncClient,
) -> None:
    first = await make(as_alice, external_id="crm 42:é")
    again = await as_alice.post("/v1/influencers", json={"name": "Léa", "external_id": "crm 42:é"})
    assert again.status_code == 200
    assert again.json() == first
    other = await as_alice.post("/v1/influencers", json={"name": "Zoé", "external_id": "crm 42:é"})
    assert other.status_code == 409
    assert other.json()["code"] == "external_id_taken"
    assert "name" in other.json()["detail"]


async def test_an_influencer_is_addressed_by_external_id(as_alice: AsyncClient) -> None:
    made = await make(as_alice, external_id="crm-7")
    assert (await as_alice.get("/v1/influencers/ext_crm-7")).json() == made
    assert (await as_alice.patch("/v1/influencers/ext_crm-7", json={"name": "Zoé"})).json()["name"] == "Zoé"
    assert (await as_alice.get("/v1/influencers", params={"external_id": "crm-7"})).json()["data"][0]["id"] == made[
        "id"
    ]


async def test_charlie_gets_404_and_never_a_row(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    made = await make(as_alice, external_id="crm-9")
    for name in (made["id"], "ext_crm-9"):
        assert (await as_charlie.get(f"/v1/influencers/{name}")).status_code == 404
        assert (await as_charlie.patch(f"/v1/influencers/{name}", json={"name": "mine"})).status_code == 404
        assert (await as_charlie.delete(f"/v1/influencers/{name}")).status_code == 404
    assert (await as_charlie.get("/v1/influencers", params={"include_archived": True})).json()["data"] == []
    assert (await make(as_charlie, external_id="crm-9"))["id"] != made["id"]


async def test_lists_are_filtered(as_alice: AsyncClient) -> None:
    await make(as_alice, name="Léa 100%", tags=["food"])
    await make(as_alice, name="Zoé", tags=["sport"])

    async def names(**params: str) -> list[str]:
        return [row["name"] for row in (await as_alice.get("/v1/influencers", params=params)).json()["data"]]

    assert await names() == ["Zoé", "Léa 100%"]
    assert await names(q="léa") == ["Léa 100%"]
    assert await names(q="%") == ["Léa 100%"]
    assert await names(tag="sport") == ["Zoé"]


async def test_a_cursor_is_stable_while_rows_are_added(as_alice: AsyncClient) -> None:
    made = [str((await make(as_alice, name=f"n{number}"))["id"]) for number in range(7)]
    first = await as_alice.get("/v1/influencers", params={"limit": 3})
    assert 'rel="next"' in first.headers["Link"]
    await make(as_alice, name="late")
    seen = [row["id"] for row in first.json()["data"]]
    page = first.json()
    while page["next_cursor"]:
        page = (await as_alice.get("/v1/influencers", params={"limit": 3, "cursor": page["next_cursor"]})).json()
        seen += [row["id"] for row in page["data"]]
    assert seen == made[::-1]
    assert page["has_more"] is False


async def test_a_cursor_of_another_list_brand_or_maker_is_refused(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    for _ in range(2):
        await make(as_alice)
    cursor = (await as_alice.get("/v1/influencers", params={"limit": 1})).json()["next_cursor"]
    assert (await as_alice.get("/v1/influencers", params={"limit": 1, "cursor": cursor})).status_code == 200
    tampered = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for asked in (
        as_charlie.get("/v1/influencers", params={"cursor": cursor}),
        as_alice.get("/v1/influencers", params={"cursor": cursor, "q": "x"}),
        as_alice.get("/v1/keys", params={"cursor": cursor}),
        as_alice.get("/v1/influencers", params={"cursor": tampered}),
        as_alice.get("/v1/influencers", params={"cursor": "é"}),
    ):
        answer = await asked
        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_cursor"


async def test_a_page_costs_one_statement_however_long_it_is(as_alice: AsyncClient, statements: Statements) -> None:
    for number in range(5):
        await make(as_alice, name=f"n{number}")
    await as_alice.get("/v1/influencers")
    del statements.texts[:]
    assert len((await as_alice.get("/v1/influencers")).json()["data"]) == 5
    assert len(statements) == 1


async def test_an_external_id_cannot_be_changed_into_one_that_is_taken(as_alice: AsyncClient) -> None:
    await make(as_alice, external_id="taken")
    other = await make(as_alice, external_id="free")
    answer = await as_alice.patch(f"/v1/influencers/{other['id']}", json={"external_id": "taken"})
    assert (answer.status_code, answer.json()["code"]) == (409, "external_id_taken")
    assert answer.json()["errors"][0]["pointer"] == "/external_id"
    assert (await as_alice.get("/v1/influencers/ext_free")).json() == other


async def test_external_ids_posted_at_once_make_one_row(as_alice: AsyncClient) -> None:
    body = {"name": "Léa", "external_id": "race"}
    answers = await asyncio.gather(*(as_alice.post("/v1/influencers", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
