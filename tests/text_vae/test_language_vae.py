import keras
import numpy as np
import pytest
import tensorflow as tf

from losses.variational import free_bits
from metrics.likelihood import elbo, importance_weighted_nll
from text_vae.language_vae import LanguageModel, RecurrentVAE
from text_vae.layers import WordDecoder
from text_vae.twr_vae import DECODED, TWRVAE

WORDS, LATENT = 9, 3
SEED = tf.constant([1, 2])
COUNTS = [0, 1, 3, 5, 2, 0, 0]


def build(kind=RecurrentVAE, cell="lstm", dropout=0.0, longest=100, **options):
    keras.utils.set_random_seed(0)
    sizes = {"cell": cell, "units": 5, "latent": 0 if kind is LanguageModel else LATENT}
    own = {name: options.pop(name, False) for name in ("tied", "locked")}
    decoder = WordDecoder(words=WORDS, embedding=4, dropout=dropout, longest=longest, **own, **sizes)
    options = {"decoder": decoder, "kl_weight": lambda step: tf.ones([])} | options
    if kind is not LanguageModel:
        options |= sizes
    if kind is TWRVAE:
        options = {"decoded": "normal", "kl_part": 1.0, "read_end": True, "length_counts": COUNTS} | options
    model = kind(**options)
    far = [model.decoder.embedding.embeddings]  # large, so that sentences and their posteriors differ
    far += [] if kind is LanguageModel else [model.log_variance.kernel]
    for variable in far:
        variable.assign(tf.random.stateless_normal(variable.shape, [0, 1]))
    model.compile(keras.optimizers.Adam(0.01))
    return model


def batch():
    return {"tokens": tf.constant([[4, 5, 2, 0, 0], [6, 3, 8, 7, 2]]), "lengths": tf.constant([3, 5])}


def alone(row):
    length = int(batch()["lengths"][row])
    return {"tokens": batch()["tokens"][row : row + 1, :length], "lengths": batch()["lengths"][row : row + 1]}


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def log_weights(model, samples):
    """Return the log weights, compiled, because a hundred eager passes take long."""
    return tf.function(lambda: model.log_weights(batch(), samples, SEED))().numpy()


MODELS = [(LanguageModel, {}), (RecurrentVAE, {})]
MODELS += [(TWRVAE, {"decoded": decoded, "read_end": False}) for decoded in DECODED]
OBJECTIVES = [(RecurrentVAE, {"kl_per_step": True}), (TWRVAE, {"kl_part": 0.5})]  # they weigh the KL of a training


@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_the_loss_of_a_sentence_does_not_depend_on_its_batch(kind, options):
    """Free bits are left out, because they depend on the mean of a dimension's KL over the batch."""
    model = build(kind, **options)
    if kind is LanguageModel:
        found, apart = model.elbo_terms(batch(), SEED).nll, [model.elbo_terms(alone(row), SEED).nll for row in (0, 1)]
        np.testing.assert_allclose(found, np.concatenate(apart), rtol=1e-5)
        return
    latent = model.infer(batch())
    for row in (0, 1):
        own = model.infer(alone(row))
        for together, single in zip((*latent[:3], latent.kl), (*own[:3], own.kl), strict=True):
            np.testing.assert_allclose(together[row], single[0], rtol=1e-4, atol=1e-5)
        nll = model.decoder.nll(batch(), latent.mu)[row]
        np.testing.assert_allclose(nll, model.decoder.nll(alone(row), own.mu)[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"), [*MODELS, *OBJECTIVES, (RecurrentVAE, {"cell": "gru"}), (TWRVAE, {"cell": "rnn"})]
)
def test_a_step_changes_every_weight_and_its_logs_are_finite(kind, options):
    model = build(kind, dropout=0.3, **options)
    before = weights(model)
    logs = model.train_step(batch())
    assert all(np.isfinite(value) for value in logs.values())
    changed = [old.size == 0 or not np.array_equal(old, new) for old, new in zip(before, weights(model), strict=True)]
    assert all(changed)
    assert int(model.step) == 1


@pytest.mark.parametrize(("kind", "options"), MODELS[1:])
def test_the_words_teach_the_encoder(kind, options):
    """The nll has a gradient for the encoder; the KL alone would train the posterior to become the prior."""
    model = build(kind, **options)
    with tf.GradientTape() as tape:
        nll = model.elbo_terms(batch(), SEED, training=True).nll
    assert all(map(np.any, tape.gradient(nll, [model.mu.kernel, model.log_variance.kernel])))


@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_nothing_is_dropped_in_evaluation(kind, options):
    model, plain = build(kind, dropout=0.5, **options), build(kind, **options)
    for term, expected in zip(model.elbo_terms(batch(), SEED), plain.elbo_terms(batch(), SEED), strict=True):
        np.testing.assert_array_equal(term, expected)
    np.testing.assert_array_equal(model.log_weights(batch(), 2, SEED), plain.log_weights(batch(), 2, SEED))


def test_a_language_model_has_no_kl_and_one_exact_weight():
    model = build(LanguageModel)
    terms = model.elbo_terms(batch(), SEED)
    np.testing.assert_array_equal(terms.kl, 0)
    np.testing.assert_array_equal(model.log_weights(batch(), 7, SEED), -terms.nll[None])


def test_terms_of_the_vae_against_numpy():
    model = build()
    latent, terms = model.infer(batch()), model.elbo_terms(batch(), SEED)
    mu, variance = latent.mu.numpy(), np.exp(latent.log_variance)
    kl = 0.5 * np.sum(mu**2 + variance - 1 - np.log(variance), 1)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4)
    np.testing.assert_allclose(terms.regularizer, kl, rtol=1e-4)
    np.testing.assert_allclose(latent.posterior.kl_divergence(latent.prior), kl, rtol=1e-4)


def test_the_regularizer_of_each_rival():
    per_step, free = build(kl_per_step=True), build(free_bits=0.7)
    kl = build().elbo_terms(batch(), SEED).kl
    np.testing.assert_allclose(per_step.elbo_terms(batch(), SEED).regularizer, kl / [3, 5], rtol=1e-5)
    np.testing.assert_allclose(per_step.elbo_terms(batch(), SEED).kl, kl, rtol=1e-5)
    mu, log_variance = (value.numpy() for value in free.infer(batch())[:2])
    dimensions = 0.5 * (mu**2 + np.exp(log_variance) - 1 - log_variance)
    expected = free_bits(tf.constant(dimensions), 0.7)
    np.testing.assert_allclose(free.elbo_terms(batch(), SEED).regularizer, expected, rtol=1e-4)
    assert np.all(expected > 3 * 0.69)


def test_the_free_bits_of_a_sentence_are_over_all_dimensions():
    kl = build().elbo_terms(batch(), SEED).kl.numpy()
    between = float(kl.mean())
    terms = build(text_bits=between).elbo_terms(batch(), SEED)
    np.testing.assert_allclose(terms.regularizer, np.maximum(kl, between), rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-5)
    assert kl.min() < between < kl.max()


def test_bn_vae_keeps_the_deviation_of_mu_in_training():
    model, twice = build(mu_deviation=0.6), {name: tf.concat([part, part[::-1]], 0) for name, part in batch().items()}
    latent = model.infer(twice, SEED)
    np.testing.assert_allclose(np.std(latent.mu, 0), 0.6, rtol=0.02)
    np.testing.assert_allclose(np.mean(latent.mu, 0), 0.0, atol=1e-5)
    assert np.mean(latent.kl) > LATENT * 0.6**2 / 2 * 0.98
    in_use = model.infer(twice).mu.numpy()  # by the moving averages, which a single batch has hardly moved
    assert not np.allclose(in_use, latent.mu)
    np.testing.assert_allclose(in_use[:2], model.infer(batch()).mu, rtol=1e-4)


@pytest.mark.parametrize("traced", [False, True])
def test_the_decoder_begins_anew_at_its_step_and_the_words_vectors_stay(traced):
    model = build(reset_at=1, tied=True)
    model.compile(keras.optimizers.SGD(0.0))
    first = [weight.numpy() for weight in model.reset_weights]
    for weight in model.trainable_variables:
        weight.assign_add(tf.ones_like(weight))
    moved = weights(model)
    step = tf.function(model.train_step) if traced else model.train_step
    step(batch())
    np.testing.assert_array_equal(
        np.concatenate([w.ravel() for w in weights(model)]), np.concatenate([w.ravel() for w in moved])
    )
    for _ in range(2):
        step(batch())
        for weight, own in zip(model.reset_weights, first, strict=True):
            np.testing.assert_array_equal(weight.numpy(), own)
    ids = {id(weight) for weight in model.reset_weights}
    kept = [
        (weight.numpy(), own)
        for weight, own in zip(model.trainable_variables, moved, strict=True)
        if id(weight) not in ids
    ]
    for now, before in kept:
        np.testing.assert_array_equal(now, before)
    assert (
        len(first) == 7 and len(kept) == 8
    )  # 3 of the LSTM, 2 starts, 2 of the vocabulary; vectors, 3 of the LSTM, 4 of q


def test_a_posterior_that_is_the_prior_costs_nothing():
    model = build()
    for layer in (model.mu, model.log_variance):
        for variable in layer.variables:
            variable.assign(tf.zeros_like(variable))
    np.testing.assert_array_equal(model.elbo_terms(batch(), SEED).kl, 0)


@pytest.mark.parametrize(("read_end", "every_steps"), [(True, (3, 5)), (False, (2, 4))])
@pytest.mark.parametrize("decoded", DECODED)
def test_what_twr_vae_decodes_its_kl_and_its_prior_against_numpy(decoded, read_end, every_steps):
    model = build(TWRVAE, decoded=decoded, kl_part=0.5, read_end=read_end)
    latent = model.infer(batch())
    mus, log_variances = (value.numpy() for value in model.infer_steps(batch()))
    terms, z_seed = model.elbo_terms(batch(), SEED), tf.random.split(SEED, 3)[0]
    nll = model.decoder.nll(batch(), latent.posterior.sample(seed=z_seed))
    counts = np.array(COUNTS if read_end else COUNTS[1:]) + 1
    p = counts / counts.sum()
    for row, steps in enumerate(every_steps):
        mu, variance = mus[row, :steps], np.exp(log_variances[row, :steps])
        kl_steps = 0.5 * np.sum(mu**2 + variance - 1 - np.log(variance), 1)
        np.testing.assert_allclose(latent.regularizer[row], kl_steps[-((steps + 1) // 2) :].mean(), rtol=1e-4)
        if decoded == "normal":
            expected = mu[-1], variance[-1], 1.0, 0.0
        elif decoded == "sum":
            expected = mu.sum(0), variance.sum(0), steps, -np.log(p[steps - 1])
        else:
            expected = mu.mean(0), variance.sum(0) / steps**2, 1 / steps, -np.log(p[steps - 1])
        mu, variance, prior, length_nats = expected
        np.testing.assert_allclose(latent.mu[row], mu, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.exp(latent.log_variance[row]), variance, rtol=1e-4)
        kl = 0.5 * np.sum((mu**2 + variance) / prior - 1 - np.log(variance / prior))
        np.testing.assert_allclose(latent.kl[row], kl, rtol=1e-4)
        np.testing.assert_allclose(terms.kl[row], kl, rtol=1e-4)
        np.testing.assert_allclose(terms.nll[row], nll[row] + length_nats, rtol=1e-4)
        np.testing.assert_allclose(latent.prior.stddev()[row], np.sqrt(prior), rtol=1e-5)


@pytest.mark.parametrize("decoded", DECODED)
def test_the_decoded_z_has_the_moments_of_what_is_drawn_at_every_step(decoded):
    """The expected moments are those of samples of z_t: of the last, of their mean, or of their sum."""
    model = build(TWRVAE, decoded=decoded)
    mus, log_variances = (value.numpy()[1] for value in model.infer_steps(batch()))
    z = mus + np.exp(0.5 * log_variances) * np.random.default_rng(0).normal(size=(40_000, *mus.shape))
    z = {"normal": z[:, -1], "mean": z.mean(1), "sum": z.sum(1)}[decoded]
    latent = model.infer(batch())
    deviation = np.exp(0.5 * latent.log_variance[1])
    np.testing.assert_allclose(z.mean(0), latent.mu[1], atol=0.03 * deviation.max())
    np.testing.assert_allclose(z.std(0), deviation, rtol=0.03)


@pytest.mark.parametrize("read_end", [True, False])
def test_the_kl_by_step_from_both_ends_against_numpy(read_end):
    model = build(TWRVAE, read_end=read_end)
    sentences = [row[: steps - 1] for row, steps in zip(batch()["tokens"].numpy(), (3, 5), strict=True)]
    mu, log_variance = (value.numpy() for value in model.infer_steps(batch()))
    short, long = 0.5 * np.sum(mu**2 + np.exp(log_variance) - 1 - log_variance, -1)
    short, long = (short[:3], long[:5]) if read_end else (short[:2], long[:4])
    from_start, from_end = model.kl_by_step(sentences)
    shared = len(short)
    np.testing.assert_allclose(from_start, [*(short + long[:shared]) / 2, *long[shared:]], rtol=1e-4)
    np.testing.assert_allclose(from_end, [*(short + long[-shared:])[::-1] / 2, *long[:-shared][::-1]], rtol=1e-4)
    kl = model.elbo_terms(batch(), SEED).kl
    np.testing.assert_allclose(from_end[0], np.mean(kl), rtol=1e-4)  # z of the last step is decoded


def test_another_way_to_decode_is_refused():
    with pytest.raises(ValueError, match="decoded must be one of normal, mean, sum, got 'last'"):
        build(TWRVAE, decoded="last")


@pytest.mark.parametrize("read_end", [True, False])
def test_prior_samples_have_the_priors_spread(read_end):
    """For `mean` and `sum`, T is drawn first, so the variance is E[1 / T] and E[T]."""
    counts = np.array(COUNTS if read_end else COUNTS[1:]) + 1
    p, steps = counts / counts.sum(), 1 + np.arange(len(counts))
    for decoded, variance in (("normal", 1.0), ("mean", p @ (1 / steps)), ("sum", p @ steps)):
        z = build(TWRVAE, decoded=decoded, read_end=read_end).prior_samples(20_000, SEED)
        np.testing.assert_allclose(np.var(z), variance, rtol=0.03)


@pytest.mark.parametrize(("kind", "options"), MODELS[1:])
def test_jensen_on_the_same_weights_nested_samples_and_the_exact_kl(kind, options):
    model = build(kind, **options)
    found = log_weights(model, 400)
    assert found.shape == (400, 2)
    assert np.all(importance_weighted_nll(found) <= -elbo(found))
    means = [importance_weighted_nll(found.reshape(k, -1)).mean() for k in (1, 8, 400)]
    assert means[0] > means[1] > means[2]
    latent = model.infer(batch())
    z = latent.posterior.sample(400, seed=[3, 4])
    nll = [model.decoder.nll({name: tf.repeat(value[row : row + 1], 400, 0) for name, value in batch().items()}, z[:, row])
           for row in (0, 1)]  # fmt: skip
    bound = np.mean(nll, 1) + latent.kl + latent.length_nats  # from other samples, with the KL in closed form
    np.testing.assert_allclose(-elbo(found), bound, rtol=0.03)


def test_a_model_that_ignores_z_is_exact():
    """If the decoder does not depend on z and the posterior is the prior, every weight is the likelihood."""
    model = build()
    told = [*model.mu.variables, *model.log_variance.variables]
    told += [variable for layer in model.decoder.starts for variable in layer.variables]
    for variable in told:
        variable.assign(tf.zeros_like(variable))
    kernel = model.decoder.recurrent.cell.kernel
    kernel.assign(tf.concat([kernel[:-LATENT], tf.zeros([LATENT, kernel.shape[1]])], 0))
    nll = model.decoder.nll(batch(), tf.zeros([2, LATENT]))
    np.testing.assert_allclose(log_weights(model, 5), np.tile(-nll, [5, 1]), rtol=1e-5)


def test_texts_are_functions_of_their_seeds():
    model = build(TWRVAE, longest=6)
    sentences = [np.array([4, 5], np.int32), np.array([6, 3, 8, 7], np.int32), np.array([8], np.int32)]

    def as_lists(texts):
        return [text.tolist() for text in texts]

    assert as_lists(model.generate_ids(5, seed=1)) == as_lists(model.generate_ids(5, seed=1))
    assert as_lists(model.generate_ids(5, seed=1)) != as_lists(model.generate_ids(5, seed=2))
    assert as_lists(model.reconstruct_ids(sentences)) == as_lists(model.reconstruct_ids(sentences))
    np.testing.assert_allclose(model.encode_ids(sentences)[:2], model.infer(batch()).mu, rtol=1e-4)
    path = model.interpolate_ids(sentences[0], sentences[1], steps=4)
    assert as_lists([path[0], path[-1]]) == as_lists(model.reconstruct_ids(sentences[:2]))
    assert len(path) == 4


@pytest.mark.slow
def test_a_training_is_repeated_bit_by_bit():
    models = [build(TWRVAE, dropout=0.3), build(TWRVAE, dropout=0.3)]
    for model in models:
        step = tf.function(model.train_step, autograph=False)
        for _ in range(3):
            step(batch())
    assert all(np.array_equal(a, b) for a, b in zip(*map(weights, models), strict=True))
