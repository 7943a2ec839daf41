import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.optimize import minimize
from scipy.special import logsumexp

from losses.variational import full_gaussian_kl
from text_vae import nvdm
from text_vae.layers import MixturePrior, StandardPrior
from text_vae.nvdm import NVDM

tfd = tfp.distributions
WORDS, TOPICS = 7, 3
SEED = tf.constant([1, 2])


def build(turns=0, rate=0.1, **options):
    keras.utils.set_random_seed(0)
    options = {"reads": "counts", "dropout": 0.0, "kl_weight": lambda step: tf.ones([])} | options
    model = NVDM(words=WORDS, topics=TOPICS, widths=(5, 4), turns=turns, **options)
    model.compile(keras.optimizers.Adam(rate), keras.optimizers.Adam(rate))
    return model


def counts():
    return tf.constant(np.random.default_rng(0).integers(0, 4, (6, WORDS)).astype("float32"))


def weights(variables):
    return [variable.numpy() for variable in variables]


def same(before, after):
    return all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_the_terms_of_the_elbo_against_numpy():
    model, x = build(), counts().numpy()
    model.log_variance.kernel.assign(tf.random.stateless_normal(model.log_variance.kernel.shape, [0, 1]))
    h = x
    for layer in model.hidden:
        h = np.maximum(h @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    mu = h @ model.mu.kernel.numpy() + model.mu.bias.numpy()
    log_variance = h @ model.log_variance.kernel.numpy() + model.log_variance.bias.numpy()
    ours = model.infer(counts())
    np.testing.assert_allclose(ours[0], mu, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1], log_variance, rtol=1e-4, atol=1e-5)
    terms = model.elbo_terms(counts(), SEED)
    kl = 0.5 * np.sum(mu**2 + np.exp(log_variance) - 1 - log_variance, 1)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(terms.kl, terms.regularizer)
    assert terms.nll.shape == [6]


def test_the_reconstruction_is_of_a_sample_of_the_posterior():
    """If sigma is 0, the sample is mu."""
    model = build()
    model.log_variance.bias.assign([-60.0] * TOPICS)
    z = model.infer(counts())[0]
    log_p = tf.nn.log_softmax(model.decoder(z))
    np.testing.assert_allclose(model.elbo_terms(counts(), SEED).nll, -np.sum(log_p * counts(), 1), rtol=1e-4)
    model.log_variance.bias.assign([1.0] * TOPICS)
    first, again, other = (model.elbo_terms(counts(), seed).nll for seed in (SEED, SEED, SEED + 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_log_counts_and_dropout():
    model = build(reads="log_counts", dropout=0.5)
    plain = build()
    np.testing.assert_allclose(model.infer(tf.exp(counts()) - 1)[0], plain.infer(counts())[0], rtol=1e-4, atol=1e-5)
    dropped = model.infer(counts(), SEED)[0]
    assert not np.allclose(dropped, model.infer(counts())[0])
    np.testing.assert_array_equal(dropped, model.infer(counts(), SEED)[0])


def test_nothing_is_dropped_in_evaluation():
    for term, plain in zip(
        build(dropout=0.5).elbo_terms(counts(), SEED), build().elbo_terms(counts(), SEED), strict=True
    ):
        np.testing.assert_array_equal(term, plain)


def test_a_new_posterior_has_the_priors_width():
    np.testing.assert_allclose(build().infer(counts())[1], 0.0, atol=1e-6)
    np.testing.assert_allclose(np.exp(0.5 * build().infer(counts())[1]), 1.0, atol=1e-6)


def test_a_step_changes_every_weight_and_its_logs_are_finite():
    model = build()
    before = weights(model.trainable_variables)
    logs = model.train_step(counts())
    assert list(logs) == list(model.tracked_names)
    assert all(np.isfinite(value) for value in logs.values())
    np.testing.assert_allclose(logs["loss/total"], logs["loss/nll"] + logs["loss/kl"], rtol=1e-5)
    changed = [
        not np.array_equal(old, new) for old, new in zip(before, weights(model.trainable_variables), strict=True)
    ]
    assert all(changed)
    assert int(model.step) == 1


def test_the_weight_of_the_kl_is_that_of_the_step():
    model = build(kl_weight=lambda step: 0.25 * tf.cast(step, tf.float32))
    for weight in (0.0, 0.25):
        for tracker in model.metrics:
            tracker.reset_state()
        logs = model.train_step(counts())
        assert float(logs["schedule/kl_weight"]) == weight
        np.testing.assert_allclose(logs["loss/total"], logs["loss/nll"] + weight * logs["loss/kl"], rtol=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_long_documents_share_the_loss(power):
    """A document of N words has the weight N^-power, and the reported loss is the minimised one."""
    model, x = build(rate=0.0, length_power=power), counts()
    lengths = np.sum(x, 1)
    shares = lengths**-power / np.mean(lengths**-power)
    np.testing.assert_allclose(model.shares(x), shares, rtol=1e-5)
    terms = model.elbo_terms(x, tf.random.fold_in([0, 0], 0), training=True)
    logs = model.train_step(x)
    np.testing.assert_allclose(logs["loss/total"], np.mean(shares * (terms.nll + terms.kl)), rtol=1e-5)


def test_a_document_without_words_counts_as_one_word():
    x = tf.constant([[0.0] * WORDS, [1.0] + [0.0] * (WORDS - 1)])
    np.testing.assert_allclose(build(length_power=1.0).shares(x), [1.0, 1.0])


@pytest.mark.parametrize("traced", [False, True])
def test_in_turns_only_one_side_learns(traced):
    model = build(turns=2)
    step = tf.function(model.train_step, autograph=False) if traced else model.train_step
    for decoders_turn in (True, True, False, False, True):
        decoder, encoder = weights(model.decoder.trainable_variables), weights(model.encoder_variables)
        step(counts())
        assert same(decoder, weights(model.decoder.trainable_variables)) == (not decoders_turn)
        assert same(encoder, weights(model.encoder_variables)) == decoders_turn


@pytest.mark.parametrize(("turns", "formed"), [(0, [True, True]), (1, [False, True])])
def test_an_inference_network_that_rests_costs_no_gradient(turns, formed):
    model, found = build(turns=turns), []
    for _ in range(2):
        with tf.GradientTape() as tape:
            nll = model.elbo_terms(counts(), SEED, training=True).nll
        found += [all(gradient is not None for gradient in tape.gradient(nll, model.encoder_variables))]
        model.step.assign_add(1)
    assert found == formed


def test_the_two_sides_are_all_there_is():
    model = build()
    sides = model.encoder_variables + model.decoder.trainable_variables
    assert {v.path for v in sides} == {v.path for v in model.trainable_variables}
    assert len(sides) == 2 * 5


def test_a_training_is_repeated_bit_by_bit():
    models = [build(dropout=0.3), build(dropout=0.3)]
    for model in models:
        step = tf.function(model.train_step, autograph=False)
        for _ in range(3):
            step(counts())
    assert same(*(weights(model.trainable_variables) for model in models))


def test_it_finds_two_topics():
    """For documents of two kinds of words, the bound of a trained model is near the best, and z separates the kinds."""
    kinds = np.repeat([[4, 4, 4, 0, 0, 0, 0], [0, 0, 0, 3, 3, 3, 3]], 8, axis=0).astype("float32")
    model = build(rate=0.02)
    step = tf.function(model.train_step, autograph=False)
    for _ in range(400):
        step(tf.constant(kinds))
    terms = model.elbo_terms(tf.constant(kinds), SEED)
    best = np.repeat([12 * np.log(3), 12 * np.log(4)], 8) + np.log(2)  # which kind, then which word
    assert np.mean(terms.nll + terms.kl - best) < 2.0
    mu = model.infer(tf.constant(kinds))[0].numpy()
    assert np.linalg.norm(mu[0] - mu[-1]) > 1.5


def log_density(model, x, z):
    """log p(x, z) up to a constant, [N], of one document's counts x [V] and z [N, K]."""
    logits = z @ model.decoder.kernel.numpy() + model.decoder.bias.numpy()
    return np.sum(x * (logits - logsumexp(logits, 1)[:, None]), 1) - 0.5 * np.sum(z**2, 1)


def with_topics(**options):
    """A model whose topics differ, and documents of up to hundreds of words, on which plain steps would overshoot."""
    model = build(**options)
    random = np.random.default_rng(3)
    model.decoder.kernel.assign(random.normal(0, 1.5, [TOPICS, WORDS]))
    return model, np.float32(random.integers(0, 4, (6, WORDS)) * [[0.25], [1], [1], [5], [30], [60]])


def test_newtons_steps_find_the_mode_and_the_width_there(monkeypatch):
    monkeypatch.setattr(nvdm, "MODE_STEPS", 20)
    model, x = with_topics(reads="mode")
    mode, log_variance = (part.numpy() for part in model.mode(tf.constant(x)))
    for document, z, own in zip(x, mode, log_variance, strict=True):
        best = -minimize(lambda z, x=document: -log_density(model, x, z[None])[0], np.zeros(TOPICS)).fun
        assert best - 0.3 < log_density(model, document, z[None])[0] < best + 1e-3
        p = np.exp(z @ model.decoder.kernel.numpy() + model.decoder.bias.numpy())
        p /= p.sum()
        variance = np.sum(p * model.decoder.kernel.numpy() ** 2, 1) - np.sum(p * model.decoder.kernel.numpy(), 1) ** 2
        np.testing.assert_allclose(np.exp(-own), 1 + document.sum() * variance, rtol=1e-3)


def test_every_step_raises_the_density_of_every_document(monkeypatch):
    x = with_topics()[1]
    densities = []
    for steps in range(1, 6):
        monkeypatch.setattr(nvdm, "MODE_STEPS", steps)
        model, _ = with_topics(reads="mode")
        modes = model.mode(tf.constant(x))[0].numpy()
        densities.append([log_density(model, own, z[None])[0] for own, z in zip(x, modes, strict=True)])
    assert np.all(np.diff(densities, axis=0) > -1e-3)


def test_a_new_inference_network_that_reads_the_mode_gives_the_gaussian_there():
    model, x = with_topics(reads="mode")
    for found, own in zip(model.infer(tf.constant(x)), model.mode(tf.constant(x)), strict=True):
        np.testing.assert_allclose(found, own, atol=1e-5)


def mixture(components=4, size=TOPICS):
    """A prior of Gaussians of several widths and weights."""
    prior, random = MixturePrior(components, size), np.random.default_rng(8)
    prior.means.assign(random.normal(size=[components, size]))
    prior.log_variances.assign(random.normal(size=components) - 0.5)
    prior.logits.assign(random.normal(size=components))
    return prior


def test_the_density_of_a_mixture_against_tfp():
    prior, z = mixture(), tf.constant(np.random.default_rng(9).normal(0, 2, [7, TOPICS]), tf.float32)
    each = tfd.MultivariateNormalDiag(prior.means, tf.exp(0.5 * prior.log_variances)[:, None] * tf.ones([4, TOPICS]))
    expected = tfd.MixtureSameFamily(tfd.Categorical(logits=prior.logits), each)
    np.testing.assert_allclose(prior.log_density(z), expected.log_prob(z), rtol=1e-4, atol=1e-4)


def test_the_pull_of_a_mixture_is_its_gradient_and_its_curvature_is_no_less_than_that_of_the_density():
    prior, z = mixture(), tf.constant(np.random.default_rng(9).normal(0, 2, [7, TOPICS]), tf.float32)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            density = prior.log_density(z)
        gradient = inner.gradient(density, z)
    hessian = outer.batch_jacobian(gradient, z)
    pull, curvature = prior.pull(z)
    np.testing.assert_allclose(pull, gradient, rtol=1e-3, atol=1e-3)
    assert np.all(np.linalg.eigvalsh(-hessian).max(1) < curvature.numpy()[:, 0] + 1e-3)


def test_the_kl_to_a_mixture_is_right_in_the_mean_and_to_one_standard_gaussian_exact():
    mu, log_variance = tf.constant([[0.5, -1.0, 0.2]]), tf.constant([[-1.0, 0.3, -0.5]])
    one = MixturePrior(1, TOPICS)
    one.means.assign([[0.0] * TOPICS])
    q = tfd.MultivariateNormalDiag(mu, tf.exp(0.5 * log_variance))
    z = q.sample(50_000, seed=[1, 2])[:, 0]
    found = one.kl(z, mu, log_variance).numpy()
    exact = StandardPrior().kl(z, mu, log_variance).numpy()[0]
    assert np.mean(found) == pytest.approx(exact, abs=float(4 * np.std(found) / len(z) ** 0.5))
    scale = tf.linalg.diag(tf.exp(0.5 * log_variance))
    for prior in (one, StandardPrior()):
        np.testing.assert_allclose(prior.full_kl(z, mu, scale), prior.kl(z, mu, log_variance), rtol=1e-4, atol=1e-4)


def test_with_a_mixture_all_of_its_parts_learn_and_documents_are_pulled_to_its_gaussians(monkeypatch):
    monkeypatch.setattr(nvdm, "MODE_STEPS", 30)
    model = build(reads="mode", prior=mixture())
    before = weights(model.trainable_variables)
    for _ in range(2):
        logs = model.train_step(counts())
    assert all(np.isfinite(value) for value in logs.values())
    assert not any(np.array_equal(a, b) for a, b in zip(before, weights(model.trainable_variables), strict=True))
    assert {v.name for v in model.generative_variables} == {"kernel", "bias", "means", "log_variances", "logits"}
    assert len(model.encoder_variables) == 2 * 4
    model.decoder.kernel.assign(tf.zeros_like(model.decoder.kernel))  # words ignore z
    mode, log_variance = model.mode(counts())
    np.testing.assert_allclose(model.prior.pull(mode)[0], 0.0, atol=0.05)
    np.testing.assert_allclose(np.exp(-log_variance), np.tile(model.prior.pull(mode)[1], [1, TOPICS]), rtol=1e-4)


def test_no_gradient_passes_through_the_steps_to_the_mode():
    model, x = with_topics(reads="mode")
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(part) for part in model.mode(tf.constant(x))])
    assert all(gradient is None for gradient in tape.gradient(total, model.trainable_variables))
    before = weights(model.trainable_variables)
    model.train_step(counts())
    model.train_step(counts())  # only the second reaches what lies below the kernels that begin as zeros
    changed = [not np.array_equal(a, b) for a, b in zip(before, weights(model.trainable_variables), strict=True)]
    assert all(changed)


def numbers_of(q, draws=4000):
    """Draws of Gaussians (mu, A), [draws, N, K]."""
    mu, scale = (np.asarray(part) for part in q)
    return mu + np.einsum("nij,snj->sni", scale, np.random.default_rng(5).normal(size=(draws, *mu.shape)))


@pytest.mark.parametrize("full", [False, True])
def test_a_refined_posterior_is_the_best_gaussian_of_each_document(full):
    """No Gaussian nearby has a tighter bound; the draws are the same for all."""
    model, x = with_topics()
    before = weights(model.variables)
    mu, scale = (part.numpy() for part in model.refine(tf.constant(x), SEED, full))
    assert same(before, weights(model.variables))  # the weights of the model stay
    assert full or np.array_equal(scale, np.stack([np.diag(np.diag(own)) for own in scale]))

    def loss(mu, scale):
        kl = full_gaussian_kl(tf.constant(mu), tf.constant(scale)).numpy()
        z = numbers_of((mu, scale))
        likelihood = [np.mean(log_density(model, x[i], z[:, i]) + 0.5 * np.sum(z[:, i] ** 2, 1)) for i in range(len(x))]
        return kl - np.array(likelihood)

    own, width = loss(mu, scale), np.linalg.norm(scale, axis=1)
    for sign in (-1.0, 1.0):  # half a width is within the noise of eight draws
        for k in range(TOPICS):
            moved = mu.copy()
            moved[:, k] += sign * width[:, k]
            assert np.all(loss(moved, scale) > own)
        assert np.all(loss(mu, scale * (1 + 0.5 * sign)) > own)


def test_a_full_covariance_is_at_least_as_good_as_a_diagonal_one_and_both_beat_one_pass():
    model, x = with_topics()
    x, (mu, log_variance) = tf.constant(x), model.infer(x)
    found = {"one pass": (mu, tf.linalg.diag(tf.exp(0.5 * log_variance)))}
    found |= {name: model.refine(x, SEED, name == "full") for name in ("diagonal", "full")}
    bounds = {
        name: np.mean([np.sum(model.bound(x, *q, tf.constant([9, s])), 0) for s in range(300)], 0)
        for name, q in found.items()
    }
    assert np.all(bounds["diagonal"] < bounds["one pass"])
    assert np.all(bounds["full"] < bounds["diagonal"] + 0.02)
    assert np.mean(bounds["full"]) < np.mean(bounds["diagonal"]) - 0.02


def test_a_refined_posterior_of_words_that_ignore_z_is_the_prior():
    model, x = build(), counts()
    model.decoder.kernel.assign(tf.zeros_like(model.decoder.kernel))
    model.mu.bias.assign([2.0, -1.0, 0.5])
    for full in (False, True):
        mu, scale = model.refine(x, SEED, full)
        np.testing.assert_allclose(mu, 0.0, atol=1e-5)
        np.testing.assert_allclose(scale, np.tile(np.eye(TOPICS), [6, 1, 1]), atol=1e-5)


def test_the_bound_of_a_diagonal_gaussian_is_that_of_the_elbo():
    model, x = build(), counts()
    model.log_variance.bias.assign([-60.0] * TOPICS)  # z is mu
    mu, log_variance = model.infer(x)
    nll, kl = model.bound(x, mu, tf.linalg.diag(tf.exp(0.5 * log_variance)), SEED)
    terms = model.elbo_terms(x, SEED)
    np.testing.assert_allclose(nll, terms.nll, rtol=1e-5)
    np.testing.assert_allclose(kl, terms.kl, rtol=1e-5)


def test_the_noise_of_a_step_is_a_function_of_seed_and_step():
    model, nlls = build(rate=0.0), []
    for model.seed, step in ((0, 5), (0, 5), (0, 6), (1, 5)):
        model.step.assign(step)
        model.reset_metrics()
        nlls.append(float(model.train_step(counts())["loss/nll"]))
    assert nlls[0] == nlls[1] and len(set(nlls)) == 3
