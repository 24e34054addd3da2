"""A launch day, run through the public interfaces of a service and checked to the minor unit.

    target         finds the service, or starts one, and makes keys of a new brand
    brand_setup    campaigns, influencers, links, codes, costs; the brand's shops, each on another platform
    browsers       who clicks: real user agents, and the class that each click must be counted in
    clicks         the clicks
    scenario       what is bought and what becomes of it, drawn from a seed
    simulator/     the vendors' messages, built and signed independently; the tests and the bench use them as well
    other_reports  thank-you pages, server calls, forged messages
    orders         everything that is sent, in random order, and what it must come to
    ledger         the books: what happened, and what a report over it must contain; the tests of the reports use them as well
    figures        the figures of a row, computed a second time
    compare        every figure of every breakdown against the books
    tables         the report as tables
    play           all of it

Nothing here imports the service: the books would agree with the mistakes of its parsers and of its arithmetic.
"""
