"""The load as locust makes it. Run by load.py in an environment of its own, where nothing of ours can be imported: the description comes as
JSON on standard input, what was seen goes out as a line `RESULT {…}`."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402  gevent patches before anything else is imported
import logging  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from itertools import count  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from locust import FastHttpUser, constant, task  # noqa: E402
from locust.env import Environment  # noqa: E402

NUMBER = "@NUMBER@"
STOP_TIMEOUT_S = 5


def main(options: dict[str, Any]) -> dict[str, float]:
    """Asks as described; what a run of the load saw (load.Load)."""
    requests = options["requests"]
    paths, method, headers, body = (requests[name] for name in ("paths", "method", "headers", "body"))
    numbers = count(requests["first_number"])
    chance = random.Random(7)
    latencies: list[float] = []
    errors = 0

    class Asker(FastHttpUser):  # type: ignore[misc]  # not installed where types are checked
        wait_time = constant(0)
        network_timeout = connection_timeout = 10.0

        @task  # type: ignore[untyped-decorator]
        def ask(self) -> None:
            nonlocal errors
            sent = body.replace(NUMBER, str(next(numbers))) if body else None
            began = time.perf_counter()
            answer = self.client.request(
                method, chance.choice(paths), name="request", data=sent, headers=headers, allow_redirects=False
            )
            latencies.append((time.perf_counter() - began) * 1000)
            errors += not 200 <= answer.status_code < 400

    environment = Environment(user_classes=[Asker], host=options["url"], stop_timeout=STOP_TIMEOUT_S)
    runner = environment.create_local_runner()
    began, used = time.perf_counter(), time.process_time()
    runner.start(options["connections"], spawn_rate=options["connections"] * 100)
    gevent.sleep(options["seconds"])
    seconds, used_s = time.perf_counter() - began, time.process_time() - used
    runner.quit()
    latencies.sort()
    answered = len(latencies)
    return {
        "requests": answered,
        "seconds": seconds,
        "p50_ms": latencies[answered // 2],
        "p99_ms": latencies[answered * 99 // 100],
        "max_ms": latencies[-1],
        "errors": errors,
        "generator_cpu_us": used_s / answered * 1e6,
    }


logging.disable(logging.INFO)
print("RESULT", json.dumps(main(json.load(sys.stdin))), flush=True)
