"""Generators of made text: every row is invented here, or cut from the public corpus."""
