"""The compiled loss equals the same in torch, value and gradient."""

from __future__ import annotations

import pytest
import torch

from whichgoal.rllib.loss import Coefficients, Sampled, ppo_loss, torch_ppo_loss


@pytest.mark.parametrize("shape", [(64,), (8, 16)], ids=["steps", "sequences"])
@pytest.mark.parametrize(
    "weights",
    [Coefficients(0.2, float("inf"), 0.5, 0.01), Coefficients(0.05, 0.5, 1.0, 0.3)],
    ids=["usual", "much is clipped"],
)
def test_loss_and_gradient_equal_torch(shape: tuple[int, ...], weights: Coefficients) -> None:
    torch.manual_seed(0)
    logits = (3 * torch.randn(*shape, 5)).requires_grad_()
    values = torch.randn(*shape).requires_grad_()
    actions = torch.randint(5, shape)
    logp = logits.detach().log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    old = logp + 0.4 * torch.randn(*shape)
    old.view(-1)[0] = logp.view(-1)[0]  # a ratio of exactly one, as in the first minibatch
    sampled = Sampled(actions, old, torch.randn(*shape), torch.randn(*shape))
    told = []
    for compute in (ppo_loss, torch_ppo_loss):
        loss, parts = compute(logits, values, sampled, weights)
        gradients = torch.autograd.grad(2 * loss, (logits, values))
        told.append((loss.detach(), parts, *gradients))
    clipped = ((logp - old).exp() - 1).abs() > weights.clip
    assert 0.1 < clipped.float().mean() < 0.95  # so that both branches are compared
    for compiled, reference in zip(*told, strict=True):
        torch.testing.assert_close(compiled, reference, rtol=1e-5, atol=1e-6)
