"""What `benchmarks/faults.py` does to charrnn, a module per area."""
