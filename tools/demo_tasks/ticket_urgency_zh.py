"""``ticket-urgency-zh``: how soon a bank's ticket must be handled."""

from demo_tasks.chinese import join
from demo_tasks.grammar import Grammar
from demo_tasks.labelled import labelled
from demo_tasks.rows import DemoTask

TASK = DemoTask(
    "ticket-urgency-zh",
    labelled(Grammar("common_zh", "ticket_urgency_zh"), {"紧急": 3, "普通": 4, "低": 3}, join),
    "label",
)
