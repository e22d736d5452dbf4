"""Private values that nobody owns: tables for the rules beside this file, made with Faker.

Faker's lists of names, streets and towns are not those of the recognisers, so that recall is
measured on values that the recognisers were not written from.
"""

import json
from pathlib import Path
from random import Random

from faker import Faker
from stdnum.cn import ric

LOCALES = {"en": ("en_US", "en_GB"), "zh": ("zh_CN",)}


def write_values(folder: Path, language: str, count: int, seed: int) -> Path:
    """Write ``values-<language>.jsonl`` with ``count`` records into ``folder``."""
    rng = Random(f"{seed}/{language}")
    fakers = []
    for locale in LOCALES[language]:
        fakers.append(Faker(locale))
        fakers[-1].seed_instance(rng.randrange(2**32))
    path = folder / f"values-{language}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            record = _record(rng.choice(fakers), rng, language)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _record(fake: Faker, rng: Random, language: str) -> dict[str, str]:
    person = fake.first_name() + " " + fake.last_name() if language == "en" else fake.name()
    identity = fake.ssn()
    if language == "zh":
        identity = identity[:17] + ric.calc_check_digit(identity)
    elif identity.startswith("ZZ"):  # Faker's are of no valid series
        identity = rng.choice(("AB", "JK", "PW")) + identity[2:-1] + rng.choice("ABCD")
    phone = fake.phone_number()
    if language == "zh":
        phone = _grouped(phone, rng, (3, 4, 4))
    return {
        "person": person,
        "phone": phone,
        "email": fake.email(),
        "address": ", ".join(fake.address().splitlines()) if language == "en" else fake.address(),
        "card": _grouped(fake.credit_card_number(), rng, (4, 4, 4, 4, 4)),
        "id": identity,
        "plate": fake.license_plate(),
        "iban": _grouped(fake.iban(), rng, (4,) * 9),
        "account": str(rng.randrange(10**7, 10 ** rng.choice((8, 10, 12, 17)))),
        "handle": fake.user_name() + str(rng.randrange(10, 1000)),
        "password": fake.password(length=rng.randrange(8, 15)),
        "pin": str(rng.randrange(1000, 10**6)),
        "token": rng.choice(
            (
                "ghp_" + fake.password(length=36, special_chars=False),
                "AKIA" + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16)),
                "sk-" + fake.password(length=40, special_chars=False),
                fake.password(length=32, special_chars=False),
            )
        ),
    }


def _grouped(text: str, rng: Random, sizes: tuple[int, ...]) -> str:
    """``text`` as it is, or in groups, with one kind of separator."""
    separator = rng.choice(("", "", " ", "-"))
    groups, at = [], 0
    for size in sizes:
        groups.append(text[at : at + size])
        at += size
    return separator.join(group for group in groups if group)
