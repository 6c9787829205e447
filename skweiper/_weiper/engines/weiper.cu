// Binning and averaged maximum softmax probability of perturbed logits: one thread block per sample,
// one group of lanes per repeat. Integer atomics and a fixed order of summation: the same input gives
// the same bits.

// Finite on purpose: the difference of two infinities would not be a number.
#define EMPTY_MAXIMUM (-3.402823466e+38f)
#define FULL_WARP 0xffffffffu

struct Bins {
    float low, scale, high;
    int n_bins;
};

// The two roundings of the NumPy engine; a fused multiply-add would move values across bin edges.
__device__ __forceinline__ void count(int* histogram, float value, const Bins& bins) {
    const float position = __fmul_rn(__fsub_rn(value, bins.low), bins.scale);
    if (!(position >= 0.0f)) return;
    const float last = (float)(bins.n_bins - 1);
    const int bin = value <= bins.high ? (int)fminf(position, last)
                                       : (int)fminf(position, (float)bins.n_bins);
    if (bin < bins.n_bins) atomicAdd(&histogram[bin], 1);
}

// Sum of exp(v - maximum), with the running maximum: one exponential for each value.
struct SoftmaxSum {
    float maximum, sum;

    __device__ __forceinline__ void add(float value) {
        const float rise = value - maximum;
        const float factor = __expf(-fabsf(rise));
        sum = rise > 0.0f ? sum * factor + 1.0f : sum + factor;
        maximum = fmaxf(maximum, value);
    }

    __device__ __forceinline__ void merge(float other_maximum, float other_sum) {
        const float top = fmaxf(maximum, other_maximum);
        sum = sum * __expf(maximum - top) + other_sum * __expf(other_maximum - top);
        maximum = top;
    }
};

struct ImplicitLogits {
    const float* logits;
    const float* offsets;
    float norm;
    int n_classes;

    __device__ __forceinline__ float operator()(int repeat, int c) const {
        const float offset = offsets[(size_t)repeat * n_classes + c];
        return __fadd_rn(__fmul_rn(norm, offset), logits[c]);
    }
};

struct StoredLogits {
    const float* values;
    const float* bias;
    int n_classes;

    __device__ __forceinline__ float operator()(int repeat, int c) const {
        const float value = values[(size_t)repeat * n_classes + c];
        return bias == nullptr ? value : __fadd_rn(value, bias[c]);
    }
};

// `lanes` (a power of two, at most 32) share a repeat; each of `n_copies` warps' histograms is
// private to the warps that map to it, so that warps seldom wait for each other.
template <typename Logits>
__device__ void measure_sample(const Logits& logit, int n_repeats, int n_classes, int lanes,
                               int n_copies, const Bins& bins, int* counts, double* msp_sums) {
    extern __shared__ int histograms[];
    __shared__ double warp_sums[32];
    const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32, lane = threadIdx.x % 32;
    const int member = lane % lanes, repeats_per_warp = 32 / lanes;
    for (int i = threadIdx.x; i < n_copies * bins.n_bins; i += blockDim.x) histograms[i] = 0;
    __syncthreads();

    int* histogram = histograms + (warp % n_copies) * bins.n_bins;
    double msp_sum = 0.0;
    // All lanes of a warp take the same number of steps: the shuffles need them all.
    for (int first = warp * repeats_per_warp; first < n_repeats; first += n_warps * repeats_per_warp) {
        const int repeat = first + lane / lanes;
        SoftmaxSum softmax = {EMPTY_MAXIMUM, 0.0f};
        if (repeat < n_repeats) {
            for (int c = member; c < n_classes; c += lanes) {
                const float value = logit(repeat, c);
                if (bins.n_bins > 0) count(histogram, value, bins);
                if (msp_sums != nullptr) softmax.add(value);
            }
        }
        if (msp_sums == nullptr) continue;
        __syncwarp();
        for (int step = lanes / 2; step > 0; step /= 2) {
            const float other_maximum = __shfl_xor_sync(FULL_WARP, softmax.maximum, step);
            const float other_sum = __shfl_xor_sync(FULL_WARP, softmax.sum, step);
            softmax.merge(other_maximum, other_sum);
        }
        if (member == 0 && repeat < n_repeats) msp_sum += 1.0 / (double)softmax.sum;
    }
    __syncwarp();
    for (int step = 16; step > 0; step /= 2) msp_sum += __shfl_xor_sync(FULL_WARP, msp_sum, step);
    if (lane == 0) warp_sums[warp] = msp_sum;
    __syncthreads();

    for (int bin = threadIdx.x; bin < bins.n_bins; bin += blockDim.x) {
        int total = 0;
        for (int copy = 0; copy < n_copies; ++copy) total += histograms[copy * bins.n_bins + bin];
        counts[(size_t)blockIdx.x * bins.n_bins + bin] = total;
    }
    if (threadIdx.x == 0 && msp_sums != nullptr) {
        double total = 0.0;
        for (int w = 0; w < n_warps; ++w) total += warp_sums[w];
        msp_sums[blockIdx.x] = total;
    }
}

// Perturbed logits logits[c] + norm * offsets[repeat, c], never written to memory.
extern "C" __global__ void measure_implicit(const float* logits, const float* norms,
                                            const float* offsets, int n_repeats, int n_classes,
                                            int lanes, int n_copies, float low, float scale,
                                            float high, int n_bins, int* counts,
                                            double* msp_sums) {
    const size_t sample = blockIdx.x;
    const ImplicitLogits logit = {logits + sample * n_classes, offsets, norms[sample], n_classes};
    const Bins bins = {low, scale, high, n_bins};
    measure_sample(logit, n_repeats, n_classes, lanes, n_copies, bins, counts, msp_sums);
}

// Values of shape (n_samples, n_repeats, n_classes) in memory; `bias` may be null.
extern "C" __global__ void measure_stored(const float* values, const float* bias, int n_repeats,
                                          int n_classes, int lanes, int n_copies, float low,
                                          float scale, float high, int n_bins, int* counts,
                                          double* msp_sums) {
    const size_t sample = blockIdx.x;
    const StoredLogits logit = {values + sample * n_repeats * n_classes, bias, n_classes};
    const Bins bins = {low, scale, high, n_bins};
    measure_sample(logit, n_repeats, n_classes, lanes, n_copies, bins, counts, msp_sums);
}
