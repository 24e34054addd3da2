"""A launch day, played through the public doors of a running service and checked to the minor unit.

    stage        finds the service, or starts one, and asks it for a brand
    setting      campaigns, influencers, links, codes, costs; the brand's shops, each on another platform
    browsers     who clicks: real user agents, and what each one must be counted as
    clicks       the clicks
    day, carts   what is bought and what becomes of it, drawn from a seed; what it is worth
    shops/       what each platform's system sends of it, in the vendor's own form and signed as the vendor signs
    witnesses    who else tells of it: thank-you pages, servers, forgers
    orders       everything that is sent, in no order, and what it must come to
    ledger       what happened, kept by the demo itself
    figures      the figures of a report, worked out a second time
    compare      every figure of every breakdown against the ledger
    tables       the day as tables
    play         all of it

Nothing here imports the service's own parsers and arithmetic: the ledger would agree with their mistakes.
"""
