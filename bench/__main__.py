"""`make bench`, or `python -m bench [--quick] [scene …]`: every scene, or those named. docs/figures.md says how long each takes."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from bench import (
    abuse,
    conversions,
    deliveries,
    drain,
    footprint,
    hooks,
    imports,
    load,
    machine,
    platforms,
    redirect,
    reports,
    spool,
)
from bench.effort import QUICK, Effort

SCENES: dict[str, tuple[str, Callable[[Effort], list[str]]]] = {
    "redirect": ("redirect", redirect.scene),
    "drain": ("drain", drain.scene),
    "deliveries": ("deliveries", deliveries.scene),
    "conversions": ("POST /v1/conversions", conversions.scene),
    "hooks": ("webhook door", hooks.scene),
    "platforms": ("webhook door, every platform", platforms.scene),
    "imports": ("imports", imports.scene),
    "reports": ("reports", reports.scene),
    "spool": ("the spool beside SQLite", spool.scene),
    "abuse": ("redirects under abuse", abuse.scene),
    "footprint": ("memory, start and stop", footprint.scene),
}


def main() -> None:
    """Run the scenes one after the other and print their lines."""
    options = _arguments()
    effort = QUICK if options.quick else Effort()
    effort = replace(
        effort,
        report_clicks=options.report_clicks or effort.report_clicks,
        report_orders=options.report_orders or effort.report_orders,
    )
    # The exit ends the processes that a scene started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.perf_counter()
    print(f"machine: {machine.describe()}")
    print(f"load: {load.generator()}")
    print("QUICK: it shows that everything runs, its figures mean nothing\n" if options.quick else "", flush=True)
    for name in options.scenes or SCENES:
        title, scene = SCENES[name]
        started = time.perf_counter()
        weather = machine.Weather()
        lines = scene(effort)
        print(f"── {title} ({time.perf_counter() - started:.0f} s; {weather.tell()})")
        print("".join(f"   {line}\n" for line in lines), flush=True)
    print(f"{time.perf_counter() - began:.0f} s in all")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="The figures of docs/figures.md, measured again."
    )
    parser.add_argument("scenes", nargs="*", metavar="scene", help=", ".join(SCENES))
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that it runs")
    parser.add_argument("--report-clicks", type=int, metavar="N", help="clicks of 30 days behind the reports")
    parser.add_argument("--report-orders", type=int, metavar="N", help="orders of 30 days behind the reports")
    options = parser.parse_args()
    unknown = set(options.scenes) - set(SCENES)
    if unknown:
        parser.error(f"no such scene: {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    return options


if __name__ == "__main__":
    main()
