"""Clicks: recorded in bulk, counted per day, visitors counted once."""
