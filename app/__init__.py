"""Ariane: links, clicks, orders and attribution for influencer marketing. CONTRIBUTING.md shows the rooms."""
