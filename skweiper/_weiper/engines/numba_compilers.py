"""numba's compiler, by the liberties that it may take with floating-point arithmetic.

The kernels run without the interpreter's lock and are cached on disk. That there is no NaN and no
infinity may never be assumed.
"""

import numba

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
# Multiplications and additions may be fused, but not taken in another order.
compiled_exact = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
# Sums may be taken in any order: this is what lets them run in vector registers.
compiled_sum = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)
# Copied into the callers before they are compiled, with their liberties: each compilation of a
# function by itself costs a tenth of a second and more.
inlined = numba.njit(nogil=True, error_model="numpy", inline="always")
