// CUDA's threads on the CPU, enough of them to run the kernels: one fiber per thread of a block, blocks
// one after the other. A barrier hands control on until all threads of the block (or warp) are there.
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define EMULATED

struct Index {
    int x;
};
static Index threadIdx, blockIdx, blockDim;
// The dynamic shared memory of a block, which the source declares as extern.
static int histograms[12 * 1024];

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct float4 {
    float x, y, z, w;
};

struct Barrier {
    int arrived = 0, generation = 0;
};

static const size_t STACK_BYTES = 64 * 1024;
static ucontext_t scheduler;
static std::vector<ucontext_t> fibers;
static std::vector<std::unique_ptr<char[]>> stacks;
static std::vector<char> finished;
static Barrier block_barrier, warp_barriers[32];
static double exchanged[1024];
static std::function<void()> thread_body;

static void hand_on() {
    const int self = threadIdx.x;
    swapcontext(&fibers[self], &scheduler);
    threadIdx.x = self;
}

static void arrive(Barrier& barrier, int n_threads) {
    const int generation = barrier.generation;
    if (++barrier.arrived == n_threads) {
        barrier.arrived = 0;
        ++barrier.generation;
    }
    while (barrier.generation == generation) hand_on();
}

static void __syncthreads() { arrive(block_barrier, blockDim.x); }
static void __syncwarp() { arrive(warp_barriers[threadIdx.x / 32], 32); }

template <typename T>
static T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
    if (mask != 0xffffffffu) abort();
    exchanged[threadIdx.x] = value;
    __syncwarp();
    const T other = (T)exchanged[threadIdx.x ^ lane_mask];
    __syncwarp();
    return other;
}

// Shared memory is addressed in bytes, from its beginning.
typedef unsigned SharedAddress;
static SharedAddress shared_address(const int* cell) { return 4u * (unsigned)(cell - histograms); }
static void increment(SharedAddress address) {
    if (address % 4 || address >= sizeof(histograms)) abort();
    ++histograms[address / 4];
}

static float power_of_two(float exponent) { return std::exp2(exponent); }
static float log_of_two(float value) { return std::log2(value); }
static double widened(float value) { return value; }
static float narrowed(double value) { return (float)value; }
static int __float_as_int(float value) {
    int bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
// Toward zero; `rest` is what the sum in double precision leaves out, exactly.
static float __fadd_rz(float a, float b) {
    const double sum = (double)a + b, share = sum - a, rest = (a - (sum - share)) + (b - share);
    const float rounded = (float)sum;
    const bool beyond = rounded == sum ? rest * sum < 0.0 : std::fabs(rounded) > std::fabs(sum);
    return beyond ? std::nextafter(rounded, 0.0f) : rounded;
}
static float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fsub_rn(float a, float b) { return a - b; }

static void run_thread() {
    thread_body();
    finished[threadIdx.x] = 1;
    swapcontext(&fibers[threadIdx.x], &scheduler);
}

static void run_block(int n_threads) {
    for (int t = 0; t < n_threads; ++t) {
        finished[t] = 0;
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks[t].get();
        fibers[t].uc_stack.ss_size = STACK_BYTES;
        fibers[t].uc_link = &scheduler;
        makecontext(&fibers[t], run_thread, 0);
    }
    for (int running = n_threads; running > 0;) {
        running = 0;
        for (int t = 0; t < n_threads; ++t) {
            if (finished[t]) continue;
            threadIdx.x = t;
            swapcontext(&scheduler, &fibers[t]);
            running += !finished[t];
        }
    }
}

// Shared memory starts with garbage in every block, as it does on a device.
static int run_grid(int n_blocks, int n_threads, int shared_bytes, std::function<void()> body) {
    if (shared_bytes > (int)sizeof(histograms) || n_threads % 32) return 1;
    fibers.resize(n_threads);
    finished.resize(n_threads);
    while ((int)stacks.size() < n_threads) stacks.emplace_back(new char[STACK_BYTES]);
    thread_body = body;
    blockDim.x = n_threads;
    for (blockIdx.x = 0; blockIdx.x < n_blocks; ++blockIdx.x) {
        for (int& cell : histograms) cell = 0x5a5a5a5a;
        run_block(n_threads);
        for (size_t i = shared_bytes / sizeof(int); i < sizeof(histograms) / sizeof(int); ++i)
            if (histograms[i] != 0x5a5a5a5a) return 2;
    }
    return 0;
}
