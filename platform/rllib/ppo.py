"""PPO as an RLlib algorithm, with the batched data path."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ray.rllib.algorithms import ppo
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
    WEIGHTS_SEQ_NO,
)

from whichgoal.local.temporary import temporary_folder
from whichgoal.rllib.fragment import Ended, Fragment
from whichgoal.rllib.learner import BatchedPPOLearner
from whichgoal.rllib.module import AgentModule
from whichgoal.rllib.runner import BatchedEnvRunner


class PPOConfig(ppo.PPOConfig):
    """RLlib's PPO configuration with PPO's usual defaults, for the batched data path.

    RLlib's own defaults are unusual: 30 epochs, lambda 1, clip 0.3, a KL loss, gradients unclipped.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PPO)
        self.env_runner_cls = BatchedEnvRunner
        self.num_env_runners = 0
        self.gym_env_vectorize_mode = "vector_entry_point"
        self.use_kl_loss = False
        self.kl_coeff = 0.0
        self.lambda_ = 0.95
        self.clip_param = 0.2
        self.vf_clip_param = float("inf")
        self.vf_loss_coeff = 0.5
        self.grad_clip = 0.5
        self.grad_clip_by = "global_norm"
        self.num_epochs = 3
        # The learner checks the loss once per batch instead of every gradient twice per minibatch.
        self.torch_skip_nan_gradients = True
        self.metrics_num_episodes_for_smoothing = 1
        # Compiled passes in place of torch's, for the networks that they know, on a CPU.
        self.fused = True

    def get_default_learner_class(self) -> type:
        """Returns the learner that takes whole fragments."""
        return BatchedPPOLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Returns the module that knows where episodes begin."""
        return RLModuleSpec(module_class=AgentModule)

    def validate(self) -> None:
        """Refuses what the batched data path does not do.

        Raises:
            ValueError: Connectors, multi-agent, offline data, `on_episode_*` callbacks, complete
                episodes, a KL loss, or a module that does not know where episodes begin.
        """
        module = getattr(self._rl_module_spec, "module_class", None)
        if module is not None and not issubclass(module, AgentModule):
            raise ValueError(
                f"module {module.__name__}; allowed: AgentModule and its subclasses, since one "
                "that does not know where episodes begin would train wrongly in silence"
            )
        episode_callbacks = [
            name
            for name in ("created", "start", "step", "end")
            if getattr(self, f"callbacks_on_episode_{name}") is not None
        ]
        refused = {
            "connectors": self._env_to_module_connector
            or self._module_to_env_connector
            or self._learner_connector,
            "multi-agent": self.is_multi_agent,
            "offline input": self.input_ != "sampler",
            "offline output": self.output,
            "on_episode_* callbacks": episode_callbacks,
            "batch_mode 'complete_episodes'": not self.in_evaluation
            and self.batch_mode != "truncate_episodes",
            "use_kl_loss": self.use_kl_loss,
            f"grad_clip_by {self.grad_clip_by!r}": self.grad_clip_by != "global_norm",
            "num_gpus_per_env_runner": self.num_gpus_per_env_runner,
        }
        for what, given in refused.items():
            if given:
                raise ValueError(
                    f"{what} cannot be used with the batched data path; "
                    "allowed: ray.rllib's own PPOConfig with AgentModule, which is slower"
                )
        super().validate()


class PPO(ppo.PPO):
    """Samples whole fragments, learns from them, hands the weights back."""

    ended: Ended | None = None
    """The episodes that ended in the last batch."""
    batch_steps: int = 0
    """Env steps of the last batch."""
    _own_folder: ExitStack | None = None

    def _setup_logdir(self) -> None:
        """Keeps out of the home folder, where RLlib would leave a folder at every start."""
        if self._storage:
            super()._setup_logdir()
        elif self._own_folder is None:
            self._own_folder = ExitStack()
            self._logdir = str(self._own_folder.enter_context(temporary_folder()))

    def cleanup(self) -> None:
        """Ends what RLlib has started, and removes what it may have logged."""
        super().cleanup()
        if self._own_folder is not None:
            self._own_folder.close()

    @classmethod
    def get_default_config(cls) -> PPOConfig:
        """Returns `PPOConfig()`."""
        return PPOConfig()

    def training_step(self) -> None:
        """Runs one batch: sample, update, synchronize."""
        config: Any = self.config
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            fragments, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                max_env_steps=config.total_train_batch_size,
                sample_timeout_s=config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
            if not fragments:
                self.ended, self.batch_steps = None, 0
                return
            self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        batch = Fragment.concatenate(fragments)
        self.ended, self.batch_steps = batch.ended, len(batch)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            sampled = (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME)
            learned = self.learner_group.update(
                training_data=TrainingData(
                    batches=batch.normalized().split(max(1, config.num_learners))
                ),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.metrics.peek(sampled)},
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
            )
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self._hand_back_weights(set(learned[0].keys()) - {ALL_MODULES})

    def _hand_back_weights(self, modules: set[str]) -> None:
        """Gives env runners the learner's weights; one in this process without Ray's store."""
        group: Any = self.env_runner_group
        if group.num_remote_workers():
            group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=modules,
                inference_only=True,
            )
            return
        parts = [f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}/{module}" for module in modules]
        state = self.learner_group.get_state(components=parts, inference_only=True)
        kept = {COMPONENT_RL_MODULE, WEIGHTS_SEQ_NO}
        given = {name: part for name, part in state[COMPONENT_LEARNER].items() if name in kept}
        group.local_env_runner.set_state(given)
