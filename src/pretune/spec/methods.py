"""The method section of a task file: one config a method, a union told apart by ``name``.

The defaults are the vetted recipes (``docs/log.md`` holds the runs behind them). A class here is a
method's registration; what it computes is the file of that name in ``pretune/adapters/methods``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pretune.core.errors import ScopeError
from pretune.core.scope import Scope
from pretune.spec.model import Strict

Site = Literal["q", "k", "v", "o", "gate", "up", "down"]
"""Linear layers of a decoder block by role; a family that fuses some of them is matched by role."""

ALL_SITES: tuple[Site, ...] = ("q", "k", "v", "o", "gate", "up", "down")

Start = Literal["text", "vocabulary", "random"]
"""What soft tokens start from: a text's embeddings, sampled vocabulary, or noise."""

VETTED_WIDTH = 256
"""Hidden width of the base on which the learning rates were found, the embedded one."""

_VETTED_ALPHA = 16.0
"""``scale * rank`` of the low-rank product on which its learning rate was found."""

_NOTHING_IN_DECODE = (
    "virtual tokens are written once into the cache and have no part in decode, "
    'so "all" would mean the same as "prompt"; use scope "prompt"'
)


_TWO_BASES = (
    "a tuned copy of every weight for prefill beside the base for decode would double "
    'the memory and the work; use scope "all", or method "lora" with a higher rank'
)


class MethodConfig(Strict):
    """What all methods have: a name, the scopes that make sense, a recipe that works."""

    refused_scopes: ClassVar[dict[Scope, str]] = {}
    """Scopes that make no sense for the method, each with the reason."""

    learning_rate: ClassVar[float]
    """The peak learning rate vetted on a base of :data:`VETTED_WIDTH`."""

    batch_size: ClassVar[int] = 32
    """Rows in one optimiser step. Methods of few weights need many small steps."""

    trains_matrices: ClassVar[bool] = True
    """Whether what is trained multiplies vectors of the base's width, or is such vectors itself."""

    @property
    def virtual_tokens(self) -> int:
        """Positions that the method writes before the prompt; they take room in the context."""
        return 0

    @property
    def reach(self) -> float:
        """How far a step moves an output, against the configuration on which the rate was found."""
        return 1.0

    def rate_at(self, width: int) -> float:
        """The peak learning rate on a base of hidden ``width``, where the task file gives none.

        Adam moves every weight by about the rate, and a matrix sums ``width`` of them: its rate
        falls with the width (Yang et al. 2022, arXiv 2203.03466, table 3), and with ``reach``.
        """
        factor = min(1.0, VETTED_WIDTH / width) if self.trains_matrices else 1.0
        return self.learning_rate * factor / max(1.0, self.reach)

    def check_scope(self, scope: Scope) -> None:
        """Raise ScopeError, with the reason, where ``scope`` makes no sense for the method."""
        if scope in self.refused_scopes:
            name = getattr(self, "name", type(self).__name__)
            raise ScopeError(
                f'method "{name}" refuses scope "{scope}": {self.refused_scopes[scope]}'
            )


class LoraConfig(MethodConfig):
    """Low-rank update of linear layers (Hu et al. 2021, arXiv 2106.09685)."""

    learning_rate: ClassVar[float] = 5e-3

    name: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1, le=4096, description="width of the low-rank product")
    alpha: float = Field(
        16.0, gt=0, allow_inf_nan=False, description="scale is alpha / rank, or alpha / sqrt(rank)"
    )
    rslora: bool = Field(False, description="divide alpha by sqrt(rank) (arXiv 2312.03732)")
    b_rate_ratio: float = Field(
        1.0, ge=1, description="LoRA+: learning rate of B over that of A; 16 (arXiv 2402.12354)"
    )
    sites: tuple[Site, ...] = Field(
        ALL_SITES, min_length=1, description="linear layers of a block that are changed"
    )

    @property
    def scale(self) -> float:
        """Factor of the low-rank product."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)

    @property
    def reach(self) -> float:
        """The product sums ``rank`` terms, each times the scale."""
        return self.scale * self.rank / _VETTED_ALPHA


class DoraConfig(MethodConfig):
    """LoRA with a trained magnitude per output (Liu et al. 2024, arXiv 2402.09353)."""

    learning_rate: ClassVar[float] = 5e-3

    name: Literal["dora"] = "dora"
    rank: int = Field(8, ge=1, le=4096, description="width of the low-rank product")
    alpha: float = Field(16.0, gt=0, allow_inf_nan=False, description="scale is alpha / rank")
    sites: tuple[Site, ...] = Field(
        ALL_SITES, min_length=1, description="linear layers of a block that are changed"
    )

    @property
    def scale(self) -> float:
        """Factor of the low-rank product."""
        return self.alpha / self.rank

    @property
    def reach(self) -> float:
        """The product sums ``rank`` terms, each times the scale."""
        return self.scale * self.rank / _VETTED_ALPHA


class BottleneckConfig(MethodConfig):
    """A small two-layer network beside or behind the FFN (Houlsby et al. 2019; PrAd-Adapter)."""

    learning_rate: ClassVar[float] = 2e-2
    batch_size: ClassVar[int] = 8

    name: Literal["bottleneck"] = "bottleneck"
    rank: int = Field(32, ge=1, le=8192, description="width of the bottleneck")
    placement: Literal["parallel", "sequential"] = Field(
        "parallel", description="beside the FFN, on its input; or behind it, on its output"
    )


class MamConfig(MethodConfig):
    """Prefix and parallel bottleneck together (He et al. 2022, arXiv 2110.04366)."""

    learning_rate: ClassVar[float] = 5e-3

    name: Literal["mam"] = "mam"
    rank: int = Field(32, ge=1, le=8192, description="width of the bottleneck")
    length: int = Field(16, ge=1, le=4096, description="prefix positions")
    start: Literal["text", "zero"] = Field("text", description="what the prefix starts from")
    text: str | None = Field(None, description="text to start from; default: the instruction")

    @property
    def virtual_tokens(self) -> int:
        """The prefix or soft tokens."""
        return self.length


class DireftConfig(MethodConfig):
    """One low-rank edit of the residual stream per layer (DiReFT, arXiv 2404.03592; PreFT)."""

    learning_rate: ClassVar[float] = 1e-2

    name: Literal["direft"] = "direft"
    rank: int = Field(8, ge=1, le=4096, description="width of the low-rank product")


class PrefixTuningConfig(MethodConfig):
    """Trained keys and values before the prompt, per layer (Li and Liang 2021)."""

    learning_rate: ClassVar[float] = 0.1
    batch_size: ClassVar[int] = 8
    trains_matrices: ClassVar[bool] = False
    refused_scopes: ClassVar[dict[Scope, str]] = {Scope.ALL: _NOTHING_IN_DECODE}

    name: Literal["prefix_tuning"] = "prefix_tuning"
    length: int = Field(20, ge=1, le=4096, description="prefix positions")
    start: Literal["text", "zero"] = Field("text", description="what the prefix starts from")
    text: str | None = Field(None, description="text to start from; default: the instruction")
    projection: int | None = Field(
        None, ge=1, le=8192, description="hidden width of a reparametrising network, or none"
    )

    @property
    def virtual_tokens(self) -> int:
        """The prefix or soft tokens."""
        return self.length


class PromptTuningConfig(MethodConfig):
    """Trained input embeddings before the prompt (Lester et al. 2021, arXiv 2104.08691)."""

    learning_rate: ClassVar[float] = 0.1
    batch_size: ClassVar[int] = 8
    trains_matrices: ClassVar[bool] = False
    refused_scopes: ClassVar[dict[Scope, str]] = {Scope.ALL: _NOTHING_IN_DECODE}

    name: Literal["prompt_tuning"] = "prompt_tuning"
    length: int = Field(20, ge=1, le=4096, description="soft tokens")
    start: Start = Field("text", description="what the soft tokens start from")
    text: str | None = Field(None, description="text to start from; default: the instruction")

    @property
    def virtual_tokens(self) -> int:
        """The prefix or soft tokens."""
        return self.length


class FullConfig(MethodConfig):
    """Every weight of the base, trained."""

    learning_rate: ClassVar[float] = 1e-3
    refused_scopes: ClassVar[dict[Scope, str]] = {
        Scope.PROMPT: _TWO_BASES,
        Scope.SUFFIX: _TWO_BASES,
    }

    name: Literal["full"] = "full"


AnyMethod = Annotated[
    LoraConfig
    | DoraConfig
    | BottleneckConfig
    | MamConfig
    | DireftConfig
    | PrefixTuningConfig
    | PromptTuningConfig
    | FullConfig,
    Field(discriminator="name"),
]

METHODS: dict[str, type[MethodConfig]] = {
    "lora": LoraConfig,
    "dora": DoraConfig,
    "bottleneck": BottleneckConfig,
    "mam": MamConfig,
    "direft": DireftConfig,
    "prefix_tuning": PrefixTuningConfig,
    "prompt_tuning": PromptTuningConfig,
    "full": FullConfig,
}
"""Every method by name, in the order of the documentation."""
