import keras
import numpy as np
import pytest
import tensorflow as tf

from text_vae.layers import gaussian
from text_vae.nasm import FIRST_LOG_VARIANCE, NASM
from text_vae.ranker import shared_words

WORDS, UNITS, LATENT = 12, 5, 3
SEED = tf.constant([1, 2])
ATTENTIONS = ("latent", "deterministic", "none")


def build(attention="latent", rate=0.05, **options):
    keras.utils.set_random_seed(0)
    options = {"units": UNITS, "layers": 1, "latent": LATENT, "dropout": 0.0, "match": True, "samples": 4} | options
    options = {"words": WORDS, "embedding": 4, "fine_tune": True, "kl_weight": lambda step: tf.ones([])} | options
    model = NASM(attention=attention, **options)
    model.compile(keras.optimizers.Adam(rate))
    return model


def randomise(model):
    """Assign kernels with which both Gaussians depend on their inputs."""
    for i, network in enumerate((model.prior, model.inference)):
        for j, layer in enumerate((network.mu, network.log_variance)):
            layer.kernel.assign(tf.random.stateless_normal(layer.kernel.shape, [i, j]))


def test_the_words_that_h_explains_against_numpy(asked):
    """The question's words count for every candidate, the candidate's own for right ones alone."""
    model, h = build(bag_weight=0.5), np.random.default_rng(0).normal(size=(5, LATENT)).astype("float32")
    model.bag.kernel.assign(tf.random.stateless_normal(model.bag.kernel.shape, SEED))
    logits = dense(model.bag, h)
    log_p = logits - np.log(np.sum(np.exp(logits), 1, keepdims=True))
    expected = []
    for i, group in enumerate(asked["groups"].numpy()):
        words = list(asked["questions"].numpy()[group, : asked["question_lengths"][group]])
        if asked["labels"][i]:
            words += list(asked["candidates"].numpy()[i, : asked["candidate_lengths"][i]])
        expected.append(-np.sum(log_p[i, words]))
    np.testing.assert_allclose(model.bag_nll(asked, tf.constant(h)), expected, rtol=1e-4)
    terms, plain = model.elbo_terms(asked, SEED), build().elbo_terms(asked, SEED)
    np.testing.assert_allclose(terms.nll, plain.nll, rtol=1e-5)
    assert np.all(terms.auxiliary > 0) and plain.auxiliary == 0
    terms = model.elbo_terms(asked, tf.random.fold_in([0, 0], 0), training=True)
    logs = model.train_step(asked)
    np.testing.assert_allclose(logs["loss/total"], np.mean(terms.nll + terms.regularizer + terms.auxiliary), rtol=1e-4)


def dense(layer, x):
    return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_formulas_against_numpy(asked):
    model = build()
    randomise(model)
    questions, answer = (part for part in model.read(asked))
    groups, y = asked["groups"].numpy(), asked["labels"].numpy()
    z_q, states, last = questions.numpy()[groups], answer.states.numpy(), answer.last.numpy()
    np.testing.assert_array_equal(last, states[np.arange(5), asked["candidate_lengths"] - 1])

    def gaussian_of(network, x):
        h = np.tanh(dense(network.hidden, x))
        return dense(network.mu, h), dense(network.log_variance, h)

    mu, log_variance = gaussian_of(model.inference, np.concatenate([z_q, last, y[:, None]], 1))
    mu_p, log_variance_p = gaussian_of(model.prior, z_q)
    ratio = log_variance - log_variance_p
    kl = 0.5 * np.sum((mu - mu_p) ** 2 / np.exp(log_variance_p) + np.exp(ratio) - 1 - ratio, 1)
    terms = model.elbo_terms(asked, SEED)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(terms.kl, terms.regularizer)

    h = gaussian(mu, log_variance).sample(seed=tf.random.split(SEED, 2)[1]).numpy().astype(np.float32)
    energy = dense(model.energy, np.tanh(dense(model.steer, h)[:, None] + dense(model.key, states)))[..., 0]
    energy[np.arange(4) >= asked["candidate_lengths"].numpy()[:, None]] = -np.inf
    alpha = np.exp(energy) / np.exp(energy).sum(1, keepdims=True)
    np.testing.assert_allclose(model.weights_of_words(answer, tf.constant(h)), alpha, rtol=1e-3, atol=1e-5)
    context = np.einsum("nu,nud->nd", alpha, states)
    z_a = np.tanh(dense(model.context, context) + dense(model.ending, last))
    logits = np.sum((z_q @ model.similarity.kernel.numpy()) * z_a, 1) + model.bias.numpy()
    p = sigmoid(logits)
    np.testing.assert_allclose(terms.nll, -np.log(np.where(y == 1, p, 1 - p)), rtol=1e-3)


def test_prediction_averages_the_probabilities(asked):
    model = build()
    model.prior.log_variance.bias.assign([2.0] * LATENT)
    model.similarity.kernel.assign(100 * model.similarity.kernel)
    questions, answer = model.read(asked)
    groups = asked["groups"]
    drawn = gaussian(*model.prior(questions)).sample(4, seed=SEED)
    p = [sigmoid(model.logits(tf.gather(questions, groups), answer, tf.gather(h, groups)).numpy()) for h in drawn]
    np.testing.assert_allclose(sigmoid(model.scores(asked, SEED)[:, 0]), np.mean(p, 0), rtol=1e-4)
    assert not np.allclose(p[0], p[1])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_padded_candidate_scores_like_an_unpadded_one(attention, asked, alone):
    model = build(attention, layers=2)
    if attention == "latent":
        model.prior.log_variance.bias.assign([-60.0] * LATENT)  # every sample of h is its mean
    whole = model.scores(asked, SEED)
    for candidate in range(5):
        np.testing.assert_allclose(
            model.scores(alone(candidate), SEED), whole[candidate : candidate + 1], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_score_does_not_see_the_label(attention, asked):
    model = build(attention)
    flipped = asked | {"labels": 1 - asked["labels"]}
    np.testing.assert_array_equal(model.scores(asked, SEED), model.scores(flipped, SEED))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_nothing_is_dropped_in_evaluation(attention, asked):
    model, plain = build(attention, dropout=0.5), build(attention)
    np.testing.assert_array_equal(model.scores(asked, SEED), plain.scores(asked, SEED))
    np.testing.assert_array_equal(model.elbo_terms(asked, SEED).nll, plain.elbo_terms(asked, SEED).nll)


def test_only_the_latent_model_has_a_kl_and_only_attention_attends(asked):
    models = {attention: build(attention) for attention in ATTENTIONS}
    randomise(models["latent"])
    terms = {attention: model.elbo_terms(asked, SEED) for attention, model in models.items()}
    assert (terms["latent"].kl.numpy() > 0).all()
    assert not terms["none"].kl.numpy().any() and not terms["deterministic"].kl.numpy().any()
    names = {attention: model.__dict__.keys() for attention, model in models.items()}
    assert "energy" in names["deterministic"] and "energy" not in names["none"]
    assert "prior" not in names["deterministic"]


def test_h_begins_as_the_same_gaussian_for_all(asked):
    model = build()
    np.testing.assert_array_equal(model.elbo_terms(asked, SEED).kl, np.zeros(5))
    np.testing.assert_allclose(model.prior(tf.ones([1, UNITS]))[1], FIRST_LOG_VARIANCE)


def test_shared_words_are_those_of_the_own_question(asked):
    shared = tf.reduce_any(shared_words(asked), 1).numpy()
    np.testing.assert_array_equal(shared, [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    plain, told = (build(match=match).answer_reader.stack[0].cell.kernel.shape[0] for match in (False, True))
    assert told == plain + 1


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_step_changes_every_weight(attention, asked):
    model = build(attention, dropout=0.2)
    before = [variable.numpy() for variable in model.trainable_variables]
    for _ in range(3):  # the last kernels of both Gaussians are 0, and the prior moves only after the posterior
        logs = model.train_step(asked)
    assert all(np.isfinite(value) for value in logs.values())
    changed = [not np.array_equal(old, new) for old, new in zip(before, model.trainable_variables, strict=True)]
    assert all(changed)
    assert int(model.step) == 3


def test_vectors_that_are_not_tuned_stay(asked):
    model = build(fine_tune=False)
    before = model.embedding.get_weights()[0]
    model.train_step(asked)
    np.testing.assert_array_equal(before, model.embedding.get_weights()[0])


@pytest.mark.slow
def test_it_learns_and_repeats_bit_by_bit(asked):
    first, again = models = [build(dropout=0.2), build(dropout=0.2)]
    for model in models:
        step = tf.function(model.train_step, autograph=False)
        for _ in range(60):
            step(asked)
    for a, b in zip(first.trainable_variables, again.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    scores = first.scores(asked, SEED)[:, 0].numpy()
    assert scores[0] > scores[1] and scores[2] > max(scores[3:])
