// Histograms and averaged logit scores of perturbed logits. Integer atomics and a fixed order of
// summation: the same input gives the same bits.
//
// `lanes` (a power of two, at most 32) of a warp share a repeat, and take four classes at a time. What
// fills the last vector of a row up is `EMPTY`: it is counted in a cell that nobody reads, and has no
// share in a softmax.

#define FULL_WARP 0xffffffffu
// Finite on purpose: the difference of two infinities would not be a number.
#define EMPTY (-3.402823466e+38f)
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453
// Far below, a power of two is zero; times it, an infinite exponent would not be a number.
#define LEAST_EXPONENT (-1e4f)
// From here on single precision holds integers only, and the last bits of a sum are the integer.
#define FIRST_INTEGER 8388608.0f

#ifndef EMULATED
typedef unsigned SharedAddress;

__device__ __forceinline__ SharedAddress shared_address(const int* cell) {
    return (SharedAddress)__cvta_generic_to_shared(cell);
}

// A reduction, not an atomic: nobody waits for the former value, and equal cells of a warp are merged.
__device__ __forceinline__ void increment(SharedAddress address) {
    asm volatile("red.shared.add.u32 [%0], 1;" : : "r"(address) : "memory");
}

__device__ __forceinline__ float power_of_two(float exponent) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return power;
}

__device__ __forceinline__ float log_of_two(float value) {
    float logarithm;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(value));
    return logarithm;
}

// Conversions of the compiler's flush to zero what is below the normal numbers.
__device__ __forceinline__ double widened(float value) {
    double wide;
    asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(value));
    return wide;
}

__device__ __forceinline__ float narrowed(double value) {
    float narrow;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(narrow) : "d"(value));
    return narrow;
}
#endif

extern __shared__ int histograms[];

enum Score { MSP, MAX_LOGIT, ENERGY, ENTROPY };

// `last` and `beyond` are n_bins - 1 and n_bins, as floats.
struct Bins {
    float low, scale, high, last, beyond;
    int n_bins;
};

// A histogram in shared memory: `n_bins` cells between two for what lies below and above.
struct Histogram {
    Bins bins;
    SharedAddress origin;

    __device__ __forceinline__ Histogram(const Bins& bins, const int* cells)
        : bins(bins),
          origin(shared_address(cells) - 4u * (unsigned)__float_as_int(FIRST_INTEGER)) {}

    // The two roundings of the NumPy engine; a fused multiply-add would move values across edges.
    // What is below, or not a number, becomes -1, what is above becomes n_bins: no branch.
    __device__ __forceinline__ void count(float value, unsigned shift) const {
        const float position = __fmul_rn(__fsub_rn(value, bins.low), bins.scale);
        const float top = value <= bins.high ? bins.last : bins.beyond;
        const float cell = fmaxf(fminf(position, top), -1.0f);
        const int bits = __float_as_int(__fadd_rz(cell, FIRST_INTEGER + 1.0f));
        increment(origin + shift + 4u * (unsigned)bits);
    }

    __device__ __forceinline__ void count(const float (&values)[4], unsigned shift) const {
        for (int i = 0; i < 4; ++i) count(values[i], shift);
    }
};

// Sums of 2^e and, for the entropy, of e 2^e, over e = (value - maximum) log2(e).
template <bool WITH_ENTROPY>
struct Softmax {
    float maximum = EMPTY, sum = 0.0f, weighted = 0.0f;

    __device__ __forceinline__ float exponent(float difference) const {
        const float scaled = difference * LOG2_E;
        return WITH_ENTROPY ? fmaxf(scaled, LEAST_EXPONENT) : scaled;
    }

    __device__ __forceinline__ void lift(float top) {
        const float fall = exponent(maximum - top), factor = power_of_two(fall);
        if (WITH_ENTROPY) weighted = (weighted + fall * sum) * factor;
        sum *= factor;
        maximum = top;
    }

    __device__ __forceinline__ void add(const float (&values)[4]) {
        const float top = fmaxf(fmaxf(values[0], values[1]), fmaxf(values[2], values[3]));
        if (top > maximum) lift(top);
        for (int i = 0; i < 4; ++i) {
            const float fall = exponent(values[i] - maximum), power = power_of_two(fall);
            if (WITH_ENTROPY) weighted += fall * power;
            sum += power;
        }
    }

    __device__ __forceinline__ void merge_lanes(int lanes) {
        for (int step = lanes / 2; step > 0; step /= 2) {
            Softmax other;
            other.maximum = __shfl_xor_sync(FULL_WARP, maximum, step);
            other.sum = __shfl_xor_sync(FULL_WARP, sum, step);
            if (WITH_ENTROPY) other.weighted = __shfl_xor_sync(FULL_WARP, weighted, step);
            const float top = fmaxf(maximum, other.maximum);
            lift(top);
            other.lift(top);
            sum += other.sum;
            weighted += other.weighted;
        }
    }

    __device__ __forceinline__ double value(int score) const {
        if (WITH_ENTROPY) return LN_2 * (double)(weighted / sum) - (double)logf(sum);
        if (score == MSP) return (double)(1.0f / sum);
        return score == ENERGY ? (double)maximum + (double)logf(sum) : (double)maximum;
    }
};

// Perturbed logits logits[c] + norm * offsets[repeat, c], never written to memory. Rows are padded to
// whole vectors; an offset that was read serves all samples.
template <int SAMPLES>
struct ImplicitLogits {
    typedef float4 Part;
    const float4* offsets;
    const float4* logits[SAMPLES];
    float norms[SAMPLES];
    int n_vectors;

    __device__ __forceinline__ float4 part(int repeat, int vector) const {
        return offsets[(size_t)repeat * n_vectors + vector];
    }

    __device__ __forceinline__ void load(int sample, int vector, float4 offset,
                                         float (&values)[4]) const {
        const float4 logit = logits[sample][vector];
        values[0] = __fadd_rn(__fmul_rn(norms[sample], offset.x), logit.x);
        values[1] = __fadd_rn(__fmul_rn(norms[sample], offset.y), logit.y);
        values[2] = __fadd_rn(__fmul_rn(norms[sample], offset.z), logit.z);
        values[3] = __fadd_rn(__fmul_rn(norms[sample], offset.w), logit.w);
    }
};

// Perturbed logits of one sample in memory, (n_repeats, n_classes), less their bias.
struct StoredLogits {
    typedef const float* Part;
    const float* stored;
    const float* bias;
    int n_classes, n_vectors;

    __device__ __forceinline__ const float* part(int repeat, int vector) const {
        return stored + (size_t)repeat * n_classes + 4 * vector;
    }

    __device__ __forceinline__ void load(int, int vector, const float* row,
                                         float (&values)[4]) const {
        for (int i = 0; i < 4; ++i) {
            const int c = 4 * vector + i;
            values[i] = c < n_classes ? __fadd_rn(row[i], bias[c]) : EMPTY;
        }
    }
};

struct Sizes {
    int n_samples, n_repeats, lanes, n_copies, score;
};

// Each of `n_copies` histograms of a sample is private to the warps that map to it, so that warps
// seldom wait for each other.
__device__ __forceinline__ void clear(int* cells, int n_cells) {
    for (int i = threadIdx.x; i < n_cells; i += blockDim.x) cells[i] = 0;
    __syncthreads();
}

__device__ __forceinline__ void write_counts(const int* cells, int n_copies, int n_bins,
                                             int* counts) {
    for (int bin = threadIdx.x; bin < n_bins; bin += blockDim.x) {
        int total = 0;
        for (int copy = 0; copy < n_copies; ++copy) total += cells[copy * (n_bins + 2) + bin + 1];
        counts[bin] = total;
    }
}

// The sum over each so many lanes of a warp, in all of them.
template <typename Number>
__device__ __forceinline__ Number sum_of_lanes(Number term, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) term += __shfl_xor_sync(FULL_WARP, term, step);
    return term;
}

// The sum over all threads of a block, in thread 0.
__device__ __forceinline__ double block_sum(double term, double* warp_sums) {
    term = sum_of_lanes(term, 32);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = term;
    __syncthreads();
    double total = 0.0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp) total += warp_sums[warp];
    return total;
}

template <int SAMPLES, bool COUNTS, bool SCORES, bool WITH_ENTROPY, typename Logits>
__device__ __forceinline__ void measure(const Logits& logits, const Sizes& sizes, const Bins& bins,
                                        int* counts, double* score_sums) {
    __shared__ double warp_sums[SAMPLES][32];
    const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32, lane = threadIdx.x % 32;
    const int member = lane % sizes.lanes, repeats_per_warp = 32 / sizes.lanes;
    const int n_cells = bins.n_bins + 2, first_sample = blockIdx.x * SAMPLES;
    if (COUNTS) clear(histograms, SAMPLES * sizes.n_copies * n_cells);

    const Histogram histogram(bins, histograms + (warp % sizes.n_copies) * n_cells);
    const unsigned next_sample = 4u * sizes.n_copies * n_cells;
    double totals[SAMPLES] = {};
    // All lanes of a warp take the same number of steps: the shuffles need them all.
    for (int first = warp * repeats_per_warp; first < sizes.n_repeats;
         first += n_warps * repeats_per_warp) {
        const int repeat = first + lane / sizes.lanes;
        Softmax<WITH_ENTROPY> softmax[SAMPLES];
        if (repeat < sizes.n_repeats) {
            for (int vector = member; vector < logits.n_vectors; vector += sizes.lanes) {
                const typename Logits::Part part = logits.part(repeat, vector);
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s) {
                    float values[4];
                    logits.load(s, vector, part, values);
                    if (SCORES) softmax[s].add(values);
                    if (COUNTS) histogram.count(values, s * next_sample);
                }
            }
        }
        if (!SCORES) continue;
        __syncwarp();
#pragma unroll
        for (int s = 0; s < SAMPLES; ++s) {
            softmax[s].merge_lanes(sizes.lanes);
            if (member == 0 && repeat < sizes.n_repeats) totals[s] += softmax[s].value(sizes.score);
        }
    }
    __syncthreads();

#pragma unroll
    for (int s = 0; s < SAMPLES; ++s) {
        const size_t sample = first_sample + s;
        if (SCORES) totals[s] = block_sum(totals[s], warp_sums[s]);
        if (sample >= sizes.n_samples) continue;
        if (SCORES && threadIdx.x == 0) score_sums[sample] = totals[s];
        if (COUNTS) {
            write_counts(histograms + s * sizes.n_copies * n_cells, sizes.n_copies, bins.n_bins,
                         counts + sample * bins.n_bins);
        }
    }
}

// Samples of one block of `measure_implicit`: the more, the less of the offsets' traffic.
#define TOGETHER 4

template <bool COUNTS, bool SCORES, bool WITH_ENTROPY>
__device__ __forceinline__ void measure_implicit(const float4* logits, const float* norms,
                                                 const float4* offsets, int n_vectors,
                                                 const Sizes& sizes, const Bins& bins, int* counts,
                                                 double* score_sums) {
    ImplicitLogits<TOGETHER> of_samples;
    of_samples.offsets = offsets;
    of_samples.n_vectors = n_vectors;
#pragma unroll
    for (int s = 0; s < TOGETHER; ++s) {
        // What lies behind the last sample is computed as that sample once more, and not written.
        const int wanted = blockIdx.x * TOGETHER + s;
        const int sample = wanted < sizes.n_samples ? wanted : sizes.n_samples - 1;
        of_samples.logits[s] = logits + (size_t)sample * n_vectors;
        of_samples.norms[s] = norms[sample];
    }
    measure<TOGETHER, COUNTS, SCORES, WITH_ENTROPY>(of_samples, sizes, bins, counts, score_sums);
}

// Each kernel for histograms, for scores, for both, and for the entropy alone.
#define IMPLICIT_KERNEL(NAME, COUNTS, SCORES, WITH_ENTROPY)                                        \
    extern "C" __global__ void NAME(                                                               \
        const float4* logits, const float* norms, const float4* offsets, int n_samples,            \
        int n_repeats, int n_classes, int lanes, int n_copies, int score, float low, float scale,  \
        float high, float last, float beyond, int n_bins, int* counts, double* score_sums) {       \
        measure_implicit<COUNTS, SCORES, WITH_ENTROPY>(                                            \
            logits, norms, offsets, (n_classes + 3) / 4,                                           \
            {n_samples, n_repeats, lanes, n_copies, score},                                        \
            {low, scale, high, last, beyond, n_bins}, counts, score_sums);                         \
    }

IMPLICIT_KERNEL(measure_implicit_counts, true, false, false)
IMPLICIT_KERNEL(measure_implicit_scores, false, true, false)
IMPLICIT_KERNEL(measure_implicit_both, true, true, false)
IMPLICIT_KERNEL(measure_implicit_entropy, false, true, true)

// Values of shape (n_samples, n_repeats, n_classes).
#define STORED_KERNEL(NAME, COUNTS, SCORES, WITH_ENTROPY)                                          \
    extern "C" __global__ void NAME(                                                               \
        const float* values, const float* bias, int n_samples, int n_repeats, int n_classes,       \
        int lanes, int n_copies, int score, float low, float scale, float high, float last,        \
        float beyond, int n_bins, int* counts, double* score_sums) {                               \
        const float* of_sample = values + (size_t)blockIdx.x * n_repeats * n_classes;              \
        measure<1, COUNTS, SCORES, WITH_ENTROPY>(                                                  \
            StoredLogits{of_sample, bias, n_classes, (n_classes + 3) / 4},                         \
            {n_samples, n_repeats, lanes, n_copies, score},                                        \
            {low, scale, high, last, beyond, n_bins}, counts, score_sums);                         \
    }

STORED_KERNEL(measure_stored_counts, true, false, false)
STORED_KERNEL(measure_stored_scores, false, true, false)
STORED_KERNEL(measure_stored_both, true, true, false)
STORED_KERNEL(measure_stored_entropy, false, true, true)

// One pass over the values of each row, of shape (n_samples, n_values): their histogram, and their
// Euclidean norm, whose squares neither overflow nor vanish in double precision.
template <bool COUNTS, bool NORMS>
__device__ __forceinline__ void examine(const float* values, int n_values, int n_copies,
                                        const Bins& bins, int* counts, float* norms) {
    __shared__ double warp_sums[32];
    const int n_cells = bins.n_bins + 2, warp = threadIdx.x / 32;
    if (COUNTS) clear(histograms, n_copies * n_cells);
    const Histogram histogram(bins, histograms + (warp % n_copies) * n_cells);
    const float* row = values + (size_t)blockIdx.x * n_values;
    double squares = 0.0;
    for (int i = threadIdx.x; i < n_values; i += blockDim.x) {
        const float value = row[i];
        if (COUNTS) histogram.count(value, 0u);
        if (NORMS) squares += widened(value) * widened(value);
    }
    if (NORMS) {
        squares = block_sum(squares, warp_sums);
        if (threadIdx.x == 0) norms[blockIdx.x] = narrowed(sqrt(squares));
    }
    if (!COUNTS) return;
    __syncthreads();
    write_counts(histograms, n_copies, bins.n_bins, counts + (size_t)blockIdx.x * bins.n_bins);
}

#define ROWS_KERNEL(NAME, COUNTS, NORMS)                                                           \
    extern "C" __global__ void NAME(const float* values, int n_values, int n_copies, float low,    \
                                    float scale, float high, float last, float beyond, int n_bins, \
                                    int* counts, float* norms) {                                   \
        examine<COUNTS, NORMS>(values, n_values, n_copies,                                         \
                               {low, scale, high, last, beyond, n_bins}, counts, norms);           \
    }

ROWS_KERNEL(examine_rows_counts, true, false)
ROWS_KERNEL(examine_rows_norms, false, true)
ROWS_KERNEL(examine_rows_both, true, true)
