"""The cases of op_call.lua in PyTorch: a line `name nanoseconds` each, the median of several rounds."""
import sys
import time

import torch

torch.set_num_threads(1)
ROUNDS, CALLS = 15, int(sys.argv[1]) if len(sys.argv) > 1 else 20000


def measure(name, fn):
    samples = []
    fn(CALLS // 10)
    for _ in range(ROUNDS):
        began = time.process_time()
        fn(CALLS)
        samples.append((time.process_time() - began) / CALLS * 1e9)
    print(name, round(sorted(samples)[ROUNDS // 2]))


x, y = torch.ones(4), torch.ones(4)
m = torch.ones(4, 4)
w = torch.ones(4, requires_grad=True)
s = m.sum()


def add(n):
    for _ in range(n): x + y
def add_method(n):
    for _ in range(n): x.add(y)
def add_number(n):
    for _ in range(n): x + 2
def add_inplace(n):
    for _ in range(n): x.add_(y)
def add_grad(n):
    for _ in range(n): w + y
def matmul(n):
    for _ in range(n): m.matmul(m)
def softmax_named(n):
    for _ in range(n): m.softmax(dim=-1)
def view(n):
    for _ in range(n): m.view(2, 8)
def zeros(n):
    for _ in range(n): torch.zeros([4])
def sum_dim(n):
    for _ in range(n): m.sum(0)
def shape(n):
    for _ in range(n): m.shape
def item(n):
    for _ in range(n): s.item()


for case in (add, add_method, add_number, add_inplace, add_grad, matmul, softmax_named, view, zeros,
             sum_dim, shape, item):
    measure(case.__name__, case)
