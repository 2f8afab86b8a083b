"""Benchmarks: the tap beside other ways to read the same list, against the same sandbox."""
