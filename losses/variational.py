"""The two sides of an ELBO, Kullback-Leibler terms and reconstruction, in nats and to be minimised, and how to weigh them.

ELBO = -(nll + kl) bounds log p(x) from below; training minimises nll + weight * kl. Every Gaussian is diagonal and given
by its mean mu and the logarithm of its variance (not of its deviation); all tensors are float32 unless said otherwise.
"""

import tensorflow as tf


def gaussian_kl(mu: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL(N(mu, exp(log_variance)) || N(0, I)) = 1/2 sum_d (mu_d^2 + exp(l_d) - 1 - l_d), [..., D] -> [...].

    Kingma & Welling 2014, appendix B. At least 0, which a collapsed posterior reaches exactly. One value for each
    dimension, as `free_bits` wants, comes of a last axis of 1: gaussian_kl(mu[..., None], log_variance[..., None]).
    """
    # expm1 keeps the digits that exp(l) - 1 loses where a posterior has all but collapsed
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.math.expm1(log_variance) - log_variance, -1)


def gaussian_kl_between(
    mu_q: tf.Tensor, log_variance_q: tf.Tensor, mu_p: tf.Tensor | float, log_variance_p: tf.Tensor | float
) -> tf.Tensor:
    """KL(N(mu_q, exp(log_variance_q)) || N(mu_p, exp(log_variance_p))), for a prior that is learned or scaled.

    1/2 sum_d ((mu_q - mu_p)^2 / exp(l_p) + exp(l_q - l_p) - 1 - (l_q - l_p)), [..., D] -> [...]. The prior broadcasts
    against q: N(0, s I) is mu_p = 0.0 and log_variance_p = log s, with s [B, 1] one scale for each example.
    """
    log_ratio = log_variance_q - log_variance_p
    distance = tf.square(mu_q - mu_p) * tf.exp(-log_variance_p)
    return 0.5 * tf.reduce_sum(distance + tf.math.expm1(log_ratio) - log_ratio, -1)


def timestep_kl(kl_per_step: tf.Tensor, lengths: tf.Tensor, part: float = 1.0) -> tf.Tensor:
    """Mean of the KL over the last `part` of each sentence's real steps: TWR-VAE's regulariser (Li et al. 2020), [B].

    A sentence of n steps counts its last ceil(part n), so at least one; 1 is the paper's model, 0.25, 0.5 and 0.75 its
    variants. Each step t has a posterior q(z_t | x_1..t) of its own. This is a mean, not the KL of the z that is
    decoded: nll + timestep_kl is what is trained, and is not a bound on -log p(x). An empty sentence counts 0.

    Args:
        kl_per_step: [B, T]; what stands beyond a sentence's end, even NaN, counts for nothing.
        lengths: int [B], real steps, at most T.
        part: in (0, 1].

    Raises:
        ValueError: `part` is outside (0, 1].
    """
    if not 0 < part <= 1:
        raise ValueError(f"part must be in (0, 1], got {part}")
    steps = tf.shape(kl_per_step)[1]
    share = part * (1 - 1e-6)  # in float32 .3 of 50 would be a little more than 15
    kept = tf.cast(tf.math.ceil(share * tf.cast(lengths, tf.float32)), lengths.dtype)
    counts = tf.sequence_mask(lengths, steps) & ~tf.sequence_mask(lengths - kept, steps)
    total = tf.reduce_sum(tf.where(counts, kl_per_step, 0.0), 1)
    return tf.math.divide_no_nan(total, tf.cast(kept, tf.float32))


def token_nll(h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """-sum_t log softmax(h_t kernel + bias)[token_t] over each sentence's real tokens, [B].

    PAD never counts, nor does it meet the kernel, the widest matrix of a model: position t does if t < length, whatever
    stands there. The sum over a sentence, neither a mean over tokens nor over the batch, so that it weighs against one KL.

    Args:
        h: [B, T, D], h[:, t] predicting tokens[:, t]: the shift by one is up to the caller.
        kernel, bias: [D, V] and [V], of the logits.
        tokens: int [B, T], in [0, V) where they are real.
        lengths: int [B], tokens that are predicted: the end symbol is one, the start symbol is not.
    """
    real = tf.sequence_mask(lengths, tf.shape(tokens)[1])
    words = tf.boolean_mask(h, real), tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias)
    nll = _word_nll(*words, tf.boolean_mask(tokens, real))
    count = tf.size(lengths)
    return tf.math.unsorted_segment_sum(nll, tf.repeat(tf.range(count), lengths), count)


@tf.custom_gradient
def _word_nll(h, kernel, bias, words):
    """-log softmax(h kernel + bias)[word], [N], with as few passes over [N, V] as there can be.

    One operation gives the loss and its gradient for the logits, softmax - one-hot; what a word's loss weighs is multiplied
    into the narrow h and not into that.
    """
    nll, error = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=tf.matmul(h, kernel) + bias, labels=words)

    def gradient(weight):
        to_h = weight[:, None] * tf.matmul(error, kernel, transpose_b=True)
        to_kernel = tf.matmul(weight[:, None] * h, error, transpose_a=True)
        return to_h, to_kernel, tf.linalg.matvec(error, weight, transpose_a=True), None

    return nll, gradient


def multinomial_nll(logits: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """-sum_w count_w log softmax(logits)_w of bags of words [B, V], [B]: NVDM's reconstruction (Miao et al. 2016).

    It is the likelihood of the words in the order they stood in, which is what NVDM's perplexity divides: without the
    multinomial coefficient, which no parameter moves.
    """
    # not softmax_cross_entropy_with_logits: its gradient takes the labels to sum to 1
    return -tf.reduce_sum(counts * tf.nn.log_softmax(logits), -1)


def free_bits(kl_per_dimension: tf.Tensor, nats: float) -> tf.Tensor:
    """KL [B] whose mean over the batch is sum_d max(nats, mean_b KL_bd): no reward for a dimension below `nats`.

    Kingma et al. 2016, free bits, with one dimension to a group; `nats` is their lambda, in nats, 0 for the plain KL. A
    dimension is judged by its mean over the batch; below the threshold each example counts the constant and the
    dimension has no gradient, above it each example counts its own KL.

    Args:
        kl_per_dimension: [B, D].
    """
    above = tf.reduce_mean(kl_per_dimension, 0) > nats
    return tf.reduce_sum(tf.where(above, kl_per_dimension, nats), -1)


def linear_weight(step: tf.Tensor | int, steps: int) -> tf.Tensor:
    """The KL's weight min(1, step / steps): 0 at first, then linear; of 0 steps always 1. After Bowman et al. 2016."""
    return tf.minimum(tf.cast(step, tf.float32) / steps, 1.0) if steps else tf.ones([])


def cyclical_weight(step: tf.Tensor | int, cycle: float, ratio: float) -> tf.Tensor:
    """The KL's weight min(1, (step mod cycle) / (ratio cycle)): linear over `ratio` of each cycle, then 1, then 0 again.

    Fu et al. 2019: `cycle` in steps, `ratio` their R in (0, 1]; steps count from 0. They use four cycles and R = 0.5.
    """
    return tf.minimum(tf.cast(step, tf.float32) % cycle / (ratio * cycle), 1.0)
