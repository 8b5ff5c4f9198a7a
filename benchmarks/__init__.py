"""What the claims about speed and size rest on; `python -m benchmarks --help` lists it."""
