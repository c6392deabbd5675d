/* Contiguous memory: the planes of a ghost, channel by channel; what is read again lies in a thread's own cache. */

#include <math.h>

#include "ghosts.h"

static double sum_of_plane(const float *x, int64_t pixels)
{
    float lanes[LANES] = {0}, rest = 0;
    int64_t p = 0;
    for (; p + LANES <= pixels; p += LANES)
        for (int i = 0; i < LANES; i++) lanes[i] += x[p + i];
    for (; p < pixels; p++) rest += x[p];
    for (int i = 0; i < LANES; i++) rest += lanes[i];
    return rest;
}

static double squares_of_plane(const float *x, int64_t pixels, float mean)
{
    float lanes[LANES] = {0}, rest = 0, off;
    int64_t p = 0;
    for (; p + LANES <= pixels; p += LANES)
        for (int i = 0; i < LANES; i++) off = x[p + i] - mean, lanes[i] += off * off;
    for (; p < pixels; p++) off = x[p] - mean, rest += off * off;
    for (int i = 0; i < LANES; i++) rest += lanes[i];
    return rest;
}

static double dot_of_plane(const float *x, const float *grad, int64_t pixels, float mean)
{
    float lanes[LANES] = {0}, rest = 0;
    int64_t p = 0;
    for (; p + LANES <= pixels; p += LANES)
        for (int i = 0; i < LANES; i++) lanes[i] += grad[p + i] * (x[p + i] - mean);
    for (; p < pixels; p++) rest += grad[p] * (x[p] - mean);
    for (int i = 0; i < LANES; i++) rest += lanes[i];
    return rest;
}

int forward_planes(const Shape *s, const float *x, const float *weight, const float *bias, double eps, float *out,
                   float *means, float *variances, float *inverse_stds)
{
    int64_t pixels = s->pixels, stride = s->channels * pixels;
#pragma omp parallel for if (numbers(s) > FEW)
    for (int64_t i = 0; i < s->num_ghosts * s->channels; i++) {
        int64_t ghost = i / s->channels, c = i % s->channels, count = num_samples(s, ghost);
        int64_t start = first_sample(s, ghost) * stride + c * pixels;
        double all = (double)(count * pixels), sum = 0, squares = 0;
        for (int64_t n = 0; n < count; n++) sum += sum_of_plane(x + start + n * stride, pixels);
        float mean = (float)(sum / all);
        for (int64_t n = 0; n < count; n++) squares += squares_of_plane(x + start + n * stride, pixels, mean);
        float inverse_std = (float)(1 / sqrt(squares / all + eps));
        float scale = weight ? inverse_std * weight[c] : inverse_std, offset = (bias ? bias[c] : 0) - mean * scale;
        for (int64_t n = 0; n < count; n++) {
            const float *from = x + start + n * stride;
            float *to = out + start + n * stride;
            for (int64_t p = 0; p < pixels; p++) to[p] = from[p] * scale + offset;
        }
        means[i] = mean, variances[i] = (float)(squares / (all - 1)), inverse_stds[i] = inverse_std;
    }
    return 0;
}

int backward_planes(const Shape *s, const float *x, const float *grad, const float *weight, const float *means,
                    const float *inverse_stds, float *grad_x, float *sums, float *dots)
{
    int64_t pixels = s->pixels, stride = s->channels * pixels;
#pragma omp parallel for if (numbers(s) > FEW)
    for (int64_t i = 0; i < s->num_ghosts * s->channels; i++) {
        int64_t ghost = i / s->channels, c = i % s->channels, count = num_samples(s, ghost);
        int64_t start = first_sample(s, ghost) * stride + c * pixels;
        double all = (double)(count * pixels), sum = 0, dot = 0, inverse_std = inverse_stds[i];
        for (int64_t n = 0; n < count; n++) {
            sum += sum_of_plane(grad + start + n * stride, pixels);
            dot += dot_of_plane(x + start + n * stride, grad + start + n * stride, pixels, means[i]);
        }
        double steep = inverse_std * (weight ? weight[c] : 1), along = -steep * dot * inverse_std * inverse_std / all;
        float scale = (float)steep, slope = (float)along, offset = (float)(-steep * sum / all - along * means[i]);
        for (int64_t n = 0; n < count; n++) {
            const float *from = x + start + n * stride, *g = grad + start + n * stride;
            float *to = grad_x + start + n * stride;
            for (int64_t p = 0; p < pixels; p++) to[p] = g[p] * scale + (from[p] * slope + offset);
        }
        sums[i] = (float)sum, dots[i] = (float)(dot * inverse_std);
    }
    return 0;
}
