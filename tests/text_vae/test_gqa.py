import keras
import numpy as np
import tensorflow as tf

from data.vocabulary import BOS
from text_vae.gqa import GQA

WORDS, UNITS = 12, 5
SEED = tf.constant([1, 2])


def build(rate=0.05, **options):
    keras.utils.set_random_seed(0)
    options = {"units": UNITS, "layers": 1, "dropout": 0.0, "words": WORDS, "embedding": 4, "fine_tune": True} | options
    model = GQA(kl_weight=lambda step: tf.ones([]), **options)
    model.compile(keras.optimizers.Adam(rate))
    return model


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def test_the_prior_is_a_softmax_over_a_questions_candidates(asked):
    model = build()
    last = model.read(asked).last
    logits = model.hidden(last).numpy() @ model.prior.kernel.numpy()
    expected = np.concatenate([np.log(softmax(part)) for part in (logits[:2, 0], logits[2:, 0])])
    np.testing.assert_allclose(model.log_prior(asked, last), expected, rtol=1e-4)


def test_the_likelihood_against_numpy(asked):
    """The expected values are computed word by word for each candidate."""
    model = build()
    answer = model.read(asked)
    found = model.log_likelihood(asked, answer)
    for candidate, question in enumerate(asked["groups"].numpy()):
        words = asked["questions"][question, : asked["question_lengths"][question]].numpy()
        own = asked["candidates"][candidate, : asked["candidate_lengths"][candidate]].numpy()
        states = answer.states[candidate, : len(own)].numpy()
        start = [layer(answer.last[candidate][None]) for layer in model.starts]
        d = model.decoder(model.embedding(np.array([[BOS, *words[:-1]]])), initial_state=start)[0][0].numpy()
        alpha = softmax(d @ model.query.kernel.numpy() @ states.T)
        both = np.concatenate([d, alpha @ states], 1)
        gate = 1 / (1 + np.exp(-(both @ model.gate.kernel.numpy() + model.gate.bias.numpy())[:, 0]))
        drawn = softmax(both @ model.vocabulary.kernel.numpy())[np.arange(len(words)), words]
        copied = (alpha * (words[:, None] == own)).sum(1)
        expected = np.sum(np.log((1 - gate) * drawn + gate * copied))
        np.testing.assert_allclose(found[candidate], expected, rtol=1e-4)


def test_a_padded_candidate_scores_like_an_unpadded_one(asked, alone):
    model = build(layers=2)
    whole = model.scores(asked, SEED)
    for candidate in range(5):
        np.testing.assert_allclose(model.scores(alone(candidate), SEED)[0, 0], whole[candidate, 0], rtol=1e-4)


def test_what_is_minimised_is_of_the_right_answers(asked):
    model = build()
    terms, scores = model.elbo_terms(asked, SEED), model.scores(asked, SEED).numpy().sum(1)
    np.testing.assert_allclose(terms.nll, [-scores[0], -scores[2]], rtol=1e-4)
    assert not terms.kl.numpy().any()
    both = asked | {"labels": tf.constant([0.0, 0.0, 1.0, 1.0, 0.0])}
    np.testing.assert_allclose(model.elbo_terms(both, SEED).nll, [0, -scores[2:4].mean()], rtol=1e-4)


def test_nothing_is_dropped_in_evaluation(asked):
    model, plain = build(dropout=0.5), build()
    np.testing.assert_array_equal(model.scores(asked, SEED), plain.scores(asked, SEED))
    np.testing.assert_array_equal(model.elbo_terms(asked, SEED).nll, plain.elbo_terms(asked, SEED).nll)


def test_no_reader_of_an_answer_sees_the_question(asked):
    model = build()
    other = asked | {"question_stems": asked["question_stems"] * 0, "questions": asked["questions"] * 0}
    np.testing.assert_array_equal(model.read(asked).states, model.read(other).states)
    np.testing.assert_array_equal(model.scores(asked, SEED)[:, 1], model.scores(other, SEED)[:, 1])


def test_a_step_changes_every_weight_and_it_learns(asked):
    model = build(dropout=0.1)
    before = [variable.numpy() for variable in model.trainable_variables]
    step = tf.function(model.train_step, autograph=False)
    logs = step(asked)
    assert all(np.isfinite(value) for value in logs.values())
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.trainable_variables, strict=True))
    for _ in range(60):
        step(asked)
    scores = model.scores(asked, SEED).numpy().sum(1)
    assert scores[0] > scores[1] and scores[2] > max(scores[3:])
