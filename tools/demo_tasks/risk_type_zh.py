"""``risk-type-zh``: the kind of risk that a note of compliance, audit or treasury is about."""

from demo_tasks.chinese import join
from demo_tasks.grammar import Grammar
from demo_tasks.labelled import labelled
from demo_tasks.rows import DemoTask

RISKS = ("洗钱风险", "信用风险", "市场风险", "操作风险", "合规风险", "流动性风险")

TASK = DemoTask(
    "risk-type-zh",
    labelled(Grammar("common_zh", "risk_type_zh"), dict.fromkeys(RISKS, 1), join),
    "label",
)
