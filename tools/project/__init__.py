"""The project as a whole: its address, environment, tests and timings."""
