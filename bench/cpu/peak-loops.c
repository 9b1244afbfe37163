// The most products of bytes that one core adds up in a second: operands from the first-level cache, 3 x 4
// vectors of sums in registers, as a blocked matrix product has them. The same for f32.
// usage: peak-loops SECONDS  ->  "NAME MULTIPLICATIONS_PER_SECOND" per line
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512VNNI__)
typedef __m512i bytes;
typedef __m512i sums;
#define DOT_NAME "vpdpbusd-512"
#define DOT(c, a, b) _mm512_dpbusd_epi32(c, a, b)
#elif defined(__AVX2__)
typedef __m256i bytes;
typedef __m256i sums;
#define DOT_NAME "vpmaddubsw-256"
#define DOT(c, a, b) \
  _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int8x16_t bytes;
typedef int32x4_t sums;
#define DOT_NAME "sdot"
#define DOT(c, a, b) vdotq_s32(c, a, b)
#endif

#if defined(__AVX512F__)
#define FLOATS 16
#elif defined(__AVX__)
#define FLOATS 8
#else
#define FLOATS 4
#endif
typedef float floats __attribute__((vector_size(4 * FLOATS)));

enum { DEPTH = 64, ROWS = 4, COLUMNS = 3 };
static uint8_t left[64 * DEPTH * ROWS] __attribute__((aligned(64)));
static uint8_t right[64 * DEPTH * COLUMNS] __attribute__((aligned(64)));
static volatile int sink;

// COLUMNS x ROWS sums over DEPTH vectors; each step loads ROWS + COLUMNS of them.
#define LOOP(NAME, IN, OUT, STEP)                                                 \
  static void NAME(void) {                                                        \
    const IN *a = (const IN *)left, *b = (const IN *)right;                       \
    OUT c[COLUMNS][ROWS] = {0};                                                   \
    for (int k = 0; k < DEPTH; k++)                                               \
      _Pragma("GCC unroll 3") for (int j = 0; j < COLUMNS; j++)                   \
        _Pragma("GCC unroll 4") for (int i = 0; i < ROWS; i++)                    \
          c[j][i] = STEP(c[j][i], a[k * ROWS + i], b[k * COLUMNS + j]);           \
    OUT total = c[0][0];                                                          \
    for (int n = 1; n < COLUMNS * ROWS; n++) total += c[n / ROWS][n % ROWS];      \
    int first;                                                                    \
    memcpy(&first, &total, sizeof first);                                         \
    sink = first;                                                                 \
  }
#define FMA(c, a, b) ((c) + (a) * (b))
LOOP(float_loop, floats, floats, FMA)
#ifdef DOT
LOOP(byte_loop, bytes, sums, DOT)
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// The best of many short runs: whoever disturbs some of them does not count.
static double rate(void (*loop)(void), double products, double seconds) {
  double best = 0, start = now();
  do {
    double from = now();
    for (int i = 0; i < 2000; i++) loop();
    double r = 2000 * products / (now() - from);
    if (r > best) best = r;
  } while (now() - start < seconds);
  return best;
}

int main(int argc, char **argv) {
  if (argc != 2) return 1;
  double seconds = atof(argv[1]) / 2, vectors = (double)DEPTH * ROWS * COLUMNS;
#ifdef DOT
  printf(DOT_NAME " %.0f\n", rate(byte_loop, vectors * sizeof(bytes), seconds));
#endif
  printf("f32-fma %.0f\n", rate(float_loop, vectors * FLOATS, seconds));
  return 0;
}
