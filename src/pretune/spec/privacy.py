"""The privacy section of ``train``: what an adapter may tell about any one training row."""

from pydantic import Field

from pretune.spec.model import Strict


class PrivacySpec(Strict):
    """Differential privacy: training with or without any one row gives nearly the same adapters."""

    epsilon: float = Field(
        gt=0,
        le=100,
        description="how much likelier, as a power of e, any outcome may become by one row; "
        "beyond 10 it promises little",
    )
    delta: float = Field(
        1e-5,
        gt=0,
        lt=1,
        description="probability with which epsilon need not hold; must be below one over the "
        "number of training rows",
    )
    row_norm: float = Field(
        0.1, gt=0, description="norm to which the gradient of each row is cut before noise is added"
    )
