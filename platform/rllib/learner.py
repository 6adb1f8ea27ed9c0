"""The learner: minibatches of steps, or of sequences with state and episode beginnings.

Shape suffixes: B rows of the minibatch (steps or sequences), T time, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import (
    NUM_ENV_STEPS_TRAINED,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
)
from torch import Tensor

from whichgoal.models.fused.loss import Coefficients
from whichgoal.models.fused.network import Network
from whichgoal.rllib import fused
from whichgoal.rllib.fragment import Fragment
from whichgoal.rllib.loss import Sampled, ppo_loss
from whichgoal.rllib.module import IS_FIRST, AgentModule

KL_KEY = "mean_kl_loss"
SHUFFLE = "shuffle"
"""Key of the learner's state: its random numbers."""
Batch = dict[str, Any]


class BatchedPPOLearner(PPOTorchLearner):
    """PPO's clipped objective (Schulman et al. 2017, equation 9) on whole fragments.

    Optimizers, schedules, clipping, DDP and state are RLlib's. Minibatches are drawn from a shuffle
    of this learner's own; advantages come normalized over the batch.
    """

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Registers Adam, fused into one kernel, with PPO's usual epsilon."""
        params = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(params, eps=1e-5, fused=True)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr
        )

    def update(
        self,
        *,
        training_data: TrainingData,
        timesteps: dict[str, Any] | None = None,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Runs the epochs over one fragment and returns reduced metrics.

        Args:
            training_data: Holds one `Fragment`, as `batch` or as the only one of `batches`.
            timesteps: For RLlib's schedules.
            num_epochs: Passes over the fragment.
            minibatch_size: Env steps per gradient step; by default all of them.
            kwargs: Settings of RLlib's own path, which do not apply.

        Raises:
            FloatingPointError: The loss is no longer finite.
        """
        self._check_is_built()
        self.before_gradient_based_update(timesteps=timesteps or {})
        self._weights_seq_no += 1
        fragment = training_data.batch or training_data.batches[0]
        size = minibatch_size or len(fragment)
        network = self._network
        if network is None:
            self._sums: list[Tensor] = []
            for minibatch in self._minibatches(fragment, num_epochs, size):
                self._update({DEFAULT_MODULE_ID: minibatch})
            means = torch.stack(self._sums).mean(0).tolist()
        else:
            means = self._update_fused(network, fragment, num_epochs, size)
        self._log(len(fragment), means)
        self.after_gradient_based_update(timesteps=timesteps or {})
        return self.metrics.reduce()

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Batch, fwd_out: Batch
    ) -> Tensor:
        """Returns the loss of one minibatch; its parts are kept for the log."""
        loss, parts = ppo_loss(
            fwd_out[Columns.ACTION_DIST_INPUTS],
            fwd_out[Columns.VF_PREDS],
            Sampled(
                batch[Columns.ACTIONS],
                batch[Columns.ACTION_LOGP],
                batch[Postprocessing.ADVANTAGES],
                batch[Postprocessing.VALUE_TARGETS],
            ),
            self._coefficients(config, module_id),
        )
        self._sums.append(parts)
        return loss

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Returns RLlib's state and the shuffle's random numbers."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(SHUFFLE, components, not_components):
            state[SHUFFLE] = self._rng.bit_generator.state
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a `get_state()`."""
        super().set_state(state)
        if SHUFFLE in state:
            self._rng.bit_generator.state = state[SHUFFLE]

    @staticmethod
    def _get_clip_function() -> Callable[..., Tensor]:
        """Returns clipping by the global norm in a few calls for all gradients, not a few each."""
        return _clip_by_global_norm

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.config.seed or 0, 1_000_000 + self._learner_index])

    @cached_property
    def _compiled(self) -> Network | None:
        """The compiled passes of the network; None where torch's are to be taken."""
        module = self.module[DEFAULT_MODULE_ID].unwrapped()
        config: Any = self.config
        own = self.device.type == "cpu" and config.num_learners <= 1 and config.grad_clip
        return fused.network_of(module, config, True) if own else None

    @property
    def _network(self) -> Network | None:
        """The compiled passes, where loss and optimizer are the ones that they know."""
        network, loss = self._compiled, type(self).compute_loss_for_module
        is_own = getattr(self.compute_loss_for_module, "__func__", None) is loss
        known = is_own and loss is BatchedPPOLearner.compute_loss_for_module
        assert not network or network.agent is self.module[DEFAULT_MODULE_ID].unwrapped().agent
        return network if known and fused.is_plain(self.get_optimizer(DEFAULT_MODULE_ID)) else None

    def _coefficients(self, config: Any, module_id: str = DEFAULT_MODULE_ID) -> Coefficients:
        return Coefficients(
            float(config.clip_param),
            float(config.vf_clip_param),
            float(config.vf_loss_coeff),
            float(self.entropy_coeff_schedulers_per_module[module_id].get_current_value()),
        )

    def _update_fused(
        self, network: Network, fragment: Fragment, epochs: int, size: int
    ) -> list[float]:
        """Takes all steps in compiled passes; returns the means of the loss's parts."""
        optimizer: Any = self.get_optimizer(DEFAULT_MODULE_ID)
        seq_len = max(fragment.seq_len, 1)
        count, per_minibatch = len(fragment) // seq_len, _rows_of(fragment, size)
        orders = np.stack([*self._orders(count, per_minibatch, epochs)])
        config: Any = self.config
        found = fused.learn(
            network, optimizer, fragment, orders, self._coefficients(config), config.grad_clip
        )
        key = (DEFAULT_MODULE_ID, "gradients_default_optimizer_global_norm")
        self.metrics.log_value(key, float(found[-1, -1]), window=1)
        means: list[float] = found[:, :-1].mean(0).tolist()
        return means

    def _orders(self, count: int, size: int, epochs: int) -> Iterator[np.ndarray]:
        """Yields each minibatch's rows of `count`; those left over in an epoch are left out."""
        for _ in range(epochs):
            order = self._rng.permutation(count)
            for start in range(0, count - size + 1, size):
                yield order[start : start + size]

    def _minibatches(self, fragment: Fragment, epochs: int, size: int) -> Iterator[Batch]:
        module: AgentModule = self.module[DEFAULT_MODULE_ID].unwrapped()
        per_minibatch = _rows_of(fragment, size)
        rows = self._rows(fragment, module, fragment.seq_len)
        for chosen in self._orders(len(rows[Columns.ACTIONS]), per_minibatch, epochs):
            yield _pick(rows, torch.from_numpy(chosen).to(self._device))

    def _rows(self, fragment: Fragment, module: AgentModule, seq_len: int) -> Batch:
        """Returns tensors of steps `[T * N, ...]`, or of sequences `[C * N, seq_len, ...]`."""

        def arrange(x: Tensor) -> Tensor:
            if not seq_len:
                return x.flatten(0, 1).to(self._device)
            x = x.unflatten(0, (-1, seq_len)).transpose(1, 2).flatten(0, 1)
            return x.contiguous().to(self._device)

        seen = module.agent.sight(torch.from_numpy(fragment.obs).to(self._device))
        rows: Batch = {
            Columns.OBS: arrange(seen),
            Columns.ACTIONS: arrange(torch.from_numpy(fragment.actions)),
            Columns.ACTION_LOGP: arrange(torch.from_numpy(fragment.logp)),
            Postprocessing.ADVANTAGES: arrange(torch.from_numpy(fragment.advantages)),
            Postprocessing.VALUE_TARGETS: arrange(torch.from_numpy(fragment.value_targets)),
        }
        if seq_len:
            rows[IS_FIRST] = arrange(torch.from_numpy(fragment.is_first))
            rows[Columns.STATE_IN] = {
                name: torch.from_numpy(part).flatten(0, 1).to(self._device)
                for name, part in fragment.state.items()
            }
        return rows

    def _log(self, steps: int, means: list[float]) -> None:
        """Logs the minibatches' means."""
        if not np.isfinite(means).all():
            raise FloatingPointError(
                f"the loss is {means[-1]}; likely causes: a learning rate too high, "
                "or rewards that are not finite"
            )
        names = (POLICY_LOSS_KEY, VF_LOSS_KEY, ENTROPY_KEY, KL_KEY, self.TOTAL_LOSS_KEY)
        self.metrics.log_dict(dict(zip(names, means, strict=True)), key=DEFAULT_MODULE_ID, window=1)
        for module_id in (ALL_MODULES, DEFAULT_MODULE_ID):
            self.metrics.log_value((module_id, NUM_MODULE_STEPS_TRAINED), steps, reduce="sum")
            self.metrics.log_value(
                (module_id, NUM_MODULE_STEPS_TRAINED_LIFETIME), steps, reduce="lifetime_sum"
            )
        self.metrics.log_value((ALL_MODULES, NUM_ENV_STEPS_TRAINED), steps, reduce="sum")
        self.metrics.log_value(
            (ALL_MODULES, NUM_ENV_STEPS_TRAINED_LIFETIME), steps, reduce="lifetime_sum"
        )


def _rows_of(fragment: Fragment, size: int) -> int:
    """Returns how many rows, steps or sequences, so many env steps are. Raises `ValueError`."""
    seq_len = max(fragment.seq_len, 1)
    if not seq_len <= size <= len(fragment):
        raise ValueError(f"minibatch_size {size}; allowed: {seq_len} (one row) to {len(fragment)}")
    return size // seq_len


def _clip_by_global_norm(
    gradients: dict[Any, Tensor], *, grad_clip: float, grad_clip_by: str
) -> Tensor:
    """Scales the gradients in place to a norm of at most `grad_clip`; returns the norm before."""
    found = list(gradients.values())
    norm = torch.nn.utils.get_total_norm(found)
    torch._foreach_mul_(found, grad_clip / (norm + 1e-6).clamp(min=grad_clip))
    return norm


def _pick(rows: Batch, chosen: Tensor) -> Batch:
    return {
        name: _pick(part, chosen) if isinstance(part, dict) else part.index_select(0, chosen)
        for name, part in rows.items()
    }
