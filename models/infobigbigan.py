"""InfoBigBiGAN: BigBiGAN whose generator also receives InfoGAN's code c.

    generated   (G(z, c), z, c)           real   (x, z_hat, c_hat),  z_hat ~ E(x)

`joint_code` decides whether H receives the code, and which network estimates the code of a real image. J receives the
code through H's features.

- "none": H receives z alone, and a real image needs no code.
- "head": H receives (z, c). The code of a real image is the head's estimate, the softmax of Q on F. The losses of H and
  J do not train the head through it.
- "encoder": H receives (z, c). E estimates the code of a real image, as in Bidirectional-InfoGAN (Hinz & Wermter 2018).
  Two losses train this estimate. The first is InfoGAN's bound on generated images, which G and E maximise together. The
  second is the adversarial loss on real images: H and J discriminate c_hat from samples of the prior of c. The second
  loss makes the codes of real images certain and evenly used.

With `real_info_weight` the head is also trained on real images, to recover E's estimate. So it is trained on images of
the kind that it classifies.

Two more losses use the codes of real images, as estimated by E or by the head (`consistency_on`), and need no labels.
One asks for the same code of two views of an image (`consistency_weight`). The other asks that all codes are used
(`balance_weight`). The first of the two views is the image itself; or a random view too (`views`), so that E cannot learn
the codes of a few images by heart. The second view may be of another image that resembles the first
(`data.images.neighbours`), after SCAN (Van Gansbeke et al. 2020).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from losses.information import entropy, view_information
from losses.replicas import batch_mean, sampled
from models import defaults
from models.bigan import ENCODER, IMAGE_DISCRIMINATOR
from models.bigbigan import BigBiGAN
from models.code import Code, Coded
from models.encoder import Encoding
from models.gan import Judgement, Pair
from models.views import covered, random_view


class InfoBigBiGAN(Coded, BigBiGAN):
    """BigBiGAN with the code; the docstring of the module describes the losses.

    Args:
        joint_code: "none", "head" or "encoder"; see the docstring of the module.
        real_info_weight: weight of the bound on the mutual information of real images and E's codes of them, which
            trains the head alone.
        consistency_on: the network whose codes of real images enter the next two losses: "encoder", which must estimate
            c, or "head".
        consistency_weight: weight of the mutual information of the codes of two views of an image (Ji et al. 2019).
        views: 1 or 2: how many of the two are random views; with 1 the image itself is the other.
        cutout: side of a black square that covers a part of half of the random views; 0: none is covered.
        balance_weight: weight of the entropy of the batch's mean code (Krause et al. 2010).
        options: the arguments of `Coded` and `BiGAN`.
    """

    defaults: ClassVar = defaults.INFOBIGBIGAN

    def __init__(
        self,
        *,
        joint_code: str,
        real_info_weight: float,
        consistency_on: str,
        consistency_weight: float,
        views: int,
        cutout: int,
        balance_weight: float,
        **options: Any,
    ):
        super().__init__(**options)
        self.joint_code, self.real_info_weight, self.consistency_on = joint_code, real_info_weight, consistency_on
        self.consistency_weight, self.views, self.cutout = consistency_weight, views, cutout
        self.balance_weight = balance_weight

    @classmethod
    def parts(
        cls,
        image_shape: tuple[int, int, int],
        *,
        num_categories: int,
        num_continuous: int,
        joint_code: str,
        real_info_weight: float,
        consistency_on: str,
        consistency_weight: float,
        views: int,
        cutout: int,
        balance_weight: float,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the constructor's arguments. `joint_code` decides whether E estimates the code, and H receives it.

        Args:
            num_categories, num_continuous: see `Code`.
            options: the other arguments of the base classes' `parts`; all others are those of the constructor.
        """
        sizes = Code(num_categories, num_continuous)
        parts = super().parts(
            image_shape,
            num_categories=num_categories,
            num_continuous=num_continuous,
            code_parameters=sizes.parameters if joint_code == "encoder" else 0,
            judged_code_dim=0 if joint_code == "none" else sizes.dim,
            **options,
        )
        return parts | {
            "joint_code": joint_code,
            "real_info_weight": real_info_weight,
            "consistency_on": consistency_on,
            "consistency_weight": consistency_weight,
            "views": views,
            "cutout": cutout,
            "balance_weight": balance_weight,
        }

    @property
    def encoder_estimates_code(self) -> bool:
        return self.joint_code == "encoder"

    @property
    def tracked_names(self) -> list[str]:
        player = "ge" if self.consistency_on == "encoder" else "d"
        return [
            *super().tracked_names,
            *(["loss/d_info_real"] if self.real_info_weight else []),
            *(["loss/ge_info_encoder"] if self.encoder_estimates_code else []),
            *([f"loss/{player}_consistency"] if self.consistency_weight else []),
            *([f"loss/{player}_balance"] if self.balance_weight else []),
        ]

    def estimate_code(self, x: tf.Tensor, encoding: Encoding) -> tf.Tensor | None:
        """Return c_hat [B, code.dim] of images x [B, H, W, C], by E or by the head; None if H receives no code."""
        if self.encoder_estimates_code:
            assert encoding.code is not None
            return self.code.estimate(encoding.code)
        if self.joint_code == "head":
            return tf.stop_gradient(self.code.estimate(self.head_of_image(x)))
        return None

    def head_of_image(self, x: tf.Tensor) -> tf.Tensor:
        """Return the parameters of q(c | x), [B, code.parameters], of images x [B, H, W, C] without pairs.

        The head must be on F.
        """
        features, _, image_map = self.image_discriminator(x)
        return self.head(image_map if self.head_on == "map" else features)

    def encode_pair(self, x: tf.Tensor, seed: tf.Tensor, neighbours: tf.Tensor | None = None) -> Pair:
        """Return the real pairs of images x [B, H, W, C]. Second views are of `neighbours`, or else of x."""
        encoding, views = self.encoder(self.seen(x, seed, ENCODER)), None
        if self.consistency_weight:
            seen = [x if neighbours is None else neighbours, x][: self.views]
            seeds: list[Any] = [tf.random.fold_in(seed, i) for i in (1, 2)]  # pyright: ignore[reportArgumentType]
            views = tf.concat([self.view(image, own) for image, own in zip(seen, seeds, strict=False)], 0)
        shown = self.seen(x, seed, IMAGE_DISCRIMINATOR)
        return Pair(shown, sampled(self.posterior(encoding), seed), self.estimate_code(shown, encoding), views)

    def view(self, x: tf.Tensor, seed: Any) -> tf.Tensor:
        """Return a random view of every image, [B, H, W, C]; `seed` is int32 [2]."""
        view = random_view(x, seed)
        fold_in: Any = tf.random.fold_in  # the stubs declare its result an int
        return covered(view, self.cutout, fold_in(seed, 1)) if self.cutout else view

    def real_codes(self, real: Judgement, real_pair: Pair) -> tf.Tensor:
        """Return q(c | x) of a batch of real images, [B, num_categories]: by E if E estimates the code, else by the head."""
        if self.encoder_estimates_code:
            assert real_pair.c is not None
            return real_pair.c[:, : self.code.num_categories]
        return super().real_codes(real, real_pair)

    def latent_of(self, pair: Pair) -> tf.Tensor:
        """Return H's input for a batch of pairs: z, or z and c, [B, latent_dim + code.dim]."""
        z = super().latent_of(pair)
        if self.joint_code == "none":
            return z
        assert pair.c is not None
        return tf.concat([z, pair.c], 1)

    def discriminator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        losses = super().discriminator_losses(real, fake, real_pair, fake_pair)
        if self.real_info_weight:
            assert real_pair.c is not None
            losses["info_real"] = -self.real_info_weight * self.code.bound(real_pair.c, self.recognize(real))
        if self.consistency_on == "head":
            p = self.code.probabilities(self.recognize(real))
            losses |= self.regularity_losses(p, real_pair.views, self.head_of_image)
        return losses

    def generator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        losses = super().generator_losses(real, fake, real_pair, fake_pair)
        if self.encoder_estimates_code:
            assert fake_pair.c is not None and real_pair.c is not None
            encoding = self.encoder(fake_pair.x)
            losses["info_encoder"] = -self.info_weight * self.code.bound(fake_pair.c, encoding.code)
            if self.consistency_on == "encoder":
                p = real_pair.c[:, : self.code.num_categories]
                losses |= self.regularity_losses(p, real_pair.views, lambda x: self.encoder(x).code)
        return losses

    def regularity_losses(
        self, p: tf.Tensor, views: tf.Tensor | None, parameters_of: Callable[[tf.Tensor], tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return the losses "consistency" and "balance" of the codes of real images, scalars; a weight of 0 omits one.

        Args:
            p: q(c | x), [B, num_categories].
            views: random views of each image, [views B, H, W, C]; None if the consistency has no weight.
            parameters_of: the function that computes parameters of q(c | view), [views B, code.parameters], from them.
        """
        losses = {}
        if self.consistency_weight:
            assert views is not None
            p_view, *others = tf.split(self.code.probabilities(parameters_of(views)), self.views)
            information = view_information(others[0] if others else p, p_view)
            losses["consistency"] = -self.consistency_weight * information
        if self.balance_weight:
            losses["balance"] = -self.balance_weight * entropy(batch_mean(tf.reduce_mean(p, 0)))
        return losses

    def inferred_pair(self, x: tf.Tensor) -> Pair:
        """Return the pair from which `classify` estimates the codes of images x [B, H, W, C].

        z is mu of the averaged E.
        """
        encoding = self.ema_encoder(x)
        return Pair(x, encoding.mu, self.estimate_code(x, encoding))

    def infer_latents(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return (mu [B, latent_dim], c_hat [B, code.dim]) of images x [B, H, W, C].

        c_hat is E's estimate, or the head's if E does not estimate the code.
        """
        with self.averaged_weights():
            pair = self.inferred_pair(x)
            c_hat = self.code.estimate(self.recognize(self.judge(pair))) if pair.c is None else pair.c
        assert pair.z is not None
        return pair.z, c_hat
