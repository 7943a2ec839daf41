"""The adversarial step of every mode, and the use of the models, with tiny networks on noise.

A model is built once for the module. Its steps run eagerly, which takes less time than tracing. Every test compares
only what it changes itself, so the order of the tests does not matter.
"""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from data.images import ImageDataset, Split, to_float
from losses.information import entropy, view_information
from models import infobigbigan
from models.code import PRIOR_START, Code
from models.discriminators import ImageDiscriminator
from models.encoder import Encoding
from models.gan import DECODE_BATCH, STATISTICS_BATCH, totalled
from tasks.modes import MODES
from training.config import make_config

BATCH, LATENT_DIM, CATEGORIES = 8, 6, 10
NETWORKS = {
    "batch_size": BATCH,
    "latent_dim": LATENT_DIM,
    "generator_widths": (8,),
    "discriminator_widths": (8, 8),
    "precision": "float32",
}
ENCODER = {"encoder_widths": (8, 8), "feature_dim": 8, "latent_width": 8, "latent_blocks": 0}
ENCODER |= {"layout_dim": 0, "hidden_norm": False, "d_updates": 1}
CONTINUOUS = {"num_continuous": 2}
ALONE = {"consistency_weight": 0.0, "real_info_weight": 0.0}
CONSISTENT = {"real_info_weight": 0.0, "consistency_weight": 2.0, "balance_weight": 0.5, "num_continuous": 1}
SIDES = ("d_variables", "ge_variables")

CONFIGURATIONS = {
    "biggan": ("biggan", {"generator_widths": (8, 8), "attention": 4, "d_updates": 2}),
    "bigan": ("bigan", ENCODER | {"deterministic_encoder": True}),
    "bigbigan": ("bigbigan", ENCODER | {"latent_blocks": 1, "d_updates": 2, "layout_dim": 4, "hidden_norm": True}),
    "bigbigan no s_x": ("bigbigan", ENCODER | {"s_x": False}),
    "bigbigan no s_z": ("bigbigan", ENCODER | {"s_z": False}),
    "bigbigan no s_x s_z": ("bigbigan", ENCODER | {"s_x": False, "s_z": False}),
    "infogan": ("infogan", CONTINUOUS | {"code_to": "all"}),
    "infogan plain": ("infogan", CONTINUOUS | {"networks": "plain", "layout_dim": 8}),
    "info none, head on J": ("infobigbigan", ENCODER | ALONE | {"joint_code": "none", "head_on": "joint"}),
    "info head": ("infobigbigan", ENCODER | ALONE | CONTINUOUS | {"joint_code": "head", "d_updates": 2}),
    "info encoder": ("infobigbigan", ENCODER | ALONE | CONTINUOUS | {"joint_code": "encoder", "code_to": "all"}),
    "info consistent E": ("infobigbigan", ENCODER | CONSISTENT | {"real_info_weight": 0.5, "d_updates": 2}),
    "info views for F and E": ("infobigbigan", ENCODER | {"view_share": 0.5}),
    "bigan views for F and E": ("bigan", ENCODER | {"view_share": 0.5, "d_updates": 2}),
    "info two views": ("infobigbigan", ENCODER | {"views": 2, "cutout": 3}),
    "info learned prior": ("infobigbigan", ENCODER | {"code_prior": "learned"}),
    "info head on the map": (
        "infobigbigan",
        ENCODER | CONSISTENT | {"consistency_on": "head", "joint_code": "head", "head_on": "map"},
    ),
    "info consistent head": ("infobigbigan", ENCODER | CONSISTENT | {"consistency_on": "head", "joint_code": "none"}),
}
WITH_ENCODER = [name for name, (mode, _) in CONFIGURATIONS.items() if "bigan" in mode]
WITH_CODE = [name for name, (mode, _) in CONFIGURATIONS.items() if mode.startswith("info")]


@functools.cache
def noise() -> ImageDataset:
    split = Split(np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype=np.uint8), labels=None)
    return ImageDataset("noise", split, split, split)


def batch():
    return tf.constant(to_float(noise().train.images[:BATCH]))


def build(name, **options):
    mode, own = CONFIGURATIONS[name]
    task, config = MODES[mode].make_task(), make_config(MODES[mode].config, NETWORKS | own | options)
    model = task.build(config, task.facts(noise()))
    for network in (model.generator, model.image_discriminator):
        for attend in filter(None, getattr(network, "attend", [])):
            attend.gain.assign(0.5)  # with the initial gain, 0, the rest of the attention has no gradient
    for network in model.discriminators:
        if getattr(network, "score", None):
            # the gradient of the bias is exactly 0 if all scores are inside the margin of the hinge
            network.score.bias.assign([3.0])
    return model


shared = functools.cache(build)


@pytest.fixture(params=CONFIGURATIONS)
def model(request):
    return shared(request.param)


def generator_side(model):
    """Return G, E and their averages."""
    return [network for pair in model.averaged for network in pair]


def snapshot(networks):
    return [weight.numpy() for network in networks for weight in network.weights]


def same(before, after):
    return all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def idle(variables, before):
    """Return the paths of the variables that have the values `before`."""
    return [v.path for v, old in zip(variables, before, strict=True) if np.array_equal(v, old)]


def pairs(model, seed=0):
    """Return a batch of real pairs and a batch of fake pairs."""
    fake_seed, real_seed = tf.constant([seed, 10]), tf.constant([seed, 11])
    return model.encode_pair(batch(), real_seed), model.generate_pair(BATCH, fake_seed)


@contextlib.contextmanager
def standing_still(optimizer):
    rate = optimizer.learning_rate.numpy()
    optimizer.learning_rate = 0.0
    yield
    optimizer.learning_rate = rate


def until_judged(model, step):
    """Take the part of a step that draws the pairs."""

    class Judged(Exception):
        pass

    def stop(real, fake):
        raise Judged

    model.step.assign(step - 1)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Judged):
        patch.setattr(model, "discriminate", stop)
        model.train_step(batch())


def test_every_image_mode_has_a_configuration():
    image_modes = {mode for mode, row in MODES.items() if row.task == "tasks.images:ImageTask"}
    assert {mode for mode, _ in CONFIGURATIONS.values()} == image_modes


# A new model


def test_a_new_discriminator_divides_by_the_sigma_of_its_orthogonal_kernels():
    layers = [layer for network in build("biggan").discriminators for layer in network._flatten_layers()]
    sigmas = [float(layer.sigma()) for layer in layers if getattr(layer, "spectral_norm", False)]
    assert len(sigmas) > 5
    np.testing.assert_allclose(sigmas, 1.0, rtol=1e-5)


def test_rates_and_sizes_are_those_of_the_config():
    own = {"d_rate": 0.01, "ge_rate": 0.02, "beta_1": 0.25, "ema_decay": 0.9, "encoder_size": 16}
    model = build("bigan", **own)
    optimizers = model.d_optimizer, model.ge_optimizer
    np.testing.assert_allclose([optimizer.learning_rate for optimizer in optimizers], [0.01, 0.02], rtol=1e-6)
    assert [optimizer.beta_1 for optimizer in optimizers] == [0.25, 0.25]
    assert (model.ema_decay, model.encoder.input_size) == (0.9, 16)


# The objectives


def test_the_loss_of_a_player_is_the_sum_of_the_means_of_its_parts():
    losses = totalled("d", {"x": tf.constant([1.0, 4.0, -2.0]), "balance": tf.constant(-0.5)})
    assert {name: float(loss) for name, loss in losses.items()} == {
        "loss/d": 0.5,
        "loss/d_x": 1.0,
        "loss/d_balance": -0.5,
    }


def test_bound_and_estimate_of_a_code_of_both_kinds_against_numpy():
    code, random = Code(3, 2), np.random.default_rng(0)
    logits, mean, log_sigma = (random.normal(size=(4, size)).astype("float32") for size in (3, 2, 2))
    parameters, c = np.concatenate([logits, mean, log_sigma], 1), code.sample(4, tf.constant([0, 1])).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(code.estimate(parameters), np.concatenate([p, mean], 1), rtol=1e-5)
    bound = np.log(3) + np.sum(c[:, :3] * np.log(p), 1)
    # the entropy of a uniform code on [-1, 1] is log 2
    bound += np.sum(np.log(2) + norm(mean, np.exp(log_sigma)).logpdf(c[:, 3:]), 1)
    np.testing.assert_allclose(code.bound(c, parameters), bound, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["biggan", "bigan", "bigbigan", "bigbigan no s_z", "infogan", "infogan plain", "info encoder"]
)
def test_the_adversarial_parts_are_those_of_the_modes_paper(name):
    model = shared(name)
    both = pairs(model)
    real, fake = (model.judge(pair) for pair in both)
    d, ge = model.discriminator_losses(real, fake, *both), model.generator_losses(real, fake, *both)
    for part, on in fake.scores.parts().items():
        s, s_hat = getattr(real.scores, part).numpy(), on.numpy()
        if name == "bigan":
            of_d, of_ge = np.log1p(np.exp(-s)) + np.log1p(np.exp(s_hat)), np.log1p(np.exp(s)) + np.log1p(np.exp(-s_hat))
        elif name == "infogan plain":
            of_d, of_ge = np.log1p(np.exp(-s)) + np.log1p(np.exp(s_hat)), np.log1p(np.exp(-s_hat))
        else:
            of_d = np.maximum(0, 1 - s) + np.maximum(0, 1 + s_hat)
            of_ge = s - s_hat if hasattr(model, "encoder") else -s_hat
        np.testing.assert_allclose(d[part], of_d, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ge[part], of_ge, rtol=1e-4, atol=1e-5)
    expected = (
        {"x"} if name in ("biggan", "infogan", "infogan plain") else {"xz"} if name == "bigan" else {"x", "z", "xz"}
    )
    assert set(fake.scores.parts()) == expected - ({"z"} if name == "bigbigan no s_z" else set())


def test_the_bound_enters_the_losses_of_both_players_with_its_weight():
    model = build("info encoder", info_weight=0.5, num_continuous=0)
    both = pairs(model)
    real, fake = (model.judge(pair) for pair in both)
    c, e_logits = both[1].c.numpy(), model.encoder(both[1].x).code.numpy()

    def weighted(logits):
        return -0.5 * (np.log(CATEGORIES) + np.sum(c * (logits - np.log(np.exp(logits).sum(1, keepdims=True))), 1))

    d, ge = model.discriminator_losses(real, fake, *both), model.generator_losses(real, fake, *both)
    np.testing.assert_allclose(d["info"], weighted(model.recognize(fake).numpy()), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ge["info"], d["info"], rtol=1e-6)
    np.testing.assert_allclose(ge["info_encoder"], weighted(e_logits), rtol=1e-4, atol=1e-5)
    assert np.ptp(d["info"]) > 0 and np.ptp(ge["info_encoder"]) > 0


# One step


def test_the_optimizers_have_every_trainable_weight_of_their_side(model):
    """The expected weights are those of the networks by name, not those of the model's own lists."""
    sides = {
        "d": ("image_discriminator", "latent_discriminator", "joint_discriminator", "head"),
        "ge": ("generator", "encoder"),
    }
    for side, names in sides.items():
        networks = [getattr(model, name) for name in names if hasattr(model, name)]
        weights = {id(weight) for network in networks for weight in network.trainable_variables}
        assert {id(weight) for weight in getattr(model, f"{side}_variables")} == weights
        moments = getattr(model, f"{side}_optimizer").variables
        assert sum(v.path.endswith("momentum") for v in moments) == len(weights)


@pytest.mark.slow
@pytest.mark.parametrize("player, other", [("d", "ge"), ("ge", "d")])
def test_each_player_descends(player, other):
    """A player's loss falls if the other player does not move, and z, noise and views are the same in every step."""
    model, losses = build("info consistent E"), []
    with standing_still(getattr(model, f"{other}_optimizer")):
        for _ in range(4):
            model.step.assign(0)
            model.reset_metrics()
            losses.append(float(model.train_step(batch())[f"loss/{player}"]))
    assert losses[-1] < losses[0]


def test_a_score_is_of_the_pair_that_it_names(monkeypatch):
    model, judged = shared("bigbigan"), []
    discriminate = model.discriminate

    def recorded(real, fake):
        found = discriminate(real, fake)
        judged[:] = found[1]
        return found

    monkeypatch.setattr(model, "discriminate", recorded)
    model.reset_metrics()
    logs = model.train_step(batch())
    np.testing.assert_allclose(
        [logs["score/x_real"], logs["score/x_fake"]], [np.mean(one.scores.x) for one in judged], rtol=1e-5
    )


@pytest.mark.slow
def test_g_and_e_follow_the_discriminators_that_the_last_step_left():
    """The update of G and E does not depend on the update of the discriminators in the same step."""
    moving, still = (build("info head", seed=7) for _ in range(2))
    moving.train_step(batch())
    with standing_still(still.d_optimizer):
        still.train_step(batch())
    d_weights, ge_weights = ([[v.numpy() for v in getattr(m, side)] for m in (moving, still)] for side in SIDES)
    assert same(*ge_weights)
    assert not same(*d_weights)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_players_updates_change_all_of_its_weights_and_none_of_the_others(name, monkeypatch):
    """Only the discriminators' updates take a power iteration, one each. u of F's first kernel shows their number."""
    model, spectral = shared(name), name != "infogan plain"
    if spectral:
        layer = model.image_discriminator.blocks[0].conv_1
        u = np.arange(1.0, 1.0 + layer.outputs)
        layer.u.assign(u)  # far from converged
    optimizers = model.d_optimizer, model.ge_optimizer
    updates = [int(optimizer.iterations) for optimizer in optimizers]

    def both():
        return [[v.numpy() for v in getattr(model, side)] for side in SIDES]

    seen = [both()]
    for optimizer in optimizers:
        monkeypatch.setattr(optimizer, "apply", lambda *given, own=optimizer.apply: (own(*given), seen.append(both())))
    logs = model.train_step(batch())
    assert all(np.isfinite(value) for value in logs.values())
    (d_first, ge_first), *by_d, (d_last, ge_last) = seen
    assert len(by_d) == model.d_updates
    assert all(same(ge, ge_first) for _, ge in by_d) and same(d_last, by_d[-1][0])
    assert idle(model.d_variables, d_first) == idle(model.ge_variables, ge_first) == []
    assert same(both()[0], d_last) and same(both()[1], ge_last)  # nothing moves but by the optimizers
    assert [int(optimizer.iterations) for optimizer in optimizers] == [updates[0] + model.d_updates, updates[1] + 1]
    if spectral:
        place = [variable is layer.kernel for variable in model.d_variables].index(True)
        for d, _ in seen[: model.d_updates]:
            matrix = d[place].reshape(-1, layer.outputs)
            v = matrix @ u / np.linalg.norm(matrix @ u)
            u = matrix.T @ v / np.linalg.norm(matrix.T @ v)
        np.testing.assert_allclose(layer.u, u, atol=1e-5)


@pytest.mark.parametrize(
    "name, scores, d_codes, ge_codes",
    [
        ("biggan", ["x"], [], []),
        ("bigan", ["xz"], [], []),
        ("bigbigan", ["x", "z", "xz"], [], []),
        ("bigbigan no s_x", ["z", "xz"], [], []),
        ("bigbigan no s_z", ["x", "xz"], [], []),
        ("bigbigan no s_x s_z", ["xz"], [], []),
        ("infogan", ["x"], ["info"], ["info"]),
        ("infogan plain", ["x"], ["info"], ["info"]),
        ("info none, head on J", ["x", "z", "xz"], ["info"], ["info"]),
        ("info head", ["x", "z", "xz"], ["info"], ["info"]),
        ("info encoder", ["x", "z", "xz"], ["info"], ["info", "info_encoder"]),
        ("info consistent E", ["x", "z", "xz"], ["info", "info_real"],
         ["info", "info_encoder", "consistency", "balance"]),
        ("info consistent head", ["x", "z", "xz"], ["info", "consistency", "balance"], ["info"]),
        ("info learned prior", ["x", "z", "xz"], ["info", "info_real"], ["info", "info_encoder", "consistency"]),
        ("info two views", ["x", "z", "xz"], ["info", "info_real"], ["info", "info_encoder", "consistency"]),
    ],
)  # fmt: skip
def test_losses_and_scores_are_of_the_terms_that_are_on(name, scores, d_codes, ge_codes):
    model = shared(name)
    real, fake = pairs(model)
    assert list(model.judge(fake).scores.parts()) == scores
    d_logs = {"loss/d"} | {f"loss/d_{part}" for part in scores + d_codes}
    d_logs |= {f"score/{score}_{side}" for score in scores for side in ("real", "fake")}
    ge_logs = {"loss/ge"} | {f"loss/ge_{part}" for part in scores + ge_codes}
    _, judged, d_losses = model.discriminate(real, fake)
    assert set(d_losses) == {name for name in d_logs if name.startswith("loss")}
    assert set(totalled("ge", model.generator_losses(*judged, real, fake))) == ge_logs
    prior = {"code/prior_entropy"} if name == "info learned prior" else set()
    assert set(model.tracked_names) == d_logs | ge_logs | prior


def test_f_without_a_score_still_feeds_j():
    model = shared("bigbigan no s_x")
    assert model.image_discriminator.score is None
    _, fake = pairs(model)
    with tf.GradientTape() as tape:
        score = model.judge(fake).scores.xz
    gradients = tape.gradient(score, model.image_discriminator.trainable_variables)
    assert all(np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize("layout_dim", [0, 4])
def test_f_tells_where_a_stroke_is_only_by_its_layout(layout_dim):
    network = ImageDiscriminator((32, 32, 1), (8,), layout_dim=layout_dim)
    x = np.zeros((2, 32, 32, 1), np.float32)
    x[0, 14:17, 14] = x[1, 14:17, 16] = 1.0  # two strokes, one position of the last map apart, far from the borders
    features, score, whole = (values.numpy() for values in network(x))
    assert features.shape == (2, 8 + layout_dim) and score.shape == (2,) and whole.shape == (2, network.map_dim)
    np.testing.assert_allclose(whole.reshape(2, -1, 8).sum(1), features[:, :8], rtol=1e-4, atol=1e-5)
    assert not np.allclose(whole[0], whole[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features[0, :8], features[1, :8], rtol=1e-4, atol=1e-5)
    assert (layout_dim > 0) == (not np.allclose(features[0], features[1], rtol=1e-3, atol=1e-4))


def test_examples_do_not_see_each_other_but_in_g():
    model, x = shared("info encoder"), batch()
    inputs = {"image_discriminator": x, "encoder": x}
    for name in ("latent_discriminator", "joint_discriminator"):
        size = getattr(model, name).first.kernel.shape[0]
        inputs[name] = tf.random.stateless_normal([BATCH, size], [0, 1])
    for name, own in inputs.items():
        others = tf.concat([own[:1], 1.0 - 2.0 * tf.abs(own[1:])], 0)
        first, second = getattr(model, name)(own), getattr(model, name)(others)
        for alone, together in zip(first, second, strict=True):
            np.testing.assert_allclose(alone[0], together[0], rtol=1e-5, atol=1e-6)
            assert not np.allclose(alone[1], together[1], rtol=1e-3)
    z, c = model.sample_latents(BATCH, tf.constant([0, 1]))
    other_z = tf.concat([z[:1], 2.0 * z[1:]], 0)
    alone, together = (model.generator(latent, c, training=True)[0] for latent in (z, other_z))
    assert not np.allclose(alone, together, atol=1e-3)


@pytest.mark.slow
def test_a_training_is_repeated_bit_by_bit_by_its_seed():
    first, again, other = models = [build("bigbigan no s_x s_z", seed=seed) for seed in (3, 3, 4)]
    assert not np.allclose(*(model.generator.first.kernel.numpy() for model in (first, other)))
    for model in models[:2]:
        step = tf.function(model.train_step, autograph=False)
        for _ in range(3):
            step(batch())
    assert same(*(snapshot([*model.discriminators, *generator_side(model)]) for model in (first, again)))


def test_the_randomness_of_a_step_is_a_function_of_seed_and_step(monkeypatch):
    model, drawn = shared("biggan"), []
    sample = model.sample_latents

    def recorded(*given):
        drawn.append(sample(*given))
        return drawn[-1]

    monkeypatch.setattr(model, "sample_latents", recorded)
    for seed, step in ((0, 5), (0, 5), (1, 5), (0, 6)):
        monkeypatch.setattr(model, "seed", seed)
        until_judged(model, step)
    z, again, other_seed, other_step = (latents[0].numpy() for latents in drawn)
    np.testing.assert_array_equal(z, again)
    assert not np.allclose(z, other_seed)
    assert not np.allclose(z, other_step)


def test_both_pairs_have_randomness_of_their_own_in_every_step(monkeypatch):
    model, seeds = shared("bigbigan"), []

    def recorded(draw):
        return lambda given, seed: seeds.append(tuple(seed.numpy())) or draw(given, seed)

    for name in ("generate_pair", "encode_pair"):
        monkeypatch.setattr(model, name, recorded(getattr(model, name)))
    for step in (5, 5, 6):
        until_judged(model, step)
    assert seeds[:2] == seeds[2:4] and len(set(seeds)) == 4


# The moving average


@pytest.mark.parametrize("step, rate", [(1, 9 / 11), (10, 9 / 20), (10**6, 0.001)])
def test_the_average_moves_by_its_rate(step, rate):
    model = shared("info encoder")
    kept = int(model.step)
    model.step.assign(step)
    averaged, means = zip(*model.averages, strict=True)
    read_by = [*model.image_discriminator.trainable_variables, *model.head.trainable_variables]
    assert [v.path for v in averaged] == [v.path for v in model.ge_variables + read_by]
    for mean in means:
        mean.assign(mean + 0.5)
    before, weights = ([v.numpy() for v in variables] for variables in (means, averaged))
    model.update_average()
    after = [mean.numpy() for mean in means]
    for mean, weight, moved in zip(before, weights, after, strict=True):
        np.testing.assert_allclose(moved, (1 - rate) * mean + rate * weight, rtol=1e-5, atol=1e-6)
    model.step.assign(kept)


def test_refreshing_changes_the_averages_alone():
    model = shared("info encoder")
    model.train_step(batch())
    optimizers = [v.numpy() for o in (model.d_optimizer, model.ge_optimizer) for v in o.variables]
    trained = [*model.discriminators, *(network for network, _ in model.averaged)]
    others = snapshot(trained), [mean.numpy() for _, mean in model.averages]
    statistics = [v.numpy() for v in model.ema_generator.non_trainable_variables]
    model.refresh_statistics()
    assert same(snapshot(trained), others[0])
    assert same([mean.numpy() for _, mean in model.averages], others[1])
    assert same([v.numpy() for o in (model.d_optimizer, model.ge_optimizer) for v in o.variables], optimizers)
    assert not same([v.numpy() for v in model.ema_generator.non_trainable_variables], statistics)


def test_refreshed_statistics_are_those_of_the_averages_own_pass():
    """The refreshed average has equal outputs in inference and in training mode; with G's statistics it has not."""
    model = shared("info encoder")
    model.train_step(batch())
    latents = model.sample_latents(STATISTICS_BATCH, tf.constant([model.seed, 1]))
    model.refresh_statistics()
    refreshed = model.ema_generator(*latents)
    for own, value in zip(
        model.ema_generator.non_trainable_variables, model.generator.non_trainable_variables, strict=True
    ):
        own.assign(value)
    borrowed = model.ema_generator(*latents)
    in_training = model.ema_generator(*latents, training=True)
    np.testing.assert_allclose(refreshed, in_training, atol=2e-3)
    assert np.abs(borrowed - in_training).max() > 0.05


# Latents, pairs and the code


def test_truncation_bounds_z():
    model = shared("info encoder")
    seed = tf.constant([0, 5])
    z, cut = model.sample_latents(1000, seed)[0], model.sample_latents(1000, seed, truncation=0.5)[0]
    assert z.shape == cut.shape == [1000, LATENT_DIM]
    assert np.abs(z).max() > 2.5
    assert 0.45 < np.abs(cut).max() <= 0.5


def test_second_views_are_of_the_neighbours_if_a_batch_has_them(monkeypatch):
    model, seen = shared("info consistent E"), []
    monkeypatch.setattr(infobigbigan, "random_view", lambda x, seed: seen.append(x) or x)
    x, others = batch(), tf.constant(to_float(noise().train.images[BATCH : 2 * BATCH]))
    model.reset_metrics()
    model.train_step((x, others))
    model.train_step(x)
    np.testing.assert_array_equal(seen, [others, x])


def learned_code(prior):
    code = Code(len(prior), learned=True)
    code.prior.assign(prior)
    return code


def test_codes_are_drawn_from_a_learned_prior_whose_entropy_the_bound_has():
    prior = np.array([0.7, 0.2, 0.1])
    code = learned_code(prior)
    c = code.sample(4000, tf.constant([0, 5])).numpy()
    np.testing.assert_allclose(c.mean(0), prior, atol=0.03)  # 4 standard errors
    parameters = tf.math.log(tf.constant([[0.5, 0.25, 0.25]]))
    bound = -np.sum(prior * np.log(prior)) + np.log(0.25)
    np.testing.assert_allclose(code.bound(tf.constant([[0.0, 1.0, 0.0]]), parameters), [bound], rtol=1e-5)


def test_a_learned_prior_moves_towards_the_mean_estimate_and_no_category_is_lost():
    code, estimates = learned_code([0.5, 0.433, 0.067]), tf.constant([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    code.learn_prior(estimates, PRIOR_START)
    np.testing.assert_allclose(code.prior, [0.5, 0.433, 0.067], rtol=1e-6)
    code.learn_prior(estimates, PRIOR_START + 1)
    moved = np.array([0.5, 0.433 + 0.02 * 0.067, 0.2 / 3])
    np.testing.assert_allclose(code.prior, moved / moved.sum(), rtol=1e-6)


@pytest.mark.parametrize("name", ["info learned prior", "infogan"])
def test_a_step_learns_the_prior_from_real_images(name):
    model = build(name, code_prior="learned")
    model.step.assign(PRIOR_START - 1)
    model.train_step(batch())
    np.testing.assert_allclose(model.code.prior, 0.1, rtol=1e-6)
    seen = []
    learn = model.code.learn_prior
    model.code.learn_prior = lambda estimates, step: seen.append(estimates.numpy()) or learn(estimates, step)
    estimates = model.encoder(batch()).code if name == "info learned prior" else None
    logs = model.train_step(batch())
    if estimates is not None:
        np.testing.assert_allclose(seen[0], tf.nn.softmax(estimates), rtol=1e-4, atol=1e-6)
    expected = 0.1 + 0.02 * (seen[0].mean(0) - 0.1)
    np.testing.assert_allclose(model.code.prior, expected, rtol=1e-4)
    assert np.ptp(model.code.prior) > 0
    assert logs["code/prior_entropy"] < np.log(10)


def test_a_learned_prior_is_saved_and_a_uniform_one_is_no_weight():
    own = [shared("info learned prior"), shared("info encoder")]
    for model, kept in zip(own, (True, False), strict=True):
        assert any(weight is model.code.prior for weight in model.weights) == kept
        assert any(weight is model.code.prior for weight in model.in_use) == kept


def test_codes_are_drawn_from_their_priors():
    code = shared("info encoder").code
    c = code.sample(2000, tf.constant([0, 5])).numpy()
    categories, continuous = c[:, :CATEGORIES], c[:, CATEGORIES:]
    np.testing.assert_array_equal(np.sort(categories, 1), np.eye(CATEGORIES)[[-1] * 2000])
    np.testing.assert_allclose(categories.mean(0), 0.1, atol=0.03)  # 4 standard errors
    assert continuous.shape == (2000, 2)
    assert -1 <= continuous.min() < -0.98 < 0.98 < continuous.max() <= 1


def test_the_stochastic_posterior_is_the_diagonal_normal_of_the_encoding():
    random = np.random.default_rng(0)
    mu, sigma = random.normal(size=(4, 3)).astype("float32"), random.uniform(0.1, 2, (4, 3)).astype("float32")
    encoding = Encoding(tf.constant(mu), tf.constant(sigma), features=None, code=None)
    posterior = shared("bigbigan").posterior(encoding)
    assert (posterior.batch_shape, posterior.event_shape) == ([4], [3])
    np.testing.assert_allclose(posterior.mean(), mu)
    np.testing.assert_allclose(posterior.stddev(), sigma, rtol=1e-6)
    point = shared("bigan").posterior(encoding._replace(sigma=None))
    np.testing.assert_array_equal(point.sample(seed=[0, 1]), mu)


def test_the_encoder_is_sampled_by_the_seed_unless_it_is_deterministic():
    for name, stochastic in (("bigbigan", True), ("bigan", False)):
        model = shared(name)
        z_hats = [model.encode_pair(batch(), tf.constant([0, seed])).z.numpy() for seed in (1, 1, 2)]
        np.testing.assert_array_equal(z_hats[0], z_hats[1])
        assert np.array_equal(z_hats[0], z_hats[2]) != stochastic
        assert np.allclose(z_hats[0], model.encoder(batch()).mu) != stochastic


@pytest.mark.parametrize("name", WITH_CODE)
def test_what_h_sees_of_the_code(name):
    model = shared(name)
    real, fake = pairs(model)
    assert fake.c.shape == [BATCH, model.code.dim]
    if name in ("info none, head on J", "info consistent head", "infogan", "infogan plain"):
        assert real.c is None
    else:
        assert real.c.shape == fake.c.shape
        np.testing.assert_allclose(np.sum(real.c[:, :CATEGORIES], 1), np.ones(BATCH), rtol=1e-5)
        np.testing.assert_array_equal(model.latent_of(fake), np.concatenate([fake.z, fake.c], 1))


@pytest.mark.parametrize("name, on_j", [("info encoder", False), ("info none, head on J", True)])
def test_the_head_reads_the_network_it_stands_on(name, on_j):
    model = shared(name)
    _, fake = pairs(model)
    with tf.GradientTape() as tape:
        loss = model.information_loss(model.judge(fake), fake.c)
    gradients = tape.gradient(loss, [model.joint_discriminator.first.kernel, model.image_discriminator.score.kernel])
    assert (gradients[0] is not None) == on_j
    assert gradients[1] is None  # the bound does not depend on the score


def test_the_heads_estimate_of_a_real_image_trains_nothing():
    model = shared("info head")
    with tf.GradientTape() as tape:
        c_hat = model.encode_pair(batch(), tf.constant([0, 1])).c
    assert all(gradient is None for gradient in tape.gradient(c_hat, model.d_variables + model.ge_variables))


@pytest.mark.parametrize("part, reaches_g, reaches_e", [("info", True, False), ("info_encoder", True, True)])
def test_whom_the_bounds_of_the_generator_step_teach(part, reaches_g, reaches_e):
    model = shared("info encoder")
    with tf.GradientTape() as tape:
        real, fake = pairs(model)
        loss = model.generator_losses(model.judge(real), model.judge(fake), real, fake)[part]
    own = [model.generator.first.kernel, model.encoder.stem.kernel]
    assert [gradient is not None for gradient in tape.gradient(loss, own)] == [reaches_g, reaches_e]


@pytest.mark.parametrize("name, side", [("info consistent E", "ge"), ("info consistent head", "d")])
def test_whom_the_codes_of_real_images_teach(name, side):
    """The losses train E alone, or the head and its trunk F. They never train G, because a real image has no G."""
    model = shared(name)
    with tf.GradientTape(persistent=True) as tape:
        real, fake = pairs(model)
        judged = model.judge(real), model.judge(fake)
        losses = {"ge": model.generator_losses, "d": model.discriminator_losses}[side](*judged, real, fake)
    others = {"ge": model.discriminator_losses, "d": model.generator_losses}[side](*judged, real, fake)
    assert real.views.shape == real.x.shape
    assert fake.views is None
    assert not {"consistency", "balance"} & others.keys()
    own = [model.encoder.code.kernel if side == "ge" else model.head.out.kernel, model.generator.first.kernel]
    for part in ("consistency", "balance"):
        taught, g = tape.gradient(losses[part], own)
        assert np.any(taught)
        assert g is None


def test_the_losses_of_the_codes_of_real_images_by_their_definition():
    model = shared("info consistent E")
    real, fake = pairs(model)
    losses = model.generator_losses(model.judge(real), model.judge(fake), real, fake)
    p, p_view = (tf.nn.softmax(model.encoder(x).code[:, :CATEGORIES]) for x in (real.x, real.views))
    np.testing.assert_allclose(losses["consistency"], -2.0 * view_information(p, p_view), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(losses["balance"], -0.5 * entropy(tf.reduce_mean(p, 0)), rtol=1e-5)


@pytest.mark.parametrize("neighbours", [False, True])
def test_with_two_random_views_no_code_of_the_image_itself_enters_the_consistency(neighbours):
    model, own = shared("info two views"), batch()
    others = tf.constant(to_float(noise().train.images[BATCH : 2 * BATCH])) if neighbours else own
    seed = tf.constant([0, 3])
    real = model.encode_pair(own, seed, *([others] if neighbours else []))
    first, second = tf.split(real.views, 2)
    seeds = [tf.random.fold_in(seed, i) for i in (1, 2)]
    np.testing.assert_array_equal(first, model.view(others, seeds[0]))
    np.testing.assert_array_equal(second, model.view(own, seeds[1]))
    changed = first.numpy() != infobigbigan.random_view(others, seeds[0]).numpy()  # by the squares
    assert np.all(first.numpy()[changed] == -1) and 3 <= changed.sum() < changed.size // 4
    losses = model.regularity_losses(real.c[:, :CATEGORIES], real.views, lambda x: model.encoder(x).code)
    p, p_view = (tf.nn.softmax(model.encoder(x).code[:, :CATEGORIES]) for x in (second, first))
    np.testing.assert_allclose(losses["consistency"], -view_information(p, p_view), rtol=1e-4, atol=1e-6)


def test_the_head_learns_what_e_says_of_real_images():
    model = shared("info consistent E")
    real, fake = pairs(model)
    judged = model.judge(real)
    loss = model.discriminator_losses(judged, model.judge(fake), real, fake)["info_real"]
    np.testing.assert_allclose(loss, -0.5 * model.code.bound(real.c, model.recognize(judged)), rtol=1e-5)
    assert real.c.shape == [BATCH, model.code.dim]
    assert "info_real" not in model.generator_losses(judged, model.judge(fake), real, fake)


@pytest.mark.parametrize("name", ["info head", "info encoder"])
def test_where_the_code_enters_g(name):
    """`code_to="all"` appends the code to the condition of every block, "first" to the first layer's input alone."""
    model = shared(name)
    extra = model.code.dim if name == "info encoder" else 0
    inputs = [block.norm_1.gain.kernel.shape[0] for block in model.generator.blocks]
    assert inputs == [LATENT_DIM // 2 + extra]
    assert model.generator.first.kernel.shape[0] == LATENT_DIM // 2 + model.code.dim


# Use


def is_image_batch(x, n):
    return x.shape == (n, 8, 8, 1) and x.dtype == np.float32 and np.abs(x).max() <= 1


@pytest.mark.parametrize("name", ["biggan", "infogan", "info encoder"])
def test_generate(name):
    model = shared(name)
    model.refresh_statistics()
    generated = model.generate(5, seed=1)
    assert is_image_batch(generated, 5)
    np.testing.assert_array_equal(model.generate(5, seed=1), generated)
    assert not np.allclose(model.generate(5, seed=2), generated, atol=1e-2)
    assert not np.allclose(model.generate(5, seed=1, truncation=0.1), generated, atol=1e-2)


def test_generate_with_given_codes():
    model = shared("info encoder")
    model.refresh_statistics()
    z = model.sample_latents(3, tf.constant([1, 2]))[0]
    codes = np.zeros((3, CATEGORIES + 2), "float32")
    codes[range(3), [3, 0, 9]] = 1
    np.testing.assert_array_equal(model.generate(3, c=[3, 0, 9], seed=1), model.decode(z, codes))
    codes[:, CATEGORIES:] = 0.5
    np.testing.assert_array_equal(model.generate(3, c=codes, seed=1), model.decode(z, codes))
    with pytest.raises(ValueError, match="4 images need 4 codes, not 3"):
        model.generate(4, c=codes)
    for wrong in ([-1, 0], [10, 0], [0.5, 0], codes[:2, 1:], 3):
        with pytest.raises(ValueError, match=r"categories from 0 to 9, one for each image, or codes \[N, 12\]"):
            model.generate(2, c=wrong)


def test_what_cannot_be_generated():
    model = shared("biggan")
    for n, truncation, said in (
        (0, None, "n is 0: ask for at least 1"),
        (2, 0, "truncation is 0: give a number above 0"),
    ):
        with pytest.raises(ValueError, match=said):
            model.generate(n, truncation=truncation)


def test_images_of_another_shape_or_range():
    model, x = shared("info encoder"), batch().numpy()
    for method in (model.classify, model.encode, model.reconstruct):
        for wrong in (x[..., 0], x[:0], x[:, 1:]):
            with pytest.raises(ValueError, match=r"images have the shape \[.*\]: give \[N, 8, 8, 1\], N >= 1"):
                method(wrong)
        with pytest.warns(UserWarning, match="no value is below 0"):
            method((x + 1) / 2)


def test_fit_leaves_a_model_that_is_ready_to_use(eagerly):
    """Without the callbacks of a training, on a user's own data."""
    model, x = build("info encoder"), tf.data.Dataset.from_tensor_slices(batch())
    with eagerly():
        model.fit(x.batch(4, drop_remainder=True).take(2), verbose=0)
    generated = model.generate(3, seed=1)
    model.refresh_statistics()
    np.testing.assert_array_equal(model.generate(3, seed=1), generated)
    with pytest.raises(ValueError, match="drop_remainder=True"):
        model.fit(x.batch(4).take(2), verbose=0)


def test_more_images_than_fit_one_batch():
    model = shared("biggan")
    model.refresh_statistics()
    z = model.sample_latents(DECODE_BATCH + 3, tf.constant([0, 1]))[0]
    decoded = model.decode(z)
    assert is_image_batch(decoded, DECODE_BATCH + 3)
    np.testing.assert_allclose(decoded[-3:], model.decode(z[-3:]), atol=1e-5)


@pytest.mark.parametrize("name", ["bigan", "info head", "info encoder"])
def test_encode(name):
    model = shared(name)
    encoding = model.encode(batch().numpy())
    assert encoding.mu.shape == (BATCH, LATENT_DIM)
    assert encoding.features.shape == (BATCH, 8)
    assert encoding.features.min() >= 0
    assert encoding.sigma is None if name == "bigan" else encoding.sigma.min() > 0
    if name == "info encoder":
        assert encoding.code.shape == (BATCH, model.code.parameters)
    else:
        assert encoding.code is None


@pytest.mark.slow
def test_what_moves_all_units_of_the_hidden_layer_alike_kills_none():
    encoder, x = build("bigbigan").encoder, batch()
    features = encoder(x).features.numpy()
    assert np.any(features > 0)
    encoder.hidden.kernel.assign_sub(tf.fill(encoder.hidden.kernel.shape, 1.0))
    np.testing.assert_allclose(encoder(x).features, features, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["bigan", "info none, head on J", "info encoder"])
def test_reconstruct(name):
    model, x = shared(name), batch().numpy()
    model.refresh_statistics()
    reconstructed = model.reconstruct(x)
    assert is_image_batch(reconstructed, BATCH)
    np.testing.assert_array_equal(model.reconstruct(x), reconstructed)
    latents = model.infer_latents(tf.constant(x))
    np.testing.assert_allclose(latents[0], model.ema_encoder(x).mu, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.decode(*latents), reconstructed, atol=1e-5)
    if name == "info none, head on J":
        np.testing.assert_allclose(latents[1], model.classify(x), rtol=1e-4, atol=1e-6)
    if name == "info encoder":
        own = model.code.estimate(model.ema_encoder(x).code)
        np.testing.assert_allclose(latents[1], own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", WITH_CODE)
def test_classify(name):
    model = shared(name)
    probabilities = model.classify(batch().numpy())
    assert probabilities.shape == (BATCH, CATEGORIES)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), np.ones(BATCH), rtol=1e-5)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "classify"])
def test_images_of_another_range_are_refused(method):
    x = np.round(127.5 * (batch().numpy() + 1))
    with pytest.raises(ValueError, match=r"images lie in \[\d+, \d+\], not in \[-1, 1\]: .*data\.images\.to_float"):
        getattr(shared("info encoder"), method)(x)
    with pytest.raises(ValueError, match="nan"):
        getattr(shared("info encoder"), method)(np.full_like(x, np.nan))


@pytest.mark.parametrize("name", ["infogan", "info none, head on J"])
def test_codes_are_read_by_the_averages_of_the_head_and_its_trunk(name):
    model, x = shared(name), batch()
    weights = [weight for network in model.recognizers for weight in network.trainable_variables]
    kept = [weight.numpy() for weight in weights]
    for weight, mean in model.averages:
        mean.assign(weight)
    logits = model.recognize(model.judge(model.inferred_pair(x)))[:, :CATEGORIES]
    np.testing.assert_allclose(model.classify(x.numpy()), tf.nn.softmax(logits), rtol=1e-4, atol=1e-6)
    for weight in weights:
        weight.assign(weight + 1.0)
    assert not np.allclose(model.recognize(model.judge(model.inferred_pair(x)))[:, :CATEGORIES], logits, atol=1e-2)
    np.testing.assert_allclose(model.classify(x.numpy()), tf.nn.softmax(logits), rtol=1e-4, atol=1e-6)
    for weight, value in zip(weights, kept, strict=True):
        weight.assign(value)
