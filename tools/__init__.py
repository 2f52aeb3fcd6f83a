"""What authors and CI run; nothing here is imported by a notebook."""
