# SPDX-License-Identifier: Apache-2.0
"""Text to documents, to token ids (SentencePiece, as launch/quickstart.sh does), to batches."""

import fcntl
import hashlib
import importlib.util
import math
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import numpy as np

EOS = 2  # SentencePiece's id of </s>, which ends a document here
LINES = 32  # a text without blank lines is cut into documents of so many lines
TOKENIZER_LINES = 300_000  # a tokenizer is trained on no more, spread evenly


class BadInput(Exception):
    """What the user has given cannot be used."""


class Tokenizer:
    """A SentencePiece model, by the programs spm_* or, where they are not there, Python's module."""

    def __init__(self, model):
        self.model = str(model)
        if not os.path.isfile(self.model):
            raise BadInput(f"{model}: there is no such tokenizer")
        if _has_programs():
            self._processor = None
            pieces = _run(["spm_export_vocab", f"--model={model}"], f"{model}: not a SentencePiece model")
            self.vocab_size = len(pieces.splitlines())
        else:
            self._processor = _module().SentencePieceProcessor(model_file=self.model)
            self.vocab_size = self._processor.get_piece_size()

    def encode(self, lines):
        """The ids of each line."""
        if self._processor is not None:
            return self._processor.encode(lines)
        text = "".join(line + "\n" for line in lines)
        output = _run(["spm_encode", f"--model={self.model}", "--output_format=id"], "spm_encode", text)
        return [[int(word) for word in line.split()] for line in output.split("\n")[:-1]]

    def decode(self, ids):
        if self._processor is not None:
            return self._processor.decode([int(i) for i in ids])
        text = " ".join(str(int(i)) for i in ids) + "\n"
        command = ["spm_decode", f"--model={self.model}", "--input_format=id"]
        return _run(command, "spm_decode", text).rstrip("\n")

    @staticmethod
    def train(text, vocab_size, prefix):
        """Writes PREFIX.model and PREFIX.vocab."""
        options = dict(
            input=text, model_prefix=prefix, vocab_size=vocab_size, hard_vocab_limit="false",
            character_coverage=1.0, max_sentence_length=65536, shuffle_input_sentence="false",
        )
        problem = "the tokenizer cannot be trained on this text (is it plain text, and long enough?)"
        if _has_programs():
            _run(["spm_train", *(f"--{name}={value}" for name, value in options.items())], problem)
            return
        words = " ".join(f"--{name}={value}" for name, value in options.items()) + " --minloglevel=2"
        try:
            _module().SentencePieceTrainer.train(words)
        except (RuntimeError, OSError) as error:
            raise BadInput(problem) from error


class Text:
    """Token ids of a text's documents, some of which are held out of training.

    train, held_out: [tokens] ids, </s> after each document. vocab_size, tokenizer; digest names the
    text and its ids, which are the same wherever they are made (a tokenizer's file tells of its folder).
    """

    def __init__(self, path, folder, *, vocab_size, tokenizer=None, held_out_share=0.05):
        """Made once and kept in `folder`; ranks and programs wait for the one that makes it.

        Without a tokenizer one is trained, on the documents that are not held out.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "language_model.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = king_james_bible(folder) if path is None else pathlib.Path(path)
            content = _read(path)
            digest = hashlib.sha256(content)
            digest.update(str(held_out_share).encode())
            stem = f"{path.stem}-{digest.hexdigest()[:12]}"
            if tokenizer is not None:
                model = pathlib.Path(tokenizer)
            else:
                model = folder / f"{stem}-{vocab_size}.model"
                if not model.exists():
                    documents = _documents(content.decode())
                    trained_on = [
                        line
                        for document, is_held in zip(documents, _held_out(documents, held_out_share))
                        for line in document if not is_held
                    ]  # fmt: skip
                    _make_tokenizer(path, trained_on, vocab_size, model)
            self.tokenizer = Tokenizer(model)
            made_by = hashlib.sha256(digest.digest() + model.read_bytes()).hexdigest()
            kept = folder / f"{path.stem}-{made_by[:12]}.npz"
            if not kept.exists():
                documents = _documents(content.decode())
                _make_ids(documents, _held_out(documents, held_out_share), self.tokenizer, kept)
        with np.load(kept) as arrays:
            self.train, self.held_out = arrays["train"], arrays["held_out"]
        for ids in (self.train, self.held_out):
            digest.update(ids.astype("<i4").tobytes())
        self.path = str(path)
        self.vocab_size = self.tokenizer.vocab_size
        self.digest = digest.hexdigest()


class Sequences:
    """Ids cut into sequences of seq_len tokens, each with the id that follows each token."""

    def __init__(self, ids, seq_len):
        self.count = max(0, (len(ids) - 1) // seq_len)
        self._ids, self._seq_len = ids, seq_len

    def __getitem__(self, numbers):
        """(ids, targets), [len(numbers), seq_len] int64 each."""
        places = np.asarray(numbers, np.int64)[:, None] * self._seq_len + np.arange(self._seq_len + 1)
        text = self._ids[places].astype(np.int64)
        return text[:, :-1].copy(), text[:, 1:].copy()


class Order:
    """Which sequences a step trains on: a new order each epoch, a function of the seed."""

    def __init__(self, count, batch, seed):
        self._count, self._batch, self._seed = count, batch, seed
        self._epoch, self._order = -1, None

    def __getitem__(self, step):
        return [self._at(i) for i in range(step * self._batch, (step + 1) * self._batch)]

    def _at(self, i):
        epoch, place = divmod(i, self._count)
        if epoch != self._epoch:
            random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, epoch])))
            self._epoch, self._order = epoch, random.permutation(self._count)
        return int(self._order[place])


def part_of(sequences, rank, size):
    """A rank's part of so many sequences, as a slice: contiguous, in the order of ranks."""
    return slice(rank * sequences // size, (rank + 1) * sequences // size)


def _documents(text):
    """Lists of lines. Blank lines stand between documents."""
    paragraphs = [
        [line.strip() for line in each.splitlines() if line.strip()]
        for each in re.split(r"\n\s*\n", text)
    ]
    paragraphs = [each for each in paragraphs if each]
    if len(paragraphs) > 1:
        return paragraphs
    lines = paragraphs[0] if paragraphs else []
    return [lines[i : i + LINES] for i in range(0, len(lines), LINES)]


def _held_out(documents, share):
    """Which documents are: drawn alike whatever the run's seed, until they have that share of the text."""
    sizes = [sum(map(len, document)) for document in documents]
    held = np.zeros(len(documents), bool)
    wanted = share * sum(sizes)
    for i in np.random.Generator(np.random.Philox(0)).permutation(len(documents)):
        if wanted <= 0:
            break
        held[i] = True
        wanted -= sizes[i]
    return held


def _make_tokenizer(path, lines, vocab_size, model):
    lines = lines[:: math.ceil(len(lines) / TOKENIZER_LINES)]
    with tempfile.TemporaryDirectory(dir=model.parent, suffix=".tmp") as work:
        pathlib.Path(work, "text").write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            Tokenizer.train(f"{work}/text", vocab_size, f"{work}/spm")
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        os.replace(f"{work}/spm.vocab", model.with_suffix(".vocab"))
        os.replace(f"{work}/spm.model", model)


def _make_ids(documents, held, tokenizer, kept):
    encoded = iter(tokenizer.encode([line for document in documents for line in document]))
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    parts = {False: [np.empty(0, dtype)], True: [np.empty(0, dtype)]}
    for document, is_held in zip(documents, held):
        ids = [i for _ in document for i in next(encoded)] + [EOS]
        parts[bool(is_held)].append(np.array(ids, dtype))
    temporary = kept.with_suffix(".npz.tmp")
    with open(temporary, "wb") as file:
        np.savez(file, train=np.concatenate(parts[False]), held_out=np.concatenate(parts[True]))
    os.replace(temporary, kept)


def _read(path):
    if not path.is_file():
        raise BadInput(f"{path}: there is no such text file")
    content = path.read_bytes()
    try:
        empty = not content.decode().strip()
    except UnicodeDecodeError:
        raise BadInput(f"{path}: this is not plain text in UTF-8") from None
    if empty:
        raise BadInput(f"{path}: there is no text in it")
    return content


def king_james_bible(folder):
    """The King James Bible, a verse a line and a blank line between chapters, without numbers."""
    path = folder / "kjv-chapters.txt"
    if path.exists():
        return path
    if shutil.which("bible") is None:
        raise BadInput("--text FILE is needed (or: apt-get install bible-kjv bible-kjv-text)")
    lines, chapter = [], None
    for verse in _run(["bible", "-f", "Gen1:1-Rev22:21"], "bible").splitlines():
        found = re.match(r"(\d?[A-Za-z]+\d+):\d+ +(.*)", verse)
        if found is None:
            continue
        if chapter not in (None, found[1]):
            lines.append("")
        chapter = found[1]
        lines.append(found[2])
    temporary = path.with_suffix(".txt.tmp")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, path)
    return path


def _has_programs():
    return shutil.which("spm_train") is not None and shutil.which("spm_encode") is not None


def _module():
    if importlib.util.find_spec("sentencepiece") is None:
        raise BadInput("SentencePiece is needed: apt-get (or pip) install sentencepiece")
    import sentencepiece

    return sentencepiece


def _run(command, problem, text=""):
    result = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8")
    if result.returncode != 0:
        raise BadInput(problem)
    return result.stdout
