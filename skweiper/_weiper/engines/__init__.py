"""The hot loop: everything that touches each perturbed logit, behind one small contract.

The contract is `prepare`, `load`, `histogram`, `logit_range`, `measure`, `perturbed_logits` and
`to_host`, with names, shapes and results that all engines share; its readable reference is
`NumpyEngine`. On the CPU an engine also takes what it measured before
(`unperturbed`) and a limit on its tiles (`within`); on a device it has its own streams and memory.
"""

from skweiper._weiper.engines.select import select_engine

__all__ = ["select_engine"]
