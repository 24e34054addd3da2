"""`make bench`: every scene, or those named: redirect, conversions, hooks, drain, footprint."""

import sys
import time

from bench import conversions, drain, footprint, hooks, machine, redirect
from bench.servers import ariane

SCENES = ("redirect", "drain", "conversions", "hooks", "footprint")


def main(wanted: list[str]) -> None:
    """Runs the scenes one after the other and prints their lines as they come."""
    unknown = set(wanted) - set(SCENES)
    if unknown:
        raise SystemExit(f"no such scene: {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    chosen = wanted or list(SCENES)
    began = time.perf_counter()
    print(f"machine: {machine.describe()}")
    print(
        f"noise: equal work took up to {machine.noise_percent():.0f} % longer within a second; ratios are of things measured in turn\n"
    )
    if "redirect" in chosen:
        _print("redirect", redirect.scene())
    if "drain" in chosen:
        _print("drain", drain.scene())
    if {"conversions", "hooks", "footprint"} & set(chosen):
        with ariane() as service:
            paths = redirect.make_links(service, 10)
            if "conversions" in chosen:
                _print("conversions", conversions.scene(service))
            if "hooks" in chosen:
                _print("webhook door", hooks.scene(service))
            if "footprint" in chosen:
                _print("footprint", footprint.memory(service) + footprint.restart(service, paths[0]))
    print(f"\n{time.perf_counter() - began:.0f} s")


def _print(title: str, lines: list[str]) -> None:
    print(f"── {title}")
    for line in lines:
        print(f"   {line}")
    print(flush=True)


main(sys.argv[1:])
