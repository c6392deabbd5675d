/* What Python calls. */

#include "ghosts.h"

int ghosts_forward(int64_t samples, int64_t num_ghosts, int64_t channels, int64_t pixels, int64_t channels_last,
                   const float *x, const float *weight, const float *bias, double eps, float *out, float *means,
                   float *variances, float *inverse_stds)
{
    Shape s = {samples / num_ghosts, samples % num_ghosts, num_ghosts, channels, pixels};
    return (channels_last ? forward_rows : forward_planes)(&s, x, weight, bias, eps, out, means, variances,
                                                           inverse_stds);
}

/* sums, dots (K, C): of the gradient, and of the gradient times the normalised x. */
int ghosts_backward(int64_t samples, int64_t num_ghosts, int64_t channels, int64_t pixels, int64_t channels_last,
                    const float *x, const float *grad, const float *weight, const float *means,
                    const float *inverse_stds, float *grad_x, float *sums, float *dots)
{
    Shape s = {samples / num_ghosts, samples % num_ghosts, num_ghosts, channels, pixels};
    return (channels_last ? backward_rows : backward_planes)(&s, x, grad, weight, means, inverse_stds, grad_x, sums,
                                                             dots);
}

/* A step of the running mean and variance towards those of the whole batch: the variance within the ghosts and between
 * them, unbiased. */
void ghosts_track(int64_t samples, int64_t num_ghosts, int64_t channels, int64_t pixels, const float *means,
                  const float *variances, double step, float *running_mean, float *running_var)
{
    Shape s = {samples / num_ghosts, samples % num_ghosts, num_ghosts, channels, pixels};
    double all = (double)(samples * pixels);
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0, squares = 0;
        for (int64_t k = 0; k < num_ghosts; k++)
            mean += (double)(num_samples(&s, k) * pixels) * means[k * channels + c];
        mean /= all;
        for (int64_t k = 0; k < num_ghosts; k++) {
            double count = (double)(num_samples(&s, k) * pixels), off = means[k * channels + c] - mean;
            squares += (count - 1) * variances[k * channels + c] + count * off * off;
        }
        /* Not running + step * (new - running): with a step of 1 the old one is to be gone, however large it is. */
        running_mean[c] = (float)((1 - step) * running_mean[c] + step * mean);
        running_var[c] = (float)((1 - step) * running_var[c] + step * squares / (all - 1));
    }
}
