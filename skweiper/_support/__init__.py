"""What every estimator stands on: memory, rows, threads, checks, parameters."""
