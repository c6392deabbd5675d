/* Channels-last memory: the rows of a ghost, in parts that threads share among each other. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "ghosts.h"

#define PART 8192 /* floats of a part: what is read twice of it then comes from the first-level cache */

static int64_t rows_of_part(const Shape *s) { return PART / s->channels > 0 ? PART / s->channels : 1; }

static int64_t parts_of_ghost(const Shape *s)
{
    int64_t most = (s->size + (s->rest > 0)) * s->pixels, rows = rows_of_part(s);
    return (most + rows - 1) / rows;
}

/* The part's first row, counted from the batch's first; *count: its rows, 0 where a smaller ghost has ended. */
static int64_t rows_of(const Shape *s, int64_t ghost, int64_t part, int64_t *count)
{
    int64_t rows = rows_of_part(s), begin = part * rows, all = num_samples(s, ghost) * s->pixels;
    *count = begin >= all ? 0 : begin + rows > all ? all - begin : rows;
    return first_sample(s, ghost) * s->pixels + begin;
}

/* Calls BODY(width, c) for blocks of channels [c, c + width): widths that compilers know unroll into registers. */
#define FOR_BLOCKS(channels, BODY)                                                                                     \
    do {                                                                                                               \
        int64_t c = 0;                                                                                                 \
        for (; c + 4 * LANES <= (channels); c += 4 * LANES) BODY(4 * LANES)                                            \
        for (; c + 2 * LANES <= (channels); c += 2 * LANES) BODY(2 * LANES)                                            \
        for (; c + LANES <= (channels); c += LANES) BODY(LANES)                                                        \
        for (; c < (channels); c++) BODY(1)                                                                            \
    } while (0)

/* Mean, and sum of squared distances from it, of `count` rows by channel.
 *
 * The mean of a first pass is off by the rounding of its sum. Where there are few channels, and so many rows in a part,
 * what is left in the second pass says by how much (the corrected two-pass algorithm of Chan, Golub and LeVeque 1983). */
static void moments_of_rows(const float *x, int64_t count, int64_t channels, float *restrict mean,
                            float *restrict squares)
{
#define MOMENTS(W)                                                                                                     \
    {                                                                                                                  \
        float sum[W] = {0}, square[W] = {0}, left[W] = {0}, m[W];                                                      \
        for (int64_t r = 0; r < count; r++)                                                                            \
            for (int i = 0; i < W; i++) sum[i] += x[r * channels + c + i];                                             \
        for (int i = 0; i < W; i++) m[i] = sum[i] / (float)count;                                                      \
        for (int64_t r = 0; r < count; r++)                                                                            \
            for (int i = 0; i < W; i++) {                                                                              \
                float off = x[r * channels + c + i] - m[i];                                                            \
                if (W < LANES) left[i] += off;                                                                         \
                square[i] += off * off;                                                                                \
            }                                                                                                          \
        for (int i = 0; i < W; i++) {                                                                                  \
            float by = left[i] / (float)count;                                                                         \
            mean[c + i] = m[i] + by;                                                                                   \
            squares[c + i] = square[i] - left[i] * by;                                                                 \
        }                                                                                                              \
    }
    FOR_BLOCKS(channels, MOMENTS);
}

/* Sums of the gradient, and of the gradient times (x - mean), of `count` rows by channel. */
static void sums_of_rows(const float *x, const float *grad, const float *mean, int64_t count, int64_t channels,
                         float *sums, float *dots)
{
#define SUMS(W)                                                                                                        \
    {                                                                                                                  \
        float sum[W] = {0}, dot[W] = {0}, m[W];                                                                        \
        for (int i = 0; i < W; i++) m[i] = mean[c + i];                                                                \
        for (int64_t r = 0; r < count; r++)                                                                            \
            for (int i = 0; i < W; i++) {                                                                              \
                float g = grad[r * channels + c + i];                                                                  \
                sum[i] += g;                                                                                           \
                dot[i] += g * (x[r * channels + c + i] - m[i]);                                                        \
            }                                                                                                          \
        for (int i = 0; i < W; i++) sums[c + i] = sum[i], dots[c + i] = dot[i];                                        \
    }
    FOR_BLOCKS(channels, SUMS);
}

/* out = a * scale + (b * slope + offset) by channel; without b, where that is NULL, a * scale + offset. */
static void combine_rows(const float *a, const float *scale, const float *b, const float *slope, const float *offset,
                         int64_t count, int64_t channels, float *restrict out)
{
#define COMBINE(W)                                                                                                     \
    {                                                                                                                  \
        float u[W], v[W], w[W];                                                                                        \
        for (int i = 0; i < W; i++) u[i] = scale[c + i], v[i] = b ? slope[c + i] : 0, w[i] = offset[c + i];            \
        if (b)                                                                                                         \
            for (int64_t j = c; j < count * channels; j += channels)                                                   \
                for (int i = 0; i < W; i++) out[j + i] = a[j + i] * u[i] + (b[j + i] * v[i] + w[i]);                   \
        else                                                                                                           \
            for (int64_t j = c; j < count * channels; j += channels)                                                   \
                for (int i = 0; i < W; i++) out[j + i] = a[j + i] * u[i] + w[i];                                       \
    }
    FOR_BLOCKS(channels, COMBINE);
}

/* Of one ghost, from its parts: means, unbiased variances and inverse standard deviations by channel. */
static void join_moments(const Shape *s, int64_t ghost, const float *part_means, const float *part_squares, double eps,
                         double *room, float *means, float *variances, float *inverse_stds)
{
    int64_t parts = parts_of_ghost(s), channels = s->channels, count;
    double all = (double)(num_samples(s, ghost) * s->pixels), *mean = room, *squares = room + channels;
    for (int64_t c = 0; c < channels; c++) mean[c] = squares[c] = 0;
    for (int64_t p = 0; p < parts; p++) {
        rows_of(s, ghost, p, &count);
        if (count == 0) break; /* nothing was written there */
        for (int64_t c = 0; c < channels; c++) mean[c] += (double)count * part_means[p * channels + c];
    }
    for (int64_t c = 0; c < channels; c++) mean[c] /= all;
    for (int64_t p = 0; p < parts; p++) {
        rows_of(s, ghost, p, &count);
        if (count == 0) break;
        for (int64_t c = 0; c < channels; c++) {
            double off = part_means[p * channels + c] - mean[c];
            squares[c] += part_squares[p * channels + c] + (double)count * off * off;
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        means[c] = (float)mean[c];
        variances[c] = (float)(squares[c] / (all - 1));
        inverse_stds[c] = (float)(1 / sqrt(squares[c] / all + eps));
    }
}

int forward_rows(const Shape *s, const float *x, const float *weight, const float *bias, double eps, float *out,
                 float *means, float *variances, float *inverse_stds)
{
    int64_t channels = s->channels, parts = parts_of_ghost(s), all = s->num_ghosts * parts;
    float *part_means = malloc(2 * all * channels * sizeof(float)), *part_squares = part_means + all * channels;
    int failed = part_means == NULL;
    if (failed) return 1;
#pragma omp parallel if (numbers(s) > FEW) reduction(| : failed)
    {
        int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num(), count;
        int64_t begin = thread * all / threads, end = (thread + 1) * all / threads;
        float *own = malloc(5 * channels * sizeof(float)), *scale = own, *offset = own + channels;
        double *room = malloc(2 * channels * sizeof(double));
        failed = own == NULL || room == NULL;
        for (int64_t i = begin; i < end; i++) {
            int64_t row = rows_of(s, i / parts, i % parts, &count);
            if (count)
                moments_of_rows(x + row * channels, count, channels, part_means + i * channels,
                                part_squares + i * channels);
        }
#pragma omp barrier
        for (int64_t i = begin, last = -1; i < end && !failed; i++) {
            int64_t ghost = i / parts, row = rows_of(s, ghost, i % parts, &count);
            if (ghost != last) {
                int keeps = i % parts == 0; /* every thread joins the ghosts that it needs; one writes the result */
                float *mean = keeps ? means + ghost * channels : own + 2 * channels;
                float *variance = keeps ? variances + ghost * channels : own + 3 * channels;
                float *inverse_std = keeps ? inverse_stds + ghost * channels : own + 4 * channels;
                join_moments(s, ghost, part_means + ghost * parts * channels, part_squares + ghost * parts * channels,
                             eps, room, mean, variance, inverse_std);
                for (int64_t c = 0; c < channels; c++) {
                    scale[c] = weight ? inverse_std[c] * weight[c] : inverse_std[c];
                    offset[c] = (bias ? bias[c] : 0) - mean[c] * scale[c];
                }
                last = ghost;
            }
            combine_rows(x + row * channels, scale, NULL, NULL, offset, count, channels, out + row * channels);
        }
        free(own), free(room);
    }
    free(part_means);
    return failed;
}

int backward_rows(const Shape *s, const float *x, const float *grad, const float *weight, const float *means,
                  const float *inverse_stds, float *grad_x, float *sums, float *dots)
{
    int64_t channels = s->channels, parts = parts_of_ghost(s), all = s->num_ghosts * parts;
    float *part_sums = malloc(2 * all * channels * sizeof(float)), *part_dots = part_sums + all * channels;
    int failed = part_sums == NULL;
    if (failed) return 1;
#pragma omp parallel if (numbers(s) > FEW) reduction(| : failed)
    {
        int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num(), count;
        int64_t begin = thread * all / threads, end = (thread + 1) * all / threads;
        float *own = malloc(3 * channels * sizeof(float)), *scale = own, *slope = own + channels,
              *offset = own + 2 * channels;
        double *room = malloc(2 * channels * sizeof(double)), *sum = room, *dot = room + channels;
        failed = own == NULL || room == NULL;
        for (int64_t i = begin; i < end; i++) {
            int64_t row = rows_of(s, i / parts, i % parts, &count) * channels, ghost = i / parts;
            sums_of_rows(x + row, grad + row, means + ghost * channels, count, channels, part_sums + i * channels,
                         part_dots + i * channels);
        }
#pragma omp barrier
        for (int64_t i = begin, last = -1; i < end && !failed; i++) {
            int64_t ghost = i / parts, row = rows_of(s, ghost, i % parts, &count);
            if (ghost != last) {
                double num_rows = (double)(num_samples(s, ghost) * s->pixels);
                for (int64_t c = 0; c < channels; c++) sum[c] = dot[c] = 0;
                for (int64_t p = ghost * parts; p < (ghost + 1) * parts; p++)
                    for (int64_t c = 0; c < channels; c++) {
                        sum[c] += part_sums[p * channels + c];
                        dot[c] += part_dots[p * channels + c];
                    }
                for (int64_t c = 0; c < channels; c++) {
                    int64_t k = ghost * channels + c;
                    double inverse_std = inverse_stds[k], steep = inverse_std * (weight ? weight[c] : 1);
                    double along = -steep * dot[c] * inverse_std * inverse_std / num_rows;
                    scale[c] = (float)steep;
                    slope[c] = (float)along;
                    offset[c] = (float)(-steep * sum[c] / num_rows - along * means[k]);
                    if (i % parts == 0) sums[k] = (float)sum[c], dots[k] = (float)(dot[c] * inverse_std);
                }
                last = ghost;
            }
            row *= channels;
            combine_rows(grad + row, scale, x + row, slope, offset, count, channels, grad_x + row);
        }
        free(own), free(room);
    }
    free(part_sums);
    return failed;
}
