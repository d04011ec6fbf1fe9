"""Our own PEFT methods: `import tunesmith.peft`, and plain PEFT opens files of the types BOTTLENECK and FUSION."""

from tunesmith.peft.bottleneck import NAME, BottleneckConfig, BottleneckLinearLayer, BottleneckModel
from tunesmith.peft.fusion import NAME as FUSION
from tunesmith.peft.fusion import FusionConfig, FusionLinearLayer, FusionModel

__all__ = [
    "FUSION", "NAME", "BottleneckConfig", "BottleneckLinearLayer", "BottleneckModel", "FusionConfig",
    "FusionLinearLayer", "FusionModel",
]  # fmt: skip
