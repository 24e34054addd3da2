"""Five megabytes of anything: refused before it is parsed, in little time, by an answer of 64 kB at most. What a real order needs passes."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from app.domain.json_size import JsonCount, holds_more
from app.domain.strict_json import VALUES_MAX, Unreadable, read_json
from tests.cast import Brand
from tests.tracking.asking import ask

BODY_BYTES = 5 << 20
PROCESSOR_MAX_S = 0.6
"""Asked are 0.2 s; a test that runs beside others allows for three times as much."""
LATE_MAX_S = 0.06
"""Asked are 20 ms of the loop; a test that runs beside others allows for three times as much."""
TICK_S = 0.001
PART_BYTES = 64 << 10
"""What uvicorn hands on at once."""
ANSWER_BYTES_MAX = 64 << 10
COSTLY: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * BODY_BYTES,
    "objects in objects": lambda: b'{"a":' * (BODY_BYTES // 5),
    "nulls": lambda: b'{"links":[' + b"null," * (BODY_BYTES // 5 - 10) + b"null]}",
    "unknown fields": lambda: json.dumps({f"x{number}": 1 for number in range(BODY_BYTES // 14)}).encode(),
    "escapes": lambda: b'{"name":"' + b"\\u00e9" * (BODY_BYTES // 6 - 10) + b'"}',
    "one long text": lambda: b'{"name":"' + b"x" * (BODY_BYTES - 20) + b'"}',
    "texts just short enough": lambda: json.dumps({f"x{number}": "x" * 1_000_000 for number in range(5)}).encode(),
    "many texts": lambda: json.dumps({"links": ["x" * 60_000] * 80}).encode(),
    "digits": lambda: b'{"name":' + b"9" * (BODY_BYTES - 20) + b"}",
    "long names": lambda: b'{"' + b"n" * (BODY_BYTES - 20) + b'":1}',
    "a thousand rows, all wrong": lambda: json.dumps(
        {"links": [{f"x{number}": 1 for number in range(45)}] * 1_000}
    ).encode(),
    "bytes that are no text": lambda: b"\xff" * BODY_BYTES,
}


@pytest.mark.parametrize("kind", COSTLY)
@pytest.mark.parametrize("path", ["/v1/links/bulk", "/v1/mappings/check", "/v1/conversions"])
async def test_five_megabytes_of_anything_are_refused_at_little_cost_and_hold_up_nobody_else(
    service: FastAPI, alice: Brand, path: str, kind: str
) -> None:
    body = COSTLY[kind]()
    parts = [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)]
    late_s, ended = 0.0, False

    async def watch() -> None:
        nonlocal late_s
        while not ended:
            before_s = time.perf_counter()
            await asyncio.sleep(TICK_S)
            late_s = max(late_s, time.perf_counter() - before_s - TICK_S)

    headers = [("Content-Type", "application/json"), ("Authorization", f"Bearer {alice.secret_key}")]
    await ask(service, "POST", path, headers=headers, body=b"{}")  # the first request of a process loads what all need
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    began_s = time.process_time()
    answer = await ask(service, "POST", path, headers=headers, body=parts)
    took_s = time.process_time() - began_s
    ended = True
    await watching
    assert answer.status in {400, 413, 422}, answer.body[:300]
    assert len(answer.body) <= ANSWER_BYTES_MAX
    assert took_s <= PROCESSOR_MAX_S
    assert late_s <= LATE_MAX_S, f"{late_s * 1_000:.0f} ms"


def test_values_are_counted_outside_of_texts_whatever_the_parts() -> None:
    body = b'{"a":[1,2,{"b":"x,[{\\",\\\\"}],"c":""}'
    for size in range(1, len(body) + 1):
        count = JsonCount()
        for start in range(0, len(body), size):
            count.feed(body[start : start + size])
        assert (count.values, count.escapes) == (7, 3), size


def test_what_a_parser_reads_at_one_go_is_measured_over_all_parts() -> None:
    count = JsonCount()
    for part, run_bytes in (
        (b'{"name":"' + b"x" * 100, 100),
        (b"x" * 50, 150),
        (b'xx","b', 1),
        (b"\xff" * 9, 10),
        (b'":1,2   ', 7),
        (b" ", 8),
    ):
        count.feed(part)
        assert count.run_bytes == run_bytes, part


def test_a_message_with_more_values_than_an_order_has_is_refused_before_it_is_parsed() -> None:
    assert not holds_more(b"[" + b"1," * (VALUES_MAX - 3) + b"1]", VALUES_MAX)
    with pytest.raises(Unreadable) as refused:
        read_json(b"[" + b"1," * VALUES_MAX + b"1]")
    assert refused.value.reason == "too_many_values"
