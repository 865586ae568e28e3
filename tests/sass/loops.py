"""The loops of a kernel's machine code, found in its control flow.

An instruction is (address, text); addresses ascend. A loop is the set of addresses of a natural loop: the
blocks that reach a jump back to a block through which all ways to them lead.
"""

import re

CONTROL = re.compile(r"BR|BSSY|BSYNC|EXIT|RET|JMP|KILL")
BRANCH = re.compile(r"\b(?:BRA|BRX|JMP)\b\S*.*?(0x[0-9a-f]+)")
SYNC = re.compile(r"\b(BSSY|BSYNC)\S*\s+(?:\S+\s+)??(B\d+)(?:,\s*(0x[0-9a-f]+))?")


def successors(instructions):
    """The addresses that may follow each instruction."""
    after = {}
    reconvergence = {}  # of a barrier register, by the last BSSY that named it
    following = [address for address, _ in instructions[1:]] + [None]
    for (address, text), fall_through in zip(instructions, following):
        if not CONTROL.search(text):
            after[address] = [fall_through] if fall_through is not None else []
            continue
        predicated = text.startswith("@")
        ends = re.search(r"\b(EXIT|RET|BRA|JMP|BRX|KILL)\b", text)
        targets = []
        if match := BRANCH.search(text):
            targets.append(int(match[1], 16))
            # BRA.DIV and BRA.CONV may go on, as does a branch with a predicate among its operands.
            predicated = predicated or not re.search(r"(BRA|JMP)(\.U)? 0x", text)
        if match := SYNC.search(text):
            if match[1] == "BSSY":
                reconvergence[match[2]] = int(match[3], 16)
            elif match[2] in reconvergence:
                targets.append(reconvergence[match[2]])
        if fall_through is not None and (not ends or predicated):
            targets.append(fall_through)
        after[address] = targets
    return after


class Blocks:
    """Basic blocks: instructions that are run one after the other."""

    def __init__(self, instructions):
        after = successors(instructions)
        addresses = [address for address, _ in instructions]
        following = dict(zip(addresses, addresses[1:]))
        leaders = {addresses[0]}
        for address, targets in after.items():
            if targets != [following.get(address)]:
                leaders.update(targets)
                if address in following:
                    leaders.add(following[address])
        self.members, self.next = {}, {}
        for address in addresses:
            if address in leaders:
                block = address
                self.members[block] = []
            self.members[block].append(address)
            self.next[block] = [target for target in after[address] if target in after]
        self.first = addresses[0]

    def reverse_postorder(self):
        order, seen = [], {self.first}
        stack = [(self.first, iter(self.next[self.first]))]
        while stack:
            block, rest = stack[-1]
            for target in rest:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(self.next[target])))
                    break
            else:
                order.append(block)
                stack.pop()
        return order[::-1]

    def previous(self, reachable):
        previous = {block: [] for block in reachable}
        for block in reachable:
            for target in self.next[block]:
                previous[target].append(block)
        return previous


def dominators(order, previous):
    """The immediate dominator of each block (Cooper, Harvey and Kennedy's iteration)."""
    number = {block: i for i, block in enumerate(order)}
    immediate = {order[0]: order[0]}

    def common(a, b):
        while a != b:
            while number[a] > number[b]:
                a = immediate[a]
            while number[b] > number[a]:
                b = immediate[b]
        return a

    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            new = None
            for source in previous[block]:
                if source in immediate:
                    new = source if new is None else common(new, source)
            if immediate.get(block) != new:
                immediate[block] = new
                changed = True
    return immediate


def dominates(immediate, above, below):
    while below != above and immediate[below] != below:
        below = immediate[below]
    return below == above


def loops(instructions):
    """The natural loops, each a set of addresses; those of one header are one."""
    if not instructions:
        return []
    blocks = Blocks(instructions)
    order = blocks.reverse_postorder()
    previous = blocks.previous(order)
    immediate = dominators(order, previous)
    bodies = {}
    for block in order:
        for header in blocks.next[block]:
            # A jump to itself and nothing else is the trap after the last instruction.
            trap = header == block and len(blocks.members[block]) == 1
            if not trap and dominates(immediate, header, block):
                body = bodies.setdefault(header, {header})
                waiting = [block]
                while waiting:
                    member = waiting.pop()
                    if member not in body:
                        body.add(member)
                        waiting.extend(previous[member])
    return [{address for block in body for address in blocks.members[block]} for body in bodies.values()]
