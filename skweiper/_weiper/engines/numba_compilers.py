"""numba's compiler, by the liberties that it may take with floating-point arithmetic.

The kernels run without the interpreter's lock and are cached on disk. That there is no NaN and no
infinity may never be assumed.
"""

from contextlib import suppress
from functools import partial

import numba
from numba.extending import intrinsic

from skweiper._support.tasks import out_of_reach
from skweiper._weiper.engines.numba_cache import let_cache


def _compiler(**liberties):
    compile_kernel = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **liberties)
    return lambda function: compiled_whole(let_cache(compile_kernel(function)))


def compiled_whole(kernel):
    """The kernel, compiled at its first call where no interrupt can end it half way.

    numba would not compile again in this process: what it registers once is registered in part.
    """
    with suppress(AttributeError):  # a version without this private name compiles as it does
        compile_for = kernel._compile_for_args
        kernel._compile_for_args = lambda *args, **kws: out_of_reach(
            partial(compile_for, *args, **kws)
        )
    return kernel


compiled = _compiler()
# Multiplications and additions may be fused, but not taken in another order.
compiled_exact = _compiler(fastmath={"contract"})
# Sums may be taken in any order: this is what lets them run in vector registers.
compiled_sum = _compiler(fastmath={"reassoc", "contract", "nsz"})
# Copied into the callers before they are compiled, with their liberties: each compilation of a
# function by itself costs a tenth of a second and more.
inlined = numba.njit(nogil=True, error_model="numpy", inline="always")


@intrinsic
def reinterpreted(typing_context, number, kind):
    """The bits of a number as another kind of the same size.

    As `number.view(kind)`, of which numba compiles a function of its own for each pair of kinds.
    """

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return kind.dtype(number, kind), generate
