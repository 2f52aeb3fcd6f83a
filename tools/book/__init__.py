"""From notebooks and pages to the book."""
