#!/usr/bin/env python3
"""Text to golf shards: text_folder and fineweb against the same thing computed here, with the tokenizer `bytes`
and, where Python's sentencepiece is installed, with a model that `gamut tokenizer train` made."""

import array
import gzip
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time

GAMUT, SOURCE = os.environ["GAMUT"], pathlib.Path(os.environ["GAMUT_SOURCE"])
PARQUET = SOURCE / "tests/data/text/documents.parquet"
HAS_PARQUET = pathlib.Path(GAMUT).with_name("gamut-parquet-text").exists()
random.seed(3)


def gamut(*words, code=0, says="", env=None):
    done = subprocess.run([GAMUT, *words], capture_output=True, text=True, timeout=100, env={**os.environ, **(env or {})})
    assert done.returncode == code, (words, done.returncode, done.stdout + done.stderr)
    assert says in done.stdout + done.stderr, (says, done.stdout + done.stderr)


def shard(path):
    data = path.read_bytes()
    magic, version, count = struct.unpack("<3i", data[:12])
    assert (magic, version, len(data)) == (20240520, 1, 1024 + 2 * count) and not any(data[12:1024])
    ids = array.array("H")
    ids.frombytes(data[1024:])
    return list(ids)


def split(folder, prefix, name):
    paths = sorted(folder.glob(f"{prefix}_{name}_*.bin"))
    assert [p.name for p in paths] == [f"{prefix}_{name}_{i:06d}.bin" for i in range(len(paths))]
    return [i for path in paths for i in shard(path)]


def byte_ids(text):
    return [1] + [4 + byte for byte in text.encode()]


def parquet_texts():
    """As tests/data/text/make_documents.py wrote them; the null is no document."""
    for row in range(23):
        if row != 3:
            yield "" if row == 7 else f"Document {row}: größe, 日本語, and \"quotes\".\n" * (1 + 200 * (row % 4 == 2))


def make_source(folder):
    """Writes a source of all formats; returns its documents in order."""
    folder.mkdir()
    words = "the of and größe 123 naïve 日本 sea  \n".split(" ")
    lines = [" ".join(random.choices(words, k=random.randint(0, 400))) for _ in range(1500)]
    with open(folder / "a.jsonl", "w") as file:
        for i, text in enumerate(lines):
            file.write(json.dumps({"id": i, "text": text}, ensure_ascii=i % 2 == 0) + "\n" * (1 + (i % 7 == 0)))
        file.write('not json\n{"id": 7}\n')
    with gzip.open(folder / "b.ndjson.gz", "wt") as file:
        file.write("\n".join(json.dumps(text) for text in lines[:40]))
    documents = lines + lines[:40]
    if HAS_PARQUET:
        shutil.copy(PARQUET, folder / "c.parquet")
        documents += parquet_texts()
    (folder / "d.txt").write_text(lines[0] + "end\n")
    (folder / "e.jpg").write_bytes(b"\xff\xd8")
    return documents + [lines[0] + "end\n"]


def check_fineweb(documents):
    held = 700
    out = pathlib.Path("fineweb")
    command = ("data", "prepare", "fineweb", "source=source", f"out={out}", "tokenizer=bytes",
               f"validation_documents={held}", "shard_tokens=300000")
    # Killed with a unit done, gone on with by another number of workers: the same bytes as in one go.
    gamut(*command, "workers=1", code=-signal.SIGKILL, env={"GAMUT_FAIL_AT": "prepare.recorded:2"})
    gamut(*command, "workers=2", says="val    700 documents")
    whole = [[i for text in part for i in byte_ids(text)] for part in (documents[:held], documents[held:])]
    assert split(out, "fineweb", "val") == whole[0] and split(out, "fineweb", "train") == whole[1]
    assert len(list(out.glob("fineweb_train_*.bin"))) == -(-len(whole[1]) // 300000)
    gamut(*[word.replace("out=fineweb", "out=again") for word in command], "workers=1")
    for path in out.glob("*.bin"):
        assert path.read_bytes() == pathlib.Path("again", path.name).read_bytes()
    manifest = json.loads((out / "manifest.json").read_text())
    entry = manifest["datasets"][0]
    assert (entry["name"], entry["vocab_size"], entry["bos_id"], entry["eos_id"]) == ("fineweb", 260, 1, 2), entry
    assert entry["stats"]["docs_val"] == held and entry["stats"]["tokens_train"] == len(whole[1]), entry
    assert entry["tokenizer_name"] == manifest["tokenizers"][0]["name"]
    gamut("data", "prepare", "fineweb", "source=source", "out=x", "tokenizer=bytes", "validation_documents=99999",
          code=1, says="choose fewer for validation")
    gamut("data", "prepare", "fineweb", "source=source", "out=x", "tokenizer=bytes", "validation=0.5",
          "validation_documents=10", code=1, says="`validation` has no effect")


def check_text_folder(documents):
    out = pathlib.Path("text")
    gamut("data", "prepare", "text_folder", "source=source", f"out={out}", "tokenizer=bytes", "validation=0.2", "seed=5")
    made = {name: split(out, "text", name) for name in ("train", "val")}
    found = {name: set() for name in made}
    for name, ids in made.items():
        starts = [i for i, each in enumerate(ids) if each == 1] + [len(ids)]
        for begin, end in zip(starts, starts[1:]):
            found[name].add(bytes(i - 4 for i in ids[begin + 1 : end]).decode())
    count = sum(ids.count(1) for ids in made.values())
    assert count == len(documents), (count, len(documents))
    assert found["train"] | found["val"] == set(documents)
    assert 0.1 < made["val"].count(1) / count < 0.3
    skipped = [json.loads(line) for line in (out / "sources.jsonl").read_text().splitlines()]
    assert sum(line.get("documents_skipped", 0) for line in skipped) == 2
    assert any("not JSON" in line.get("first_skipped", "") for line in skipped)
    if HAS_PARQUET:
        gamut("data", "prepare", "text_folder", f"source={PARQUET}", "out=x", "tokenizer=bytes", "field=body", code=1,
              says="it has: id, text")
        damaged = pathlib.Path("damaged.parquet")
        data = bytearray(PARQUET.read_bytes())
        data[600:1400] = bytes(800)
        damaged.write_bytes(data)
        gamut("data", "prepare", "text_folder", f"source={damaged}", "out=x", "tokenizer=bytes", code=1, says="damaged.parquet")


def check_sentencepiece(documents):
    if not importlib.util.find_spec("sentencepiece"):
        return print("no Python package sentencepiece: not compared with it")
    import sentencepiece

    gamut("tokenizer", "train", "sentencepiece", "output=small.model", "input=source/a.jsonl", "vocab_size=400")
    model = sentencepiece.SentencePieceProcessor(model_file="small.model")
    gamut("data", "prepare", "fineweb", "source=source", "out=sp", "tokenizer=sentencepiece", "tokenizer.model=small.model",
          "validation_documents=100", "workers=2")
    for name, part in ("val", documents[:100]), ("train", documents[100:]):
        ids = [i for text in part for i in [model.bos_id()] + model.encode(text)]
        assert split(pathlib.Path("sp"), "fineweb", name) == ids, name


began = time.monotonic()
documents = make_source(pathlib.Path("source"))
check_fineweb(documents)
check_text_folder(documents)
check_sentencepiece(documents)
print(f"3 passed, 0 failed\n{time.monotonic() - began:.1f} s")
