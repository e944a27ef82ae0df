"""A training's end with the normalisation that the network is used with afterwards."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from liverseg.weight_average import WeightAverage


class FixedStatistics:
    """Normalises the last epochs of a training by fixed statistics, no longer by each batch's.

    In training, batch normalisation takes mean and variance from the batch; afterwards, from an
    average over many. With one patch a batch the two are far apart where a patch is unlike the
    others (no contrast agent, little liver), and the network that is used is then another than
    the one that was trained. So the first epochs use the batch's statistics, which learn fast;
    when they end the network becomes its average, and from there on it is trained as it is used.

    Args:
        network: the network that is trained; nothing happens to one without batch normalisation.
        average: of its weights and statistics.
        after_epochs: how many epochs use the statistics of the batch.
    """

    def __init__(self, network: nn.Module, average: WeightAverage, after_epochs: int) -> None:
        self.network = network
        self.average = average
        self.after_epochs = after_epochs
        self.fixed = not any(isinstance(module, _BatchNorm) for module in network.modules())

    def attach(self, engine: Engine) -> None:
        """Look when an epoch starts."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Fix the statistics if it is time; also after a resume, which has them already."""
        if self.fixed or engine.state.epoch <= self.after_epochs:
            return
        if engine.state.epoch == self.after_epochs + 1:
            self.network.load_state_dict(self.average.network.state_dict())
        fix_statistics(self.network)
        self.fixed = True


def fix_statistics(network: nn.Module) -> None:
    """Make every batch normalisation use its running statistics, in training too.

    A trainer sets the whole network to training before each step: the layers are set back as
    they are called.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(lambda layer, _: layer.eval() and None)
