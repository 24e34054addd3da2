"""Short links: one by one, a thousand at once, and as a table."""
