import keras
import numpy as np
import pytest
import tensorflow as tf

from data.sentences import evaluation_batches, join, split
from data.vocabulary import EOS, UNPREDICTED
from text_vae.language_vae import Latent
from text_vae.layers import WordDecoder
from text_vae.ml_vae import MLVAE, MLVAED, PlannedDecoder

WORDS, LATENT, PLAN = 12, 3, 5
SEED = tf.constant([1, 2])


def build(levels, dropout=0.0, rate=1e-2, kl_weight=lambda step: tf.ones([]), inferred_first="z1", **own):
    keras.utils.set_random_seed(0)
    words = {"words": WORDS, "embedding": 6, "cell": "lstm", "units": 7, "dropout": dropout}
    words |= {"tied": True, "locked": True}
    if levels:
        sentence = WordDecoder(**words, latent=PLAN, longest=6)
        decoder = PlannedDecoder(sentence, latent=LATENT, plan=PLAN, sentences=4, bag="bag_weight" in own)
    else:
        decoder = WordDecoder(**words, latent=LATENT, ends=2, longest=24)
    options = {"decoder": decoder, "latent": LATENT, "widths": (8, 4), "dropout": dropout, "kl_weight": kl_weight}
    options |= own
    model = MLVAED(**options, top=2, hidden=4, inferred_first=inferred_first) if levels == 2 else MLVAE(**options)
    model.compile(keras.optimizers.Adam(rate))
    return model


def unlike_the_prior(model):
    """Return the model with variances that depend on the text; in a new model the kernels of log sigma^2 are 0."""
    layers = [model.log_variance]
    if isinstance(model, MLVAED):
        layers += [model.inferred.log_variance, model.below.log_variance]
    for i, layer in enumerate(layers):
        layer.kernel.assign(0.5 * tf.random.stateless_normal(layer.kernel.shape, [i, 1]))
    return model


def paragraphs(count=5, seed=0):
    random = np.random.default_rng(seed)
    sizes = [random.integers(1, 7, random.integers(1, 4)) for _ in range(count)]
    return [[random.integers(4, WORDS, size).astype(np.int32) for size in of_one] for of_one in sizes]


def batch(of=None):
    """Return one batch of paragraphs, in their order."""
    joined = [join(paragraph) for paragraph in of or paragraphs()]
    (whole,) = evaluation_batches(joined, len(joined))
    order = np.argsort(whole["indices"])
    return {name: tf.gather(whole[name], order) for name in ("tokens", "lengths")}


def weights(variables):
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_loss_of_a_paragraph_does_not_depend_on_its_batch(levels):
    model, z = unlike_the_prior(build(levels)), tf.random.stateless_normal([5, LATENT], SEED)
    together, latent = model.decoder.nll(batch(), z), model.infer(batch())
    for i, paragraph in enumerate(paragraphs()):
        alone = batch([paragraph])
        np.testing.assert_allclose(model.decoder.nll(alone, z[i : i + 1]), together[i : i + 1], rtol=1e-5)
        for ours, theirs in zip(model.infer(alone)[:3], latent[:3], strict=True):
            np.testing.assert_allclose(ours, theirs[i : i + 1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_all_models_predict_the_same_tokens(levels):
    """If all words are equally probable, every token has the nll log V, the ends and the empty sentence too."""
    model = build(levels)
    words = model.decoder.words if levels else model.decoder
    words.vocabulary.kernel.assign(tf.zeros_like(words.vocabulary.kernel))
    tokens = [sum(len(sentence) + 1 for sentence in paragraph) + 1 for paragraph in paragraphs()]
    expected = np.array(tokens) * np.log(WORDS - len(UNPREDICTED))
    np.testing.assert_allclose(model.decoder.nll(batch(), tf.zeros([5, LATENT])), expected, rtol=1e-5)


def test_each_sentence_is_decoded_from_its_own_plan():
    model, z = build(1), tf.random.stateless_normal([5, LATENT], SEED)
    plans = model.decoder.plans(z, 4)
    expected = []
    for i, paragraph in enumerate(paragraphs()):
        sentences = [*paragraph, np.array([], np.int32)]  # the paragraph ends with an empty sentence
        total = 0.0
        for s, sentence in enumerate(sentences):
            tokens = tf.constant([[*sentence, EOS]])
            one = {"tokens": tokens, "lengths": tf.constant([len(sentence) + 1])}
            total += float(model.decoder.words.nll(one, plans[i : i + 1, s])[0])
        expected.append(total)
    np.testing.assert_allclose(model.decoder.nll(batch(), z), expected, rtol=1e-5)


def test_plans_are_an_lstm_over_z_against_numpy():
    decoder, z = build(1).decoder, np.random.default_rng(0).normal(size=(2, LATENT)).astype("float32")

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    kernel, recurrent, bias = weights(decoder.planner.cell.trainable_variables)
    h, c = (np.tanh(z @ start.kernel.numpy() + start.bias.numpy()) for start in decoder.starts)
    for s in range(3):
        i, f, g, o = np.split(z @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(decoder.plans(tf.constant(z), 3)[:, s], h, rtol=1e-4, atol=1e-6)


def test_the_convolutions_against_numpy():
    model, (paragraph,) = build(0), paragraphs(1)
    tokens = batch([paragraph])["tokens"].numpy()[0]
    h = model.decoder.embedding.embeddings.numpy()[tokens]
    for layer in model.convolutions:
        kernel, bias = weights(layer.trainable_variables)
        padded = np.pad(h, [[2, 2], [0, 0]])
        h = np.array([np.tensordot(padded[t : t + 5], kernel, 2) for t in range(0, len(h), 2)]) + bias
        h = np.maximum(h, 0)
    np.testing.assert_allclose(model.features(batch([paragraph]))[0], h.max(0), rtol=1e-4, atol=1e-6)


def log_normal(x, mu, log_variance):
    return np.sum(-0.5 * (np.log(2 * np.pi) + log_variance + (x - mu) ** 2 / np.exp(log_variance)), -1)


def test_both_levels_of_d_against_numpy():
    """The log ratios of one sample, and the weights and ELBO terms that are computed from them."""
    model = unlike_the_prior(build(2))
    latent = model.infer(batch())
    draw = model.draw(latent, SEED)
    _, z2_seed = tf.unstack(tf.random.split(SEED, 2))
    mu2, log_variance2 = (part.numpy() for part in model.inferred(draw.z1))
    z2 = Latent(mu2, log_variance2, 0.0).posterior.sample(seed=z2_seed).numpy()
    mu1, log_variance1 = (part.numpy() for part in model.below(z2))
    z1 = draw.z1.numpy()
    ratio_1 = log_normal(z1, latent.mu.numpy(), latent.log_variance.numpy()) - log_normal(z1, mu1, log_variance1)
    ratio_2 = log_normal(z2, mu2, log_variance2) - log_normal(z2, 0.0, np.zeros_like(z2))
    np.testing.assert_allclose(draw.log_ratio_z1, ratio_1, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(draw.log_ratio_z2, ratio_2, rtol=1e-3, atol=1e-4)
    kl_z2 = 0.5 * np.sum(mu2**2 + np.exp(log_variance2) - 1 - log_variance2, -1)
    np.testing.assert_allclose(draw.kl_z2, kl_z2, rtol=1e-3, atol=1e-4)
    nll = model.decoder.nll(batch(), draw.z1)
    np.testing.assert_allclose(model.log_weight(batch(), latent, SEED), -nll - ratio_1 - ratio_2, rtol=1e-4)
    terms = model.elbo_terms(batch(), SEED)
    drawn = model.draw(latent, tf.random.split(SEED, 3)[0])
    np.testing.assert_allclose(terms.kl, drawn.log_ratio_z1 + drawn.kl_z2, rtol=1e-4, atol=1e-5)


def test_the_sampled_kl_of_d_has_the_right_mean():
    """With linear networks all distributions are Gaussian, so the KL of the joint distribution has a closed form."""
    model, a, b, s = build(2), 0.8, 0.6, 0.5

    class Linear:
        """A network with mu = slope * input and a constant log sigma^2."""

        def __init__(self, slope, log_variance):
            self.slope, self.log_variance = slope, log_variance

        def __call__(self, h):
            return self.slope * h, tf.fill(tf.shape(h), self.log_variance)

    object.__setattr__(model, "inferred", Linear(a, np.log(s).astype("float32")))
    object.__setattr__(model, "below", Linear(b, 0.0))
    mu, variance, n = 0.7, 0.3, 200_000
    latent = Latent(tf.fill([n, 1], mu), tf.fill([n, 1], np.log(variance).astype("float32")), 0.0)
    draw = model.draw(latent, SEED)
    # z2 = a z1 + sqrt(s) e; E (z1 - b z2)^2 = ((1 - a b) mu)^2 + (1 - a b)^2 variance + b^2 s
    distance = (1 - a * b) ** 2 * (mu**2 + variance) + b**2 * s
    kl_z1 = -0.5 * (1 + np.log(variance)) + 0.5 * distance
    kl_z2 = 0.5 * (a**2 * (mu**2 + variance) + s - 1 - np.log(s))
    np.testing.assert_allclose(np.mean(draw.log_ratio_z1), kl_z1, atol=0.01)
    np.testing.assert_allclose(np.mean(draw.kl_z2), kl_z2, atol=0.01)
    np.testing.assert_allclose(np.mean(draw.log_ratio_z2), kl_z2, atol=0.01)


def test_the_second_form_of_d_against_numpy():
    """z2 is inferred from the paragraph, and z1 from z2. The encoder's output has the size of z2."""
    model = unlike_the_prior(build(2, inferred_first="z2"))
    latent = model.infer(batch())
    draw = model.draw(latent, SEED)
    z2_seed, z1_seed = tf.unstack(tf.random.split(SEED, 2))
    z2 = latent.posterior.sample(seed=z2_seed).numpy()
    mu1, log_variance1 = (part.numpy() for part in model.inferred(z2))
    z1 = Latent(mu1, log_variance1, 0.0).posterior.sample(seed=z1_seed).numpy()
    prior_mu1, prior_log_variance1 = (part.numpy() for part in model.below(z2))
    mu2, log_variance2 = latent.mu.numpy(), latent.log_variance.numpy()
    assert z2.shape == (5, 2) and z1.shape == (5, LATENT)
    np.testing.assert_allclose(draw.z1, z1, rtol=1e-4)
    ratio_1 = log_normal(z1, mu1, log_variance1) - log_normal(z1, prior_mu1, prior_log_variance1)
    ratio_2 = log_normal(z2, mu2, log_variance2) - log_normal(z2, 0.0, np.zeros_like(z2))
    np.testing.assert_allclose(draw.log_ratio_z1, ratio_1, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(draw.log_ratio_z2, ratio_2, rtol=1e-3, atol=1e-4)
    kl_z2 = 0.5 * np.sum(mu2**2 + np.exp(log_variance2) - 1 - log_variance2, -1)
    np.testing.assert_allclose(draw.kl_z2, kl_z2, rtol=1e-3, atol=1e-4)
    joined = [join(paragraph) for paragraph in paragraphs()]
    np.testing.assert_allclose(model.encode_ids(joined), model.inferred(latent.mu)[0], rtol=1e-4, atol=1e-6)
    assert model.prior_samples(7, SEED).shape == [7, LATENT] and len(model.reconstruct_ids(joined)) == 5


def test_the_kl_of_the_second_form_can_be_that_of_z2_alone():
    model = unlike_the_prior(build(2, inferred_first="z2"))
    for own, other in zip(model.inferred.trainable_variables, model.below.trainable_variables, strict=True):
        own.assign(other)
    terms = model.elbo_terms(batch(), SEED)
    np.testing.assert_allclose(terms.kl, model.infer(batch()).kl, rtol=1e-4, atol=1e-5)


def test_the_bag_of_each_plan_against_numpy():
    """Every word of a sentence has its logit; the end of a sentence has no part in the bag, nor has the empty sentence."""
    model, z = build(1, bag_weight=0.5), tf.random.stateless_normal([5, LATENT], SEED)
    plans, (kernel, bias) = model.decoder.plans(z, 4).numpy(), weights(model.decoder.bag.trainable_variables)
    expected = np.zeros(5)
    for i, paragraph in enumerate(paragraphs()):
        for s, sentence in enumerate(paragraph):
            logits = plans[i, s] @ kernel + bias
            expected[i] -= np.sum((logits - np.log(np.sum(np.exp(logits))))[sentence - len(UNPREDICTED)])
    np.testing.assert_allclose(model.decoder.bag_nll(batch(), z), expected, rtol=1e-4)


def test_the_bag_is_a_part_of_the_loss_alone():
    model = unlike_the_prior(build(2, bag_weight=0.5))
    terms, plain = (model.elbo_terms(batch(), SEED, training=training) for training in (True, False))
    np.testing.assert_array_equal(plain.auxiliary, 0.0)
    z1 = model.draw(model.infer(batch()), tf.random.split(SEED, 3)[0]).z1
    np.testing.assert_allclose(terms.auxiliary, 0.5 * model.decoder.bag_nll(batch(), z1), rtol=1e-5)
    logs = {name: float(value) for name, value in model.train_step(batch()).items()}
    assert logs["loss/total"] > logs["loss/nll"] + logs["loss/kl"] + 1


@pytest.mark.parametrize("levels", [1, 2])
def test_bits_of_a_paragraph_are_free(levels):
    model, seed = unlike_the_prior(build(levels)), SEED
    kl = model.elbo_terms(batch(), seed).kl.numpy()
    between = float(kl.mean())
    terms = unlike_the_prior(build(levels, text_bits=between)).elbo_terms(batch(), seed)
    np.testing.assert_allclose(terms.regularizer, np.maximum(kl, between), rtol=1e-4)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4)
    assert kl.min() < between < kl.max()


def test_the_planned_decoder_begins_anew_too():
    model = build(2, reset_at=1)
    assert len(model.reset_weights) == len(model.decoder.trainable_variables) - 1
    first = weights(model.reset_weights)
    model.compile(keras.optimizers.SGD(0.0))
    for weight in model.decoder.trainable_variables:
        weight.assign_add(tf.ones_like(weight))
    vectors = model.decoder.embedding.embeddings.numpy()
    for _ in range(2):
        model.train_step(batch())
    for now, before in zip(weights(model.reset_weights), first, strict=True):
        np.testing.assert_array_equal(now, before)
    np.testing.assert_array_equal(model.decoder.embedding.embeddings, vectors)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_new_posterior_has_the_priors_width(levels):
    np.testing.assert_allclose(build(levels).infer(batch()).log_variance, 0.0, atol=1e-6)


def test_levels_differ_only_in_what_the_paper_adds():
    flat, planned, deep = (build(levels) for levels in range(3))
    for name in ("convolutions", "mu", "log_variance"):
        sizes = [[v.shape for v in flatten(getattr(model, name))] for model in (flat, planned, deep)]
        assert sizes[0] == sizes[1] == sizes[2]
    own = {v.path for v in deep.inferred.trainable_variables + deep.below.trainable_variables}
    assert len(deep.trainable_variables) - len(planned.trainable_variables) == len(own) == 12
    planner = planned.decoder.planner.trainable_variables + flatten(planned.decoder.starts)
    assert len(planned.trainable_variables) - len(flat.trainable_variables) == len(planner) == 7


def flatten(layers):
    layers = layers if isinstance(layers, list) else [layers]
    return [variable for layer in layers for variable in layer.trainable_variables]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_step_changes_every_weight_and_its_logs_are_finite(levels):
    model = unlike_the_prior(build(levels, dropout=0.2))
    before = weights(model.trainable_variables)
    logs = model.train_step(batch())
    assert list(logs) == list(model.tracked_names)
    assert all(np.isfinite(value) for value in logs.values())
    np.testing.assert_allclose(logs["loss/total"], logs["loss/nll"] + logs["loss/kl"], rtol=1e-5)
    after = weights(model.trainable_variables)
    same = [v.path for v, x, y in zip(model.trainable_variables, before, after, strict=True) if np.array_equal(x, y)]
    assert not same


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_words_teach_the_encoder(levels):
    """The nll has a gradient for the encoder; the KL alone would train the posterior to become the prior."""
    model = unlike_the_prior(build(levels))
    with tf.GradientTape() as tape:
        nll = model.elbo_terms(batch(), SEED, training=True).nll
    assert all(map(np.any, tape.gradient(nll, [model.mu.kernel, model.log_variance.kernel])))


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_nothing_is_dropped_in_evaluation(levels):
    model, plain = build(levels, dropout=0.5), build(levels)
    for term, expected in zip(model.elbo_terms(batch(), SEED), plain.elbo_terms(batch(), SEED), strict=True):
        np.testing.assert_array_equal(term, expected)
    np.testing.assert_array_equal(model.log_weights(batch(), 1, SEED), plain.log_weights(batch(), 1, SEED))


@pytest.mark.slow
@pytest.mark.parametrize("levels", [0, 2])
def test_a_training_is_repeated_bit_by_bit(levels):
    models = [build(levels, dropout=0.3) for _ in range(2)]
    for model in models:
        step = tf.function(model.train_step, autograph=False)
        for _ in range(3):
            step(batch())
    for one, other in zip(*(weights(model.trainable_variables) for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_generation_is_a_function_of_the_seed(levels):
    model = build(levels)
    first, again, other = (model.generate_ids(6, seed=seed) for seed in (0, 0, 1))
    assert [list(ids) for ids in first] == [list(ids) for ids in again] != [list(ids) for ids in other]
    for ids in first:
        assert ids.dtype == np.int32 and len(split(ids)) <= (4 if levels else 24)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_one_paragraph_is_learnt_by_heart(levels):
    paragraph = [np.array(ids, np.int32) for ids in ([4, 5, 6], [7, 8], [9, 4, 4, 5])]
    model, one = build(levels, rate=0.03, kl_weight=lambda step: tf.zeros([])), batch([paragraph])
    step = tf.function(model.train_step, autograph=False)
    for _ in range(150):
        step(one)
    assert float(model.elbo_terms(one, SEED).nll[0]) < 1.0
    (again,) = model.reconstruct_ids([join(paragraph)])
    np.testing.assert_array_equal(again, join(paragraph))
    assert model.log_weights(one, 3, SEED).shape == [3, 1]
