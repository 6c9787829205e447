// The generalised entropy of each repeat, over its most probable classes; appended to weiper.cu.
//
// Probable classes are those whose logits are close to the largest one. The distance up to which they
// count is selected digit by digit, from a histogram of the digits of all distances: no sort.

#define DIGITS 256
#define DIGIT_BITS 8
#define ALL_KEYS 0xffffffffu
// Of base two, below which an exponential in single precision is zero on the host.
#define LEAST_POWER (-149.5f)
#define LIFT 64.0f
#define ONE_LIFTED_BACK 5.421010862427522e-20f

// A distance as an integer of the same order, from the exponent's eight bits down.
__device__ __forceinline__ unsigned key_of(float distance) {
    return (unsigned)__float_as_int(distance) << 1;
}

__device__ __forceinline__ float distance_of(unsigned key) { return __int_as_float((int)(key >> 1)); }

// The logits of one repeat, shared by some lanes of a warp.
template <typename Logits>
struct Repeat {
    const Logits& logits;
    int number, member, lanes;
    bool exists;

    template <typename Visit>
    __device__ __forceinline__ void each_vector(const Visit& visit) const {
        if (!exists) return;
        for (int vector = member; vector < logits.n_vectors; vector += lanes) {
            float values[4];
            logits.load(0, vector, logits.part(number, vector), values);
            visit(values);
        }
    }

    // visit(distance to the largest logit) for each class.
    template <typename Visit>
    __device__ __forceinline__ void each_distance(float largest, const Visit& visit) const {
        each_vector([&](const float(&values)[4]) {
            for (int i = 0; i < 4; ++i) visit(largest - values[i]);
        });
    }
};

// Classes of keys below `end` count, and `n_at_end` of those at `end`.
struct Selection {
    unsigned end;
    int n_at_end;
};

struct Digit {
    int value, n_before, n_of_it;
};

// The digit at which the sum of the cells reaches `rank`; all lanes of a warp call it.
__device__ __forceinline__ Digit digit_of_rank(const int* cells, int rank) {
    const int lane = threadIdx.x % 32, per_lane = DIGITS / 32;
    int before = 0, total = 0;
    for (int i = 0; i < per_lane; ++i) total += cells[per_lane * lane + i];
    const int own = total;
    for (int step = 1; step < 32; step *= 2) {
        const int others = __shfl_xor_sync(FULL_WARP, total, step);
        if (lane & step) before += others;
        total += others;
    }
    Digit found = {0, 0, 0};
    if (before < rank && rank <= before + own) {
        found.value = per_lane * lane;
        while (before + cells[found.value] < rank) before += cells[found.value++];
        found.n_before = before;
        found.n_of_it = cells[found.value];
    }
    // The other lanes have zeros.
    return {sum_of_lanes(found.value, 32), sum_of_lanes(found.n_before, 32),
            sum_of_lanes(found.n_of_it, 32)};
}

// The `wanted` smallest distances of a repeat that has more of them; the repeat is a whole warp's.
template <typename Logits>
__device__ __forceinline__ Selection select(const Repeat<Logits>& repeat, float largest, int wanted,
                                            int* cells) {
    const int lane = threadIdx.x % 32;
    unsigned prefix = 0, known = 0;
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        for (int i = lane; i < DIGITS; i += 32) cells[i] = 0;
        __syncwarp();
        const SharedAddress origin = shared_address(cells);
        repeat.each_distance(largest, [&](float distance) {
            const unsigned key = key_of(distance);
            if ((key & known) == prefix) increment(origin + 4u * ((key >> shift) % DIGITS));
        });
        __syncwarp();
        const Digit digit = digit_of_rank(cells, wanted);
        __syncwarp();
        wanted -= digit.n_before;
        prefix |= (unsigned)digit.value << shift;
        known |= (DIGITS - 1u) << shift;
        if (wanted == digit.n_of_it) break;
        if (shift == 0) return {prefix, wanted};
    }
    const unsigned last = prefix | ~known;  // keys are even: none is the largest integer
    return {last == ALL_KEYS ? last : last + 1, 0};
}

// What the classes of a repeat contribute. Exponentials are lifted by 2^LIFT: no class is lost that
// counts on the host.
struct Terms {
    float gamma, log_total, share;
    float sum = 0.0f, others = 0.0f;
    int n_largest = 0;

    __device__ __forceinline__ Terms(float gamma, float total)
        : gamma(gamma), log_total(log_of_two(total)), share(ONE_LIFTED_BACK / total) {}

    __device__ __forceinline__ void add(float fall, bool counts) {
        if (fall == 0.0f) {
            ++n_largest;
        } else if (fall > LEAST_POWER) {
            const float lifted = power_of_two(fall + LIFT);
            others += lifted;
            if (counts) sum += term(fall, lifted);
        }
    }

    // (p (1 - p))^gamma of a class that is not the most probable one.
    __device__ __forceinline__ float term(float fall, float lifted) const {
        return power_of_two(gamma * (fall - log_total + log_of_two(1.0f - lifted * share)));
    }

    // That of the most probable one, of which 1 - p would cancel: the others' exponentials do not.
    __device__ __forceinline__ float largest_term() const {
        const float rest = n_largest > 1
                               ? log_of_two(others * ONE_LIFTED_BACK + (float)(n_largest - 1))
                               : log_of_two(others) - LIFT;
        return power_of_two(gamma * (rest - 2.0f * log_total));
    }

    __device__ __forceinline__ void merge_lanes(int lanes) {
        sum = (float)sum_of_lanes((double)sum, lanes);
        others = (float)sum_of_lanes((double)others, lanes);
        n_largest = sum_of_lanes(n_largest, lanes);
    }
};

template <typename Logits>
__device__ __forceinline__ float generalised_entropy(const Repeat<Logits>& repeat, int n_classes,
                                                     int top_classes, float gamma, int* cells) {
    Softmax<false> softmax;
    repeat.each_vector([&](const float(&values)[4]) { softmax.add(values); });
    __syncwarp();
    softmax.merge_lanes(repeat.lanes);
    Selection chosen = {ALL_KEYS, 0};
    if (n_classes > top_classes) chosen = select(repeat, softmax.maximum, top_classes, cells);

    Terms terms(gamma, softmax.sum);
    repeat.each_distance(softmax.maximum, [&](float distance) {
        terms.add(softmax.exponent(-distance), key_of(distance) < chosen.end);
    });
    __syncwarp();
    terms.merge_lanes(repeat.lanes);
    if (chosen.end > 0 && chosen.n_at_end > 0) {
        const float fall = softmax.exponent(-distance_of(chosen.end));
        if (fall > LEAST_POWER) {
            terms.sum += chosen.n_at_end * terms.term(fall, power_of_two(fall + LIFT));
        }
    }
    const int n_counted = terms.n_largest < top_classes ? terms.n_largest : top_classes;
    return terms.sum + n_counted * terms.largest_term();
}

// The sum over the repeats of the negative entropies, for the sample of a block.
template <typename Logits>
__device__ __forceinline__ void measure_gen(const Logits& logits, int n_repeats, int n_classes,
                                            int lanes, int top_classes, float gamma,
                                            double* score_sums) {
    __shared__ double warp_sums[32];
    const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32, lane = threadIdx.x % 32;
    const int repeats_per_warp = 32 / lanes;
    double total = 0.0;
    // All lanes of a warp take the same number of steps: the shuffles need them all.
    for (int first = warp * repeats_per_warp; first < n_repeats;
         first += n_warps * repeats_per_warp) {
        const int number = first + lane / lanes;
        const Repeat<Logits> repeat = {logits, number, lane % lanes, lanes, number < n_repeats};
        const float entropy =
            generalised_entropy(repeat, n_classes, top_classes, gamma, histograms + warp * DIGITS);
        if (lane % lanes == 0 && repeat.exists) total -= entropy;
    }
    __syncthreads();
    total = block_sum(total, warp_sums);
    if (threadIdx.x == 0) score_sums[blockIdx.x] = total;
}

extern "C" __global__ void measure_implicit_gen(const float4* logits, const float* norms,
                                                const float4* offsets, int n_repeats,
                                                int n_classes, int lanes, int top_classes,
                                                float gamma, double* score_sums) {
    const int n_vectors = (n_classes + 3) / 4;
    const ImplicitLogits<1> of_sample = {
        offsets, {logits + (size_t)blockIdx.x * n_vectors}, {norms[blockIdx.x]}, n_vectors};
    measure_gen(of_sample, n_repeats, n_classes, lanes, top_classes, gamma, score_sums);
}

extern "C" __global__ void measure_stored_gen(const float* values, const float* bias,
                                              int n_repeats, int n_classes, int lanes,
                                              int top_classes, float gamma, double* score_sums) {
    const float* of_sample = values + (size_t)blockIdx.x * n_repeats * n_classes;
    const StoredLogits logits = {of_sample, bias, n_classes, (n_classes + 3) / 4};
    measure_gen(logits, n_repeats, n_classes, lanes, top_classes, gamma, score_sums);
}
