"""From the cells of a notebook to its deck."""
