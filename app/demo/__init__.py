"""A launch day, played through the public doors of a running service and checked to the minor unit.

    browsers   who clicks: real user agents, and what each one must be counted as
    shop       the shop: Shopify bodies made from real ones, signed
    ledger     what the figures must be, kept by the demo itself
    day        what happens on the day, drawn from a seed
    play       plays it, waits, shows the report and compares

Nothing here imports the service's own arithmetic: the ledger would agree with its mistakes.
"""
