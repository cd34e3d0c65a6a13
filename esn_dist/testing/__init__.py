"""Tests to inherit, for entries that other packages add. They need pytest; nothing else of esn_dist does."""
