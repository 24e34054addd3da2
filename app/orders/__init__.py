"""The heart of the service: from reports to orders, and to who gets them.

    record.py      reports of one brand, in the caller's transaction: everything begins here
    names.py         the rows that the names of the reports lead to: found or made, merged, taken apart
    locks.py         locked meanwhile
    facts.py         what was reported and decided: added once, never changed
    recompute.py   the one way from facts to an order, under its lock:
    facts.py         read all facts of it
    domain/folding     fold them into one order
    codes.py, evidence.py    the codes, clicks and policies that may explain it
    customers.py         and, by policy, what the customer's other orders say
    state.py           decide it (domain/attribution), and the rows that follow
    store.py, caps.py  write what changed
    queue.py         enqueue it once more, where a click may have arrived meanwhile

Whoever wants orders worked out again locks them and calls `recompute_orders`, or enqueues them: redecide.py empties the queue, and enqueues what a
change of a code or a campaign concerns; statuses.py changes statuses, and locks; batching.py records concurrent posts together.
"""
