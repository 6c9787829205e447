"""The hot loop: everything that touches each perturbed logit, behind one small contract.

`contract` is the whole of it. `arrays` computes it in plain array operations, to be read first;
`numpy` and `numba` do so in tiles that stay in cache, `cupy` on a GPU.
"""
