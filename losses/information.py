"""InfoGAN's variational bound on the mutual information of the code and the image (Chen et al. 2016, section 5)."""

import math

import tensorflow as tf


def categorical_bound(c: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """E[log Q(c | x)] + H(c) of a one-hot code c [B, K] with a uniform prior, from the head's logits [B, K].

    Per example [B], in nats, to be maximised: at most log K, reached when Q is certain and right; 0 for a uniform Q.
    Chen et al. 2016, eq. 5.
    """
    return math.log(c.shape[-1]) - tf.nn.softmax_cross_entropy_with_logits(c, logits)


def continuous_bound(c: tf.Tensor, mean: tf.Tensor, log_sigma: tf.Tensor) -> tf.Tensor:
    """E[log Q(c | x)] + H(c) of codes c [B, D] uniform on [-1, 1], Q a diagonal Gaussian: mean, log_sigma [B, D].

    Per example [B], in nats, to be maximised; H(c) = D log 2. Chen et al. 2016, section 6 ("factored Gaussian").
    """
    log_q = -0.5 * math.log(2 * math.pi) - log_sigma - 0.5 * tf.square((c - mean) * tf.exp(-log_sigma))
    return tf.reduce_sum(log_q + math.log(2.0), -1)
