"""The shops of the brand, each with another system: the vendor's own messages, made from a cart and signed as the vendor signs."""
