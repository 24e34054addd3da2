"""The figures of docs/figures.md, measured again: ratios of two things measured in turn in one run, medians of at least three.

effort      how much of everything
machine     what machine, how noisy; processor time and memory of processes          figures     medians, spreads, percentiles
asking      what a load asks for         load      the load: wrk or locust (locust_script, locust.txt)
servers     what is compared: the service itself, and plain.py: a bare ASGI 302, the plain FastAPI + ORM way
steady      requests at a steady rate    disk      the plain loop beside the webhook door        orders    shops' orders as messages
redirect drain deliveries conversions hooks platforms imports reports footprint      one scene each
"""
