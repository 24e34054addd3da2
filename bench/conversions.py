"""`POST /v1/conversions`: transactional, attribution included, one web worker."""

import statistics

from bench import load
from bench.effort import Effort
from bench.figures import rate
from bench.requests import NUMBER, Requests
from bench.servers import Service, ariane

CONNECTIONS = 32


def scene(effort: Effort) -> list[str]:
    """The lines of the figures. Every order is new and redeems a code."""
    with ariane() as service:
        return _scene(service, effort)


def _scene(service: Service, effort: Effort) -> list[str]:
    service.call("POST", "/v1/codes", service.make_pair("Orders") | {"code": "BENCH10"})
    headers = {"Authorization": f"Bearer {service.secret_key}", "Content-Type": "application/json"}
    body = f'{{"order_id":"{NUMBER}","codes":["bench10"],"net_minor":4990,"currency":"EUR"}}'
    loads, shares = [], []
    for turn in range(effort.rounds):
        requests = Requests(("/v1/conversions",), "POST", headers, body, first_number=(turn + 1) * 1_000_000)
        with service.share() as share:
            loads.append(load.run(service.url, requests, seconds=effort.load_s, connections=CONNECTIONS))
        shares.append(share)
    sent = sum(each.requests for each in loads)
    recorded = int(service.call("GET", "/v1/reports/summary")["all_orders"]["conversions"])
    assert recorded >= sent, f"answered {sent}, recorded {recorded}"
    middle = shares[len(shares) // 2].each_us(loads[len(loads) // 2].requests)
    return [
        f"POST /v1/conversions, {CONNECTIONS} connections   {rate([each.per_second for each in loads])}"
        f"  p99 {statistics.median(each.p99_ms for each in loads):6.1f} ms  errors {sum(each.errors for each in loads)}"
        "   (first stage: 400/s, in the end 1,000/s)",
        f"cpu per request: {middle}",
        # Requests still under way when the load ends are recorded and not counted as answered.
        f"answered {sent:,}, recorded {recorded:,} (at least as many)",
        *([verdict] if (verdict := load.verdict(loads)) else []),
    ]
