"""The terms of an ELBO, KL and nll, in nats and to be minimised; and schedules for the weight of the KL.

ELBO = -(nll + kl) is a lower bound on log p(x). Training minimises nll + weight * kl. Every Gaussian is diagonal, given
by its mean mu and the logarithm of its variance (not of its standard deviation). Tensors are float32 unless stated
otherwise.
"""

from collections.abc import Callable

import tensorflow as tf

from losses.replicas import batch_mean


def gaussian_kl(mu: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Return KL(N(mu, exp(l)) || N(0, I)) = 1/2 sum_d (mu_d^2 + exp(l_d) - 1 - l_d), [..., D] -> [...].

    l is `log_variance`. Kingma & Welling 2014, appendix B. The KL is at least 0, and exactly 0 for a collapsed
    posterior. For one value per dimension, as `free_bits` expects, add a last axis of size 1:
    gaussian_kl(mu[..., None], log_variance[..., None]).
    """
    # expm1 keeps the digits that exp(l) - 1 loses if a posterior has almost collapsed
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.math.expm1(log_variance) - log_variance, -1)


def gaussian_kl_between(
    mu_q: tf.Tensor, log_variance_q: tf.Tensor, mu_p: tf.Tensor | float, log_variance_p: tf.Tensor | float
) -> tf.Tensor:
    """Return KL(N(mu_q, exp(l_q)) || N(mu_p, exp(l_p))), for a learned or scaled prior, [..., D] -> [...].

    1/2 sum_d ((mu_q - mu_p)^2 / exp(l_p) + exp(l_q - l_p) - 1 - (l_q - l_p)), where l is a log variance. The prior
    broadcasts against q. For N(0, s I), pass mu_p = 0.0 and log_variance_p = log s, with s [B, 1] for one scale per
    example.
    """
    log_ratio = log_variance_q - log_variance_p
    distance = tf.square(mu_q - mu_p) * tf.exp(-log_variance_p)
    return 0.5 * tf.reduce_sum(distance + tf.math.expm1(log_ratio) - log_ratio, -1)


def full_gaussian_kl(mu: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return KL(N(mu, A A') || N(0, I)) = 1/2 (|mu|^2 + |A|^2 - D) - log |det A|, [..., D] -> [...].

    |A| is the Frobenius norm.

    Args:
        scale: A, triangular with a positive diagonal, [..., D, D].
    """
    size = tf.cast(tf.shape(mu)[-1], mu.dtype)
    squares = tf.reduce_sum(tf.square(mu), -1) + tf.reduce_sum(tf.square(scale), [-2, -1])
    return 0.5 * (squares - size) - tf.reduce_sum(tf.math.log(tf.linalg.diag_part(scale)), -1)


def timestep_kl(kl_per_step: tf.Tensor, lengths: tf.Tensor, part: float = 1.0) -> tf.Tensor:
    """Return the mean KL over the last `part` of each sentence's real steps, [B]: TWR-VAE's regularizer.

    Li et al. 2020. Each step t has its own posterior q(z_t | x_1..t). Of a sentence of n steps, the last ceil(part n)
    enter the mean, so at least one. The result for an empty sentence is 0. `part` = 1 is the paper's model; .25, .5 and
    .75 are its variants. The result is a mean over steps, not the KL of the z that is decoded. So nll + timestep_kl is
    trained, but is not a bound on -log p(x).

    Args:
        kl_per_step: [B, T]; values beyond a sentence's end, even NaN, do not count.
        lengths: int [B], the numbers of real steps, at most T.
        part: in (0, 1].

    Raises:
        ValueError: `part` is outside (0, 1].
    """
    if not 0 < part <= 1:
        raise ValueError(f"part must be in (0, 1], got {part}")
    steps = tf.shape(kl_per_step)[1]
    share = part * (1 - 1e-6)  # in float32, .3 * 50 is slightly more than 15, which ceil would round up to 16
    kept = tf.cast(tf.math.ceil(share * tf.cast(lengths, tf.float32)), lengths.dtype)
    counts = tf.sequence_mask(lengths, steps) & ~tf.sequence_mask(lengths - kept, steps)
    total = tf.reduce_sum(tf.where(counts, kl_per_step, 0.0), 1)
    return tf.math.divide_no_nan(total, tf.cast(kept, tf.float32))


def token_nll(h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Return -sum_t log softmax(h_t kernel + bias)[token_t] over the real tokens of each sentence, [B].

    PAD never counts: position t counts if t < length, whatever token it holds. PAD positions are dropped before the
    product with the kernel, the widest matrix of a model. The result is summed over
    tokens and averaged over nothing, so that it can be weighed against one KL.

    Args:
        h: [B, T, D]; h[:, t] predicts tokens[:, t], so the caller shifts the two by one position.
        kernel, bias: [D, V] and [V], the weights that turn h into logits.
        tokens: int [B, T]; real tokens are in [0, V).
        lengths: int [B], the numbers of predicted tokens; the end symbol counts, the start symbol does not.
    """
    real = tf.sequence_mask(lengths, tf.shape(tokens)[1])
    words = tf.boolean_mask(h, real), tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias)
    nll = _word_nll(*words, tf.boolean_mask(tokens, real))
    count = tf.size(lengths)
    return tf.math.unsorted_segment_sum(nll, tf.repeat(tf.range(count), lengths), count)


@tf.custom_gradient
def _word_nll(h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Return -log softmax(h kernel + bias)[word], [N], and its gradient, with few passes over arrays [N, V].

    An exponential is computed once for each logit. The softmax is never divided by its sum, nor by the weight of a word's
    nll: both go into the narrow arrays. h is [N, D], words int [N].
    """
    logits = tf.nn.bias_add(tf.matmul(h, kernel), bias)
    highest = tf.reduce_max(logits, 1)
    right = tf.gather(logits, words, batch_dims=1)
    raised = tf.exp(logits - highest[:, None])
    total = tf.reduce_sum(raised, 1)

    def gradient(weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, None]:
        places = tf.stack([tf.range(tf.size(words, words.dtype)), words], 1)
        error = tf.tensor_scatter_nd_sub(raised, places, total)  # total (softmax - one-hot)
        share = weight / total
        to_h = share[:, None] * tf.matmul(error, kernel, transpose_b=True)
        to_kernel = tf.matmul(share[:, None] * h, error, transpose_a=True)
        return to_h, to_kernel, tf.linalg.matvec(error, share, transpose_a=True), None

    return highest + tf.math.log(total) - right, gradient


def bag_nll(log_p: tf.Tensor, words: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Return -sum_t log p(word_t) of texts whose words are drawn independently, [N].

    Args:
        log_p: [N, V], the log probability of each word in a text.
        words: int [N, T], in [0, V) at the first `length` places; what follows does not count.
        lengths: int [N], the numbers of words.
    """
    real = tf.sequence_mask(lengths, tf.shape(words)[1])
    return -tf.reduce_sum(tf.where(real, tf.gather(log_p, tf.where(real, words, 0), batch_dims=1), 0.0), 1)


def multinomial_nll(logits: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Return -sum_w count_w log softmax(logits)_w for bags of words [B, V], [B]: NVDM's nll (Miao et al. 2016).

    It is the nll of the words in their original order, without the multinomial coefficient, which depends on no
    parameter. NVDM's perplexity divides this nll by the number of words.
    """
    # not softmax_cross_entropy_with_logits: its gradient assumes that the labels sum to 1
    return -tf.reduce_sum(counts * tf.nn.log_softmax(logits), -1)


def free_bits(kl_per_dimension: tf.Tensor, nats: float) -> tf.Tensor:
    """Return a KL [B] whose mean over the batch is sum_d max(nats, mean_b KL_bd).

    Kingma et al. 2016, free bits, with one dimension per group. `nats` is the paper's lambda; 0 gives the plain KL. A
    dimension is compared with `nats` by its mean over the batch. Up to `nats`, each example counts the constant `nats`
    and the dimension has no gradient, so lowering its KL brings no gain. Above, each example counts its own KL.

    Args:
        kl_per_dimension: [B, D].
    """
    above = batch_mean(tf.reduce_mean(kl_per_dimension, 0)) > nats
    return tf.reduce_sum(tf.where(above, kl_per_dimension, nats), -1)


def linear_weight(step: tf.Tensor | int, steps: int) -> tf.Tensor:
    """Return the KL's weight min(1, step / steps), which rises linearly from 0; always 1 if `steps` is 0.

    After Bowman et al. 2016.
    """
    return tf.minimum(tf.cast(step, tf.float32) / steps, 1.0) if steps else tf.ones([])


def cyclical_weight(step: tf.Tensor | int, cycle: float, ratio: float) -> tf.Tensor:
    """Return the KL's weight min(1, (step mod cycle) / (ratio cycle)).

    It rises linearly over the first `ratio` of each cycle, stays at 1, then starts again from 0 (Fu et al. 2019). The
    paper uses four cycles and R = 0.5.

    Args:
        step: counted from 0.
        cycle: length of a cycle, in steps.
        ratio: the paper's R, in (0, 1].
    """
    return tf.minimum(tf.math.floormod(tf.cast(step, tf.float32), cycle) / (ratio * cycle), 1.0)
