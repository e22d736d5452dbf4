"""The six tasks, in the order of the demo."""

from demo_tasks import (
    bank_intent,
    news_sentiment,
    payment_extract,
    policy_answer,
    risk_type_zh,
    ticket_urgency_zh,
)

TASKS = tuple(
    module.TASK
    for module in (
        bank_intent,
        news_sentiment,
        ticket_urgency_zh,
        risk_type_zh,
        payment_extract,
        policy_answer,
    )
)
