"""Deliveries: the messages of shops, kept as received, read, replayed, and removed after their time."""
