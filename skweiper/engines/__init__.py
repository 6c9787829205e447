"""The hot loop: everything that touches each perturbed logit, behind one small contract.

An engine is a class with the methods of `skweiper.engines.numpy.NumpyEngine`, which is the
readable reference of the contract. All engines agree on names, shapes and results.
"""

from skweiper.engines.select import select_engine

__all__ = ["select_engine"]
