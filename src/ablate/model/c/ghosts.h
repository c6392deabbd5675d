/* Batch norm of runs of neighbouring samples, on a CPU.
 *
 * N samples, K ghosts, C channels, P pixels of a sample (H * W).
 *
 * Ghost k holds size + 1 samples for k < rest, else size. Memory is float32, dense, and either channels-last, a row of
 * C numbers for each sample and pixel, or contiguous, a plane of P numbers for each sample and channel. Statistics are
 * (K, C). What is summed, and in which order, depends on these numbers alone, never on how many threads there are:
 * equal inputs give equal bytes.
 *
 * Functions that return an int return 0, or 1 if there is no memory for the sums.
 */

#ifndef GHOSTS_H
#define GHOSTS_H

#include <stdint.h>

#define LANES 16  /* floats that are worked on at once: one register, or several */
#define FEW 16384 /* numbers for which a second thread does not pay */

typedef struct {
    int64_t size, rest, num_ghosts, channels, pixels;
} Shape;

static inline int64_t first_sample(const Shape *s, int64_t ghost)
{
    return ghost * s->size + (ghost < s->rest ? ghost : s->rest);
}

static inline int64_t num_samples(const Shape *s, int64_t ghost) { return s->size + (ghost < s->rest); }

static inline int64_t numbers(const Shape *s) { return first_sample(s, s->num_ghosts) * s->channels * s->pixels; }

int forward_rows(const Shape *s, const float *x, const float *weight, const float *bias, double eps, float *out,
                 float *means, float *variances, float *inverse_stds);
int backward_rows(const Shape *s, const float *x, const float *grad, const float *weight, const float *means,
                  const float *inverse_stds, float *grad_x, float *sums, float *dots);
int forward_planes(const Shape *s, const float *x, const float *weight, const float *bias, double eps, float *out,
                   float *means, float *variances, float *inverse_stds);
int backward_planes(const Shape *s, const float *x, const float *grad, const float *weight, const float *means,
                    const float *inverse_stds, float *grad_x, float *sums, float *dots);

#endif
