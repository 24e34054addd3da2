"""An import through the API and its job: rows a second, and the most memory the background process held meanwhile."""

import json
import time
import urllib.request
from datetime import datetime, timedelta
from typing import Any

from app import clock
from bench.effort import Effort
from bench.machine import forget_peak, peak_mb
from bench.servers import Service, ariane

JOB_TIMEOUT_S = 900.0
HEADER = "order_id,occurred_at,currency,net,codes\n"
SPREAD = timedelta(days=29)


def scene(effort: Effort) -> list[str]:
    """The lines of the figures: a file of orders, and the same file again, which must change nothing."""
    with ariane() as service:
        service.call("POST", "/v1/codes", service.make_pair("Orders") | {"code": "BENCH10"})
        file = orders_file(effort.import_rows, ["BENCH10"])
        lines = [_import(service, file, effort.import_rows, "new orders")]
        lines.append(_import(service, file, effort.import_rows, "the same file again"))
        counted = service.call("GET", "/v1/reports/summary?group_by=influencer")["all_orders"]["conversions"]
        assert counted == effort.import_rows, f"{effort.import_rows} rows, {counted} orders"
    return lines


def orders_file(rows: int, codes: list[str]) -> bytes:
    """A CSV of so many orders, spread evenly over the last 29 days, each with one of the codes."""
    begin = clock.now() - SPREAD
    return (HEADER + "".join(_row(number, begin + SPREAD * (number / rows), codes) for number in range(rows))).encode()


def _row(number: int, at: datetime, codes: list[str]) -> str:
    return f"{number + 1},{at:%Y-%m-%dT%H:%M:%SZ},EUR,{20 + number % 80}.90,{codes[number % len(codes)]}\n"


def upload(service: Service, file: bytes) -> dict[str, Any]:
    """The job of this file, once it has ended well."""
    request = urllib.request.Request(f"{service.url}/v1/imports", data=file, method="POST")
    request.add_header("Authorization", f"Bearer {service.secret_key}")
    request.add_header("Content-Type", "text/csv")
    with urllib.request.urlopen(request, timeout=60) as answer:
        job = json.loads(answer.read())
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while (found := service.call("GET", f"/v1/jobs/{job['id']}"))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["state"] == "succeeded", found
    return dict(found)


def _import(service: Service, file: bytes, rows: int, name: str) -> str:
    worker = service.find("app.server.background")
    forget_peak(worker)
    before_mb = peak_mb(worker)
    began = time.perf_counter()
    with service.share() as share:
        job = upload(service, file)
    took_s = time.perf_counter() - began
    return (
        f"import of {rows:,} rows ({len(file) / 1e6:.1f} MB), {name:<20} {rows / took_s:7,.0f} rows/s, upload and queue included"
        f"   cpu per row: {share.each_us(rows)}   peak memory of the background process {peak_mb(worker):.0f} MB, {before_mb:.0f} MB before"
        f"   {_counts(job['result'])}"
    )


def _counts(result: dict[str, Any]) -> str:
    return f"{result['orders']['new']:,} new, {result['orders']['known']:,} known, {result['refused']:,} refused"
