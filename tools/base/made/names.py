"""Invented people, places and organisations, English and Chinese."""

from __future__ import annotations

import random

GIVEN = ["Anna", "James", "Maria", "David", "Sofia", "Peter", "Laura", "Michael", "Emma", "Thomas",
         "Olga", "Ahmed", "Yuki", "Carlos", "Nina", "Robert", "Helen", "Victor", "Alice", "Samuel",
         "Grace", "Daniel", "Irene", "George", "Fatima", "Paul", "Rosa", "Henry", "Lucy", "Omar"]
FAMILY = ["Smith", "Garcia", "Miller", "Novak", "Tanaka", "Brown", "Rossi", "Kowalski", "Singh",
          "Andersen", "Petrov", "Walker", "Lopez", "Schmidt", "Fisher", "Hughes", "Moreau", "Costa",
          "Baker", "Khan", "Young", "Larsen", "Weber", "Turner", "Silva", "Parker", "Okafor", "Reed"]
PLACES = ["Oxford", "Madrid", "Toronto", "Warsaw", "Kyoto", "Boston", "Lyon", "Sydney", "Vienna",
          "Chicago", "Dublin", "Prague", "Seoul", "Cairo", "Denver", "Oslo", "Lima", "Geneva", "Texas",
          "Norway", "Portugal", "California", "Munich", "Nairobi", "Manila", "Leeds", "Quebec"]
COMPANY_FIRST = ["North", "Global", "Delta", "Summit", "Pacific", "Blue River", "First", "Atlas",
                 "Green Valley", "Metro", "Union", "Star", "Cedar", "Falcon", "Harbor", "Crystal"]
COMPANY_LAST = ["Bank", "Energy", "Foods", "Airlines", "Motors", "Insurance", "Systems", "Partners",
                "Pharma", "Media", "Steel", "Logistics", "Capital", "Corp.", "Inc.", "Ltd"]
GIVEN_ZH = "伟芳娜敏静丽强磊军洋艳勇杰娟涛明超霞平刚文华玲建国志红海燕鹏宇晨欣"
FAMILY_ZH = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹"
PLACES_ZH = ["北京", "上海", "广州", "深圳", "成都", "武汉", "南京", "杭州", "西安", "重庆", "天津", "苏州",
             "青岛", "长沙", "云南", "四川", "法国", "日本", "美国", "伦敦", "东京", "河南", "海南"]
COMPANY_ZH = ["银行", "集团", "科技公司", "大学", "医院", "电力公司", "研究所", "汽车公司", "出版社", "委员会"]
COMPANY_FIRST_ZH = ["华夏", "东方", "长江", "光明", "新世纪", "红星", "南方", "天河", "金桥", "远大", "中原", "海天"]
# fmt: skip


def person(rng: random.Random) -> str:
    """A full English name."""
    return f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"


def place_name(rng: random.Random) -> str:
    """A city, region or country."""
    return rng.choice(PLACES)


def company(rng: random.Random) -> str:
    """An invented organisation."""
    return f"{rng.choice(COMPANY_FIRST)} {rng.choice(COMPANY_LAST)}"


def person_zh(rng: random.Random) -> str:
    """A Chinese name of two or three characters."""
    given = "".join(rng.choice(GIVEN_ZH) for _ in range(rng.choice([1, 2, 2])))
    return rng.choice(FAMILY_ZH) + given


def place_zh(rng: random.Random) -> str:
    """A place, in Chinese."""
    return rng.choice(PLACES_ZH)


def company_zh(rng: random.Random) -> str:
    """An invented Chinese organisation."""
    return rng.choice(COMPANY_FIRST_ZH) + rng.choice(COMPANY_ZH)
