"""PPO's clipped objective and its gradient in one compiled pass.

A minibatch's loss is some thirty small tensor operations, forward and backward; for a small network
that costs as much as the network. On a CPU one loop does it; elsewhere the same in torch.

Shape suffixes: B rows of the minibatch (any shape), A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whichgoal.numba_cache import njit


class Coefficients(NamedTuple):
    """What weighs and clips the parts of the loss."""

    clip: float
    value_clip: float
    value: float
    entropy: float


class Sampled(NamedTuple):
    """What sampling recorded of the rows: `int64 [B]`, then `float32 [B]` each."""

    actions: Tensor
    logp: Tensor
    advantages: Tensor
    value_targets: Tensor


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
        d_logits, d_values = (
            logits_BA.new_empty(logits_BA.shape),
            values_B.new_empty(values_B.shape),
        )
        parts = logits_BA.new_empty(5)
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
    actions, clip = sampled.actions, weights.clip
    policy = value = entropy = kl = 0.0
    logp, p = np.empty(choices, np.float32), np.empty(choices, np.float32)
    for b in range(rows):
        top = logits[b].max()
        total = np.float32(0)
        for a in range(choices):
            p[a] = np.exp(logits[b, a] - top)
            total += p[a]
        row_entropy = np.float32(0)
        for a in range(choices):
            p[a] /= total
            logp[a] = logits[b, a] - top - np.log(total)
            row_entropy -= p[a] * logp[a]
        log_ratio = logp[actions[b]] - sampled.logp[b]
        ratio, advantage = np.exp(log_ratio), sampled.advantages[b]
        free = advantage * ratio
        clipped = advantage * min(max(ratio, 1 - clip), 1 + clip)
        policy -= min(free, clipped)
        kl += ratio - 1 - log_ratio
        entropy += float(row_entropy)
        is_clipped = ratio > 1 + clip if advantage > 0 else ratio < 1 - clip
        d_logp = 0.0 if is_clipped else -free
        for a in range(choices):
            by_policy = d_logp * ((a == actions[b]) - p[a])
            by_entropy = weights.entropy * p[a] * (logp[a] + row_entropy)
            d_logits[b, a] = (by_policy + by_entropy) / rows
        error = values[b] - sampled.value_targets[b]
        squared = error * error
        value += min(squared, weights.value_clip)
        is_learned = squared <= weights.value_clip
        d_values[b] = weights.value * 2 * error / rows if is_learned else 0.0
    loss = policy + weights.value * value - weights.entropy * entropy
    for i, part in enumerate((policy, value, entropy, kl, loss)):
        parts[i] = part / rows
