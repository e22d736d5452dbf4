"""Train the byte-level BPE of the embedded base and save it for `AutoTokenizer`.

    python tools/base/train_tokenizer.py

Digits are split one by one; runs of Han characters are pieces of their own, so that no merge
joins Chinese with punctuation or Latin letters.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import chat
from corpus import read_texts, source_names
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 8192
MAX_LENGTH = 2048
PIECES = (
    r"'(?:s|t|re|ve|m|ll|d)"
    r"| ?\p{Han}+"
    r"| ?[\p{L}&&[^\p{Han}]]+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
# Megabytes of UTF-8 drawn from each source; novels and statutes are held down on purpose.
SAMPLE_MB = {
    "en_novels_eltec": 4.0,
    "en_public_domain_speech": 1.0,
    "en_open_tech_articles": 3.0,
    "en_erp_business_help": 2.0,
    "en_gov_guidance": 3.0,
    "en_service_dialogues": 4.0,
    "en_textbooks": 5.0,
    "en_wiki_c4_demo": 1.7,
    "enzh_tatoeba": 0.6,
    "zh_dialogues": 2.5,
    "zh_erp_business_help": 2.0,
    "zh_everyday": 2.8,
    "zh_it_help_machine_translated": 0.7,
    "zh_laws": 1.5,
    "zh_open_tech_articles": 3.0,
    "zh_tidb_docs": 1.0,
}


def sample(folder: Path, seed: int) -> Iterator[str]:
    """Whole documents of every source, shuffled, up to that source's share of `SAMPLE_MB`."""
    for source in source_names(folder):
        texts = read_texts(folder, source)
        random.Random(seed).shuffle(texts)
        left = SAMPLE_MB[source] * 1e6
        for text in texts:
            if left <= 0:
                break
            left -= len(text.encode())
            yield text


def train(texts: Iterator[str]) -> Tokenizer:
    """A BPE of `VOCAB_SIZE` entries, special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=chat.SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads it, chat template included."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=chat.BOS,
        eos_token=chat.END,
        pad_token=chat.PAD,
        additional_special_tokens=[chat.SYSTEM, chat.USER, chat.ASSISTANT, chat.CONTEXT],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = chat.CHAT_TEMPLATE
    return wrapped


def make_portable(folder: Path) -> None:
    """Name the tokenizer class by the name that transformers 4 and 5 both know."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("backend", None)
    config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--out", type=Path, default=Path("src/pretune/bases/embedded"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    wrap(train(sample(args.corpus, args.seed))).save_pretrained(args.out)
    make_portable(args.out)


if __name__ == "__main__":
    main()
