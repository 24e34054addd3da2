"""The figures of docs/figures.md, measured again: ratios of two things measured in turn in one run, medians of at least three.

machine     what machine, how noisy
load        a load from outside: wrk, bounded in time, to 127.0.0.1 only
servers     what is compared: the service itself, a bare ASGI 302, the plain FastAPI + ORM way
redirect conversions hooks drain footprint      one scene each
"""
