"""Strings of HTML and SVG: the look of every page, whatever it shows."""
