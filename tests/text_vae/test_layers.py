import keras
import numpy as np
import pytest
import tensorflow as tf

from data.vocabulary import BOS, EOS, UNK
from text_vae.layers import CELLS, LSTM, WordDecoder, choose, dropped, last, unread

WORDS, LATENT = 9, 3
SEED = tf.constant([1, 2])


def decoder(cell="lstm", latent=LATENT, dropout=0.0, **options):
    options = {"tied": False, "locked": False} | options
    return WordDecoder(words=WORDS, latent=latent, embedding=4, cell=cell, units=5, dropout=dropout, **options)


def batch():
    return {"tokens": tf.constant([[4, 5, EOS, 0, 0], [6, UNK, 8, 7, EOS]]), "lengths": tf.constant([3, 5])}


def z(latent=LATENT):
    return tf.random.stateless_normal([2, latent], [0, 1])


@pytest.mark.parametrize("traced", [False, True])
def test_the_lstm_is_that_of_keras(traced):
    """Outputs, states and all gradients are those of keras.layers.LSTM."""
    x, h, c = (tf.random.stateless_normal(shape, [0, i]) for i, shape in enumerate(((2, 6, 4), (2, 5), (2, 5))))
    plain = keras.layers.LSTM(5, return_sequences=True, return_state=True)
    ours = LSTM(5, return_sequences=True, return_state=True)
    ours.build(x.shape)
    plain.build(x.shape)
    for own, other in zip(ours.variables, plain.variables, strict=True):
        other.assign(tf.random.stateless_normal(own.shape, [1, 2]))
        own.assign(other)

    def outputs_and_gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch([x, h, c])
            found = layer(x, initial_state=[h, c])
            weights = [tf.random.stateless_normal(value.shape, [3, i]) for i, value in enumerate(found)]
            loss = tf.add_n([tf.reduce_sum(value * weight) for value, weight in zip(found, weights, strict=True)])
        return found, tape.gradient(loss, [x, h, c, *layer.trainable_variables])

    call = tf.function(outputs_and_gradients) if traced else outputs_and_gradients
    for own, other in zip(*(tf.nest.flatten(call(layer)) for layer in (ours, plain)), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-5)
    for own, other in zip(ours(x), plain(x), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "cell, latent, tied", [*((cell, LATENT, False) for cell in CELLS), ("lstm", 0, False), ("lstm", LATENT, True)]
)
def test_the_nll_of_a_sentence_is_that_of_its_words_one_by_one(cell, latent, tied):
    """The expected nll is that of a sentence alone, without padding, in single steps, as a sentence is generated."""
    layer, whole = decoder(cell, latent, tied=tied), batch()
    nll = layer.nll(whole, z(latent))
    for row, length in enumerate(whole["lengths"].numpy()):
        own, token, state, expected = z(latent)[row : row + 1], tf.constant([[1]]), None, 0.0
        for word in whole["tokens"][row, :length].numpy():
            h, *state = layer.states(token, own, state)
            expected -= tf.nn.log_softmax(layer.vocabulary(h[0]))[0, word - 2]
            token = tf.constant([[word]])
        np.testing.assert_allclose(nll[row], expected, rtol=1e-5)


def test_z_starts_the_state_and_joins_every_input():
    layer = decoder()
    for variable in layer.starts[0].variables + layer.starts[1].variables:
        variable.assign(tf.zeros_like(variable))
    kernel = layer.recurrent.cell.kernel
    assert not np.allclose(layer.nll(batch(), z()), layer.nll(batch(), z() + 1))
    kernel.assign(tf.concat([kernel[:-LATENT], tf.zeros([LATENT, kernel.shape[1]])], 0))
    np.testing.assert_array_equal(layer.nll(batch(), z()), layer.nll(batch(), z() + 1))


def test_tied_logits_are_products_with_the_words_vectors():
    layer, h = decoder(tied=True).vocabulary, tf.random.stateless_normal([2, 3, 5], SEED)
    layer.bias.assign(tf.range(WORDS - 2.0))
    vectors, kernel = layer.embedding.embeddings.numpy(), layer.kernel.numpy()
    expected = (h.numpy() @ kernel) @ vectors[2:].T + np.arange(WORDS - 2.0)
    np.testing.assert_allclose(layer(h), expected, rtol=1e-4, atol=1e-6)
    assert kernel.shape == (5, 4)


def test_the_words_vectors_learn_as_weights_of_the_vocabulary_too():
    """The word 8 is never read, so that only logits can teach its vector."""
    gradients = {}
    for tied in (False, True):
        layer = decoder(tied=tied)
        unread = {"tokens": tf.constant([[4, 8]]), "lengths": tf.constant([2])}
        with tf.GradientTape() as tape:
            nll = layer.nll(unread, z()[:1])
        gradients[tied] = tf.convert_to_tensor(tape.gradient(nll, layer.embedding.embeddings)).numpy()
    assert not gradients[False][8].any() and gradients[True][8].all()


@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_has_a_gradient(tied):
    layer = decoder(dropout=0.5, tied=tied, locked=tied)
    with tf.GradientTape() as tape:
        nll = layer.nll(batch(), z(), SEED)
    gradients = tape.gradient(nll, layer.trainable_variables)
    assert all(np.any(tf.convert_to_tensor(gradient) != 0) for gradient in gradients)


def test_dropout_is_a_function_of_its_seed():
    layer = decoder(dropout=0.5)
    first, again, other, without = (layer.nll(batch(), z(), seed) for seed in (SEED, SEED, SEED + 1, None))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other) and not np.allclose(first, without)
    h = tf.ones([100, 10])
    assert set(np.unique(dropped(h, 0.5, SEED))) == {0.0, 2.0}
    assert dropped(h, 0.5, None) is h and dropped(h, 0.0, SEED) is h


def test_locked_dropout_takes_the_same_units_at_all_steps():
    h = tf.ones([50, 7, 10])
    kept, free = dropped(h, 0.5, SEED, locked=True).numpy(), dropped(h, 0.5, SEED).numpy()
    assert (kept == kept[:, :1]).all() and not (free == free[:, :1]).all()
    assert set(np.unique(kept)) == {0.0, 2.0} and not (kept[:, 0] == kept[:1, 0]).all()
    np.testing.assert_allclose(kept.mean(), 1, atol=0.15)
    assert dropped(h, 0.5, None, locked=True) is h


def test_a_locked_decoder_drops_both_vectors_and_states():
    layer = decoder(dropout=0.5, locked=True)
    same = tf.fill([20, 6], 4)  # one word at all steps
    vectors = layer.vectors(same, SEED).numpy()
    assert (vectors == vectors[:, :1]).all() and not (vectors == vectors[:1]).all()
    lost = layer.states(same, tf.ones([20, LATENT]), seed=SEED)[0].numpy() == 0
    assert (lost == lost[:, :1]).all() and 0.2 < lost.mean() < 0.8


def test_word_dropout_makes_words_unknown_and_keeps_the_start():
    tokens = tf.concat([tf.fill([50, 1], BOS), tf.fill([50, 20], 7)], 1)
    lost = unread(tokens, 0.3, SEED).numpy()
    assert (lost[:, 0] == BOS).all() and set(np.unique(lost[:, 1:])) == {UNK, 7}
    np.testing.assert_allclose((lost[:, 1:] == UNK).mean(), 0.3, atol=0.05)
    assert unread(tokens, 0.3, None) is tokens and unread(tokens, 0.0, SEED) is tokens


def test_a_decoder_that_reads_no_word_predicts_by_position_alone():
    layer = decoder(word_dropout=1.0)
    two = {name: {"tokens": tf.constant([[name, 5]]), "lengths": tf.constant([2])} for name in (4, 8)}
    one = {name: {"tokens": tf.constant([[name]]), "lengths": tf.constant([1])} for name in (4, 8)}
    seconds = [layer.nll(two[name], z()[:1], SEED) - layer.nll(one[name], z()[:1], SEED) for name in (4, 8)]
    np.testing.assert_allclose(*seconds, rtol=1e-5)
    plain = [layer.nll(two[name], z()[:1]) - layer.nll(one[name], z()[:1]) for name in (4, 8)]
    assert not np.allclose(*plain)


def test_the_last_real_step():
    h = tf.reshape(tf.range(12.0), [2, 3, 2])
    np.testing.assert_array_equal(last(h, tf.constant([1, 3])), [[0, 1], [10, 11]])


def test_generation_is_a_function_of_its_seed_and_never_gives_pad_or_start():
    layer = decoder(longest=12)
    many = tf.random.stateless_normal([40, LATENT], [0, 3])
    drawn, again, other = (list(map(np.array, layer.sample(many, seed, 1.0, 1.0))) for seed in (SEED, SEED, SEED + 1))
    assert [ids.tolist() for ids in drawn] == [ids.tolist() for ids in again]
    assert [ids.tolist() for ids in drawn] != [ids.tolist() for ids in other]
    assert max(map(len, drawn)) <= 12 and {ids.dtype for ids in drawn} == {np.dtype("int32")}
    assert set(np.concatenate(drawn)) <= set(range(UNK, WORDS))
    assert any(len(ids) < 12 for ids in drawn)


def test_greedy_generation_follows_the_likeliest_word():
    layer = decoder(longest=4)
    layer.vocabulary.bias.assign([0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0])
    assert layer.sample(z()[:1], SEED, 0.0, 1.0).to_list() == [[5, 5, 5, 5]]
    layer.vocabulary.bias.assign([50.0] + [0.0] * 6)  # EOS
    assert layer.sample(z(), SEED, 1.0, 1.0).to_list() == [[], []]


def test_top_p_leaves_the_smallest_set_of_that_probability():
    logits = tf.repeat(tf.math.log([[0.1, 0.5, 0.15, 0.25]]), 2000, axis=0)

    def shares(temperature, top_p):
        return np.bincount(choose(logits, SEED, temperature, top_p), minlength=4) / 2000

    np.testing.assert_allclose(shares(1.0, 1.0), [0.1, 0.5, 0.15, 0.25], atol=0.04)
    np.testing.assert_allclose(shares(1.0, 0.7), [0, 2 / 3, 0, 1 / 3], atol=0.04)
    assert shares(1.0, 0.4)[1] == 1 and shares(0.0, 1.0)[1] == 1
    squared = np.square([0.1, 0.5, 0.15, 0.25])
    np.testing.assert_allclose(shares(0.5, 1.0), squared / squared.sum(), atol=0.04)
