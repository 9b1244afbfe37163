// Read bandwidth of one core: sums a buffer with 1 to 8 streams side by side. For each number of
// streams the median pass counts, as it does for what is compared with it.
// usage: read-loops BYTES SECONDS  ->  "STREAMS GIGABYTES_PER_SECOND" per line
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

int main(int argc, char **argv) {
  if (argc != 3) return 1;
  size_t bytes = strtoull(argv[1], 0, 10) / (WIDTH * 64) * (WIDTH * 64);
  double seconds = atof(argv[2]) / LOOPS;
  vec *data = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!data || !bytes) return 1;
  // Real pages with real contents: untouched ones would all be the same page of zeros.
  for (size_t i = 0; i < bytes / 8; i++) ((uint64_t *)data)[i] = i * 0x9e3779b97f4a7c15u;
  volatile uint64_t sink = 0;
  for (int l = 0; l < LOOPS; l++) {
    double took[PASSES], start = now();
    int passes = 0;
    do {
      // Small buffers are read often enough that the clock's own cost vanishes.
      int times = bytes < (1 << 26) ? (1 << 26) / bytes : 1;
      double from = now();
      for (int k = 0; k < times; k++) sink += loops[l].read(data, bytes / WIDTH);
      took[passes++] = (now() - from) / times;
    } while (passes < PASSES && now() - start < seconds);
    qsort(took, passes, sizeof *took, ascending);
    printf("%d %.4f\n", loops[l].streams, bytes / took[passes / 2] * 1e-9);
  }
  return 0;
}
