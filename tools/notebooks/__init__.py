"""Run notebooks, compare them, shake them, and hold them to the rules."""
