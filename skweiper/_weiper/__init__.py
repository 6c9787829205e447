"""The method itself: the equations, what a score needs, the passes over rows, where they run."""
