// Read bandwidth: threads sum a buffer, each its own part, with 1 to 8 streams side by side. For each
// number of streams the median pass counts, as it does for what is compared with it; a pass ends when
// the last thread has ended.
// usage: read-loops BYTES SECONDS [THREADS]  ->  "STREAMS GIGABYTES_PER_SECOND" per line
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __AVX512F__
#define WIDTH 64
#else
#define WIDTH 32
#endif
typedef uint64_t vec __attribute__((vector_size(WIDTH)));

#if !defined(__x86_64__) && !defined(__i386__)
#define __builtin_ia32_pause() atomic_thread_fence(memory_order_seq_cst)
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// S streams, each over its own part of the buffer, U vectors of each at a time: S * U independent
// chains, so that no addition waits for another.
#define LOOP(S, U)                                                            \
  static uint64_t read_##S(const vec *restrict data, size_t vectors) {        \
    size_t part = vectors / S / U * U;                                        \
    vec sum[S][U];                                                            \
    memset(sum, 0, sizeof sum);                                               \
    for (size_t i = 0; i < part; i += U)                                      \
      _Pragma("GCC unroll 8") for (int s = 0; s < S; s++)                     \
        _Pragma("GCC unroll 8") for (int u = 0; u < U; u++)                   \
          sum[s][u] += data[s * part + i + u];                                \
    vec total = sum[0][0] - sum[0][0];                                        \
    for (int s = 0; s < S; s++)                                               \
      for (int u = 0; u < U; u++) total += sum[s][u];                         \
    uint64_t out = 0;                                                         \
    for (unsigned l = 0; l < WIDTH / 8; l++) out += total[l];                 \
    return out;                                                               \
  }
LOOP(1, 8)
LOOP(2, 4)
LOOP(3, 4)
LOOP(4, 2)
LOOP(6, 2)
LOOP(8, 1)

typedef uint64_t (*reader)(const vec *restrict, size_t);
static const struct {
  int streams;
  reader read;
} loops[] = {{1, read_1}, {2, read_2}, {3, read_3}, {4, read_4}, {6, read_6}, {8, read_8}};
enum { LOOPS = sizeof loops / sizeof *loops, PASSES = 4096 };

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// A pass of all threads: `pass` starts it, `done` counts who has read.
static struct {
  const vec *data;
  size_t vectors; // of one thread
  int loop, times, threads;
  atomic_int pass, done;
  atomic_ullong sink;
} work;

static void read_part(int thread) {
  const vec *part = work.data + thread * work.vectors;
  uint64_t sum = 0;
  for (int k = 0; k < work.times; k++) sum += loops[work.loop].read(part, work.vectors);
  atomic_fetch_add(&work.sink, sum);
}

static void *follow(void *thread) {
  for (int seen = 0;;) {
    while (atomic_load(&work.pass) == seen) __builtin_ia32_pause();
    seen++;
    read_part((int)(intptr_t)thread);
    atomic_fetch_add(&work.done, 1);
  }
}

static void all_read(void) {
  atomic_store(&work.done, 1);
  atomic_fetch_add(&work.pass, 1);
  read_part(0);
  while (atomic_load(&work.done) < work.threads) __builtin_ia32_pause();
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 1;
  int threads = argc == 4 ? atoi(argv[3]) : 1;
  if (threads < 1) return 1;
  size_t unit = WIDTH * 64 * (size_t)threads;
  size_t bytes = strtoull(argv[1], 0, 10) / unit * unit;
  double seconds = atof(argv[2]) / LOOPS;
  vec *data = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!data || !bytes) return 1;
  // Real pages with real contents: untouched ones would all be the same page of zeros.
  for (size_t i = 0; i < bytes / 8; i++) ((uint64_t *)data)[i] = i * 0x9e3779b97f4a7c15u;
  work.data = data;
  work.vectors = bytes / WIDTH / threads;
  work.threads = threads;
  // Small buffers are read often enough that the clock's own cost vanishes.
  work.times = bytes < (1 << 26) ? (1 << 26) / bytes : 1;
  for (int t = 1; t < threads; t++) {
    pthread_t id;
    if (pthread_create(&id, 0, follow, (void *)(intptr_t)t)) return 1;
  }
  for (int l = 0; l < LOOPS; l++) {
    double took[PASSES], start = now();
    int passes = 0;
    work.loop = l;
    do {
      double from = now();
      all_read();
      took[passes++] = (now() - from) / work.times;
    } while (passes < PASSES && now() - start < seconds);
    qsort(took, passes, sizeof *took, ascending);
    printf("%d %.4f\n", loops[l].streams, bytes / took[passes / 2] * 1e-9);
  }
  return 0;
}
