import numpy as np
import pytest
import tensorflow as tf

from losses.adversarial import (
    Scores,
    hinge_discriminator,
    logistic_discriminator,
    logistic_generator,
    non_saturating_generator,
    signed_generator,
)

LOSSES = [hinge_discriminator, signed_generator, logistic_discriminator, logistic_generator]


@pytest.fixture
def real():
    return Scores(x=tf.constant([2.0, -0.5, 0.25]), xz=tf.constant([0.5, -3.0, 1.5]))


@pytest.fixture
def fake():
    return Scores(x=tf.constant([0.75, -2.0, 0.5]), xz=tf.constant([-0.25, 1.0, -1.5]))


def check(losses, **expected):
    assert list(losses) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(losses[name], values, rtol=1e-6)


def test_parts_are_the_scores_that_are_not_none(real):
    assert list(real.parts()) == ["x", "xz"]
    assert Scores().parts() == {}


def test_hinge_discriminator_by_hand(real, fake):
    check(hinge_discriminator(real, fake), x=[1.75, 1.5, 2.25], xz=[1.25, 6.0, 0.0])


def test_signed_generator_by_hand(real, fake):
    check(signed_generator(real, fake), x=[1.25, 1.5, -0.25], xz=[0.75, -4.0, 3.0])


def test_signed_generator_counts_a_score_without_real_as_zero(fake):
    check(signed_generator(Scores(), fake), x=[-0.75, 2.0, -0.5], xz=[0.25, -1.0, 1.5])


def test_logistic_losses_against_numpy(real, fake):
    def expected(up, down):
        probabilities = {name: [1 / (1 + np.exp(-side[name])) for side in (up, down)] for name in ("x", "xz")}
        return {name: -np.log(p) - np.log(1 - q) for name, (p, q) in probabilities.items()}

    real_numpy, fake_numpy = ({k: v.numpy().astype("float64") for k, v in s.parts().items()} for s in (real, fake))
    check(logistic_discriminator(real, fake), **expected(real_numpy, fake_numpy))
    check(logistic_generator(real, fake), **expected(fake_numpy, real_numpy))


def test_the_non_saturating_loss_is_that_of_the_fake_scores_alone(real, fake):
    expected = {name: -np.log(1 / (1 + np.exp(-score.numpy()))) for name, score in fake.parts().items()}
    check(non_saturating_generator(real, fake), **expected)
    assert non_saturating_generator(Scores(), Scores(x=tf.constant([-1e4])))["x"].numpy() == [1e4]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_part_has_one_value_per_example(loss, real, fake):
    assert [part.shape for part in loss(real, fake).values()] == [[3], [3]]


@pytest.mark.parametrize("loss, player", [(hinge_discriminator, "d"), (signed_generator, "ge"),
                                          (logistic_discriminator, "d"), (logistic_generator, "ge")])  # fmt: skip
def test_the_players_pull_in_opposite_directions(loss, player):
    real, fake = tf.constant([0.5]), tf.constant([-0.25])
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        part = loss(Scores(z=real), Scores(z=fake))["z"]
    on_real, on_fake = map(tf.convert_to_tensor, tape.gradient(part, [real, fake]))
    sign = 1 if player == "d" else -1  # the discriminator raises real scores and lowers fake scores
    assert sign * on_real[0] < 0 < sign * on_fake[0]


@pytest.mark.parametrize("discriminator", [hinge_discriminator, logistic_discriminator])
def test_the_loss_of_a_discriminator_whose_scores_are_all_zero(discriminator):
    zeros = Scores(xz=tf.zeros(2))
    at_zero = {hinge_discriminator: 2.0, logistic_discriminator: 2 * np.log(2)}[discriminator]
    check(discriminator(zeros, zeros), xz=[at_zero, at_zero])


@pytest.mark.parametrize("loss, swapped", [(logistic_discriminator, False), (logistic_generator, True)])
def test_logistic_losses_of_large_logits_are_finite(loss, swapped):
    logits = tf.constant([1e4, -1e4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        part = loss(Scores(x=logits), Scores(x=-logits))["x"]
    gradient = tf.convert_to_tensor(tape.gradient(part, logits))
    np.testing.assert_allclose(part, [2e4, 0.0] if swapped else [0.0, 2e4])
    np.testing.assert_allclose(gradient, [2.0, 0.0] if swapped else [0.0, -2.0])


@pytest.mark.parametrize("loss", [hinge_discriminator, logistic_discriminator, logistic_generator])
def test_a_score_that_only_one_side_has_is_an_error(loss, real, fake):
    with pytest.raises(ValueError):
        loss(real, fake._replace(x=None))
