"""One module per format: what it holds, its rows, and how scores are written to it."""
