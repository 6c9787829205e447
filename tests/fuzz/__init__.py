"""The attack: drawn shapes, dtypes, containers, labels, heads, parameters and orders of calls, for
every estimator of the library, each held to an oracle."""
