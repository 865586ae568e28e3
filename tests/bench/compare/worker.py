"""The Python side of a comparison: runs the cases that driver.py asks for on its standard input.

    begin NAME key=value ...   ->  ready | missing WHY
    time CALLS                 ->  ms A B C ...      one figure a call
    ask                        ->  answer key=value ...   what the case says of itself
    trim                       ->  ended    gives kept memory back to the system
    end                        ->  ended
"""
import ctypes
import gc
import sys
import time

import torch

import attention
import codecs_python
import golf
import muon
import operators
import speech

CASES = {**operators.CASES, **attention.CASES, **muon.CASES, **speech.CASES, **codecs_python.CASES, **golf.CASES}


def parse(words):
    """key=value words as a dict: integers where they are integers."""
    pairs = (word.split("=", 1) for word in words)
    return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in pairs}


def timed(call, calls):
    figures = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        figures.append((time.perf_counter() - began) * 1e3)
    return figures


def main():
    torch.set_num_threads(2)
    torch.manual_seed(1)
    call, about = None, {}
    print("ready", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "begin":
            call, about = CASES[words[0]](**parse(words[1:])), {}
            if isinstance(call, tuple):
                call, about = call
            print("ready", flush=True)
        elif command == "time":
            print("ms", *(f"{ms:.6f}" for ms in timed(call, int(words[0]))), flush=True)
        elif command == "ask":
            print("answer", *(f"{key}={value}" for key, value in about.items()), flush=True)
        elif command in ("trim", "end"):
            if command == "end":
                call, about = None, {}
            gc.collect()
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            print("ended", flush=True)


main()
