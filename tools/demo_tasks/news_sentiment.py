"""``news-sentiment``: whether a line of news is good or bad for the company it names."""

from demo_tasks.grammar import Grammar
from demo_tasks.labelled import labelled
from demo_tasks.numbers import rise
from demo_tasks.rows import DemoTask

TASK = DemoTask(
    "news-sentiment",
    labelled(
        Grammar("common_en", "news_sentiment"),
        {"negative": 1, "neutral": 1, "positive": 1},
        values=rise,
    ),
    "label",
)
