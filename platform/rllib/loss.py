"""PPO's clipped objective and its gradient in one compiled pass.

A minibatch's loss is some thirty small tensor operations, forward and backward; for a small network
that costs as much as the network. On a CPU one loop does it; elsewhere the same in torch.

Shape suffixes: B rows of the minibatch (any shape), A actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whichgoal.models.fused.loss import Coefficients, Sampled, add_losses
from whichgoal.numba_cache import njit

__all__ = ["Coefficients", "Sampled", "ppo_loss", "torch_ppo_loss"]


def ppo_loss(
    logits_BA: Tensor, values_B: Tensor, sampled: Sampled, weights: Coefficients
) -> tuple[Tensor, Tensor]:
    """Returns the loss, and its parts without gradient: policy, value, entropy, KL, loss `[5]`.

    Schulman et al. 2017, equation 9, with the squared error of the values clamped at `value_clip`.
    KL(old || new) is Schulman's low-variance estimate, http://joschu.net/blog/kl-approx.html.
    """
    if logits_BA.device.type == "cpu" and logits_BA.dtype == torch.float32:
        loss, parts = _Compiled.apply(logits_BA, values_B, sampled, weights)
        return loss, parts
    return torch_ppo_loss(logits_BA, values_B, sampled, weights)


def torch_ppo_loss(
    logits_BA: Tensor, values_B: Tensor, sampled: Sampled, weights: Coefficients
) -> tuple[Tensor, Tensor]:
    """The same as `ppo_loss`, operation by operation, with autograd's gradient."""
    all_logp = F.log_softmax(logits_BA, dim=-1)
    logp = all_logp.gather(-1, sampled.actions.unsqueeze(-1)).squeeze(-1)
    log_ratio = logp - sampled.logp
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - weights.clip, 1 + weights.clip)
    policy = -torch.min(sampled.advantages * ratio, sampled.advantages * clipped).mean()
    value = (values_B - sampled.value_targets).square().clamp(max=weights.value_clip).mean()
    entropy = -(all_logp.exp() * all_logp).sum(-1).mean()
    loss = policy + weights.value * value - weights.entropy * entropy
    with torch.no_grad():
        kl = (ratio - 1 - log_ratio).mean()
        return loss, torch.stack((policy, value, entropy, kl, loss))


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits_BA: Tensor, values_B: Tensor, sampled: Sampled, weights: Coefficients
    ) -> tuple[Tensor, Tensor]:
        rows, choices = values_B.numel(), logits_BA.shape[-1]
        d_logits, parts = logits_BA.new_empty(logits_BA.shape), logits_BA.new_empty(5)
        d_values = values_B.new_empty(values_B.shape)
        recorded: list[Any] = [part.reshape(-1).contiguous().numpy() for part in sampled]
        _loss_and_gradient(
            logits_BA.detach().reshape(-1, choices).contiguous().numpy(),
            values_B.detach().reshape(-1).contiguous().numpy(),
            Sampled(*recorded),
            Coefficients(*map(float, weights)),
            d_logits.view(rows, choices).numpy(),
            d_values.view(rows).numpy(),
            parts.numpy(),
        )
        ctx.save_for_backward(d_logits, d_values)
        ctx.mark_non_differentiable(parts)
        return parts[4].clone(), parts

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_logits, d_values = ctx.saved_tensors
        return grads[0] * d_logits, grads[0] * d_values, None, None


@njit(cache=True)
def _loss_and_gradient(logits, values, sampled, weights, d_logits, d_values, parts):
    """Writes the gradients `float32 [B, A]` and `[B]`, and the loss's parts `[5]`."""
    rows, choices = logits.shape
    chosen, sums = np.arange(rows), np.zeros(5, np.float64)
    columns = values.reshape(rows, 1), d_values.reshape(rows, 1)
    add_losses(
        logits,
        choices,
        columns[0],
        0,
        chosen,
        1,
        1,
        rows,
        sampled,
        weights,
        d_logits,
        columns[1],
        sums,
    )
    parts[:] = sums / rows
