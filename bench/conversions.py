"""`POST /v1/conversions`: transactional, attribution included, one web worker."""

import statistics

from bench import load
from bench.machine import cpu_seconds
from bench.servers import Service

ROUNDS = 3
CONNECTIONS = 32


def scene(service: Service) -> list[str]:
    """The lines of the figures. Every order is new and redeems a code."""
    campaign = service.call("POST", "/v1/campaigns", {"name": "Orders", "objective": "sales"})
    influencer = service.call("POST", "/v1/influencers", {"name": "Orders"})
    pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
    service.call("POST", "/v1/codes", pair | {"code": "BENCH10"})
    headers = {"Authorization": f"Bearer {service.secret_key}", "Content-Type": "application/json"}
    body = """string.format('{"order_id":"%d-%d","codes":["bench10"],"net_minor":4990,"currency":"EUR"}', start, n)"""
    before = _orders(service)
    rates, p99s, cpu, errors, sent = [], [], [], 0, 0
    for turn in range(ROUNDS):
        script = load.posts("/v1/conversions", headers, body).replace("os.time()", f"(os.time() + {turn * 100_000})")
        cpu_before = cpu_seconds(service.pid)
        seen = load.run(service.url, script, connections=CONNECTIONS)
        cpu.append((cpu_seconds(service.pid) - cpu_before) / seen.requests * 1e6)
        rates.append(seen.per_second)
        p99s.append(seen.p99_ms)
        errors += seen.errors
        sent += seen.requests
    recorded = _orders(service) - before
    return [
        f"POST /v1/conversions, {CONNECTIONS} connections   {statistics.median(rates):7,.0f}/s  ±{(max(rates) / min(rates) - 1) * 100:3.0f} %"
        f"  {statistics.median(cpu):7.0f} us cpu/request  p99 {statistics.median(p99s):6.1f} ms  errors {errors}   (first stage: 400/s)",
        # Requests still under way when the load ends are recorded and not counted as answered.
        f"answered {sent}, recorded {recorded} (at least as many)",
    ]


def _orders(service: Service) -> int:
    found = service.call("GET", "/v1/reports/summary")
    return int(found["all_orders"]["conversions"])
