"""What the Python tests of this folder share."""

import random
import struct


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def write_shard(path, count, seed):
    """A token shard of letters of a few kinds (byte + 4), so that there is something to learn."""
    dice = random.Random(seed)
    tokens = [101 + dice.choice([0, 0, 0, 1, 2, 3]) for _ in range(count)]
    path.write_bytes(struct.pack("<256i", 20240520, 1, count, *[0] * 253) + struct.pack(f"<{count}H", *tokens))
