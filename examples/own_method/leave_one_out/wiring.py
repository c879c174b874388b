"""Settings, refusals and actors of a run."""

from care_verl.training.wiring import Refusal, Wiring
from leave_one_out import LEAVE_ONE_OUT
from leave_one_out.settings import LeaveOneOutConfig

TRAINER_MODE = "leave_one_out"


class LeaveOneOutWiring(Wiring[LeaveOneOutConfig]):
    method = LEAVE_ONE_OUT
    settings = LeaveOneOutConfig
    trainer = "leave_one_out.trainer"
    trainer_mode = TRAINER_MODE
    agent_loop_manager = "leave_one_out.agent_loop.LeaveOneOutManager"
    refusals = (
        Refusal("algorithm.use_kl_in_reward", (False,), "the reward has no KL; use use_kl_loss"),
    )


WIRING = LeaveOneOutWiring()
