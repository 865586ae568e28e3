#!/usr/bin/env python3
"""The reader of machine code: loops are found where they are, and spills in them are complained of."""

import unittest

import sass
from loops import loops


def listing(*kernels):
    """A listing as cuobjdump prints it, of (name, [instruction...])."""
    lines = []
    for name, instructions in kernels:
        lines.append(f"\t\tFunction : {name}")
        lines += [f"        /*{16 * i:04x}*/   {text} ;  /* 0x0a00ff017b82 */" for i, text in enumerate(instructions)]
    return "\n".join(lines)


def row_of(instructions, name="scan_kernel"):
    return sass.measure(sass.read_code(listing((name, instructions)), SOURCE)[name])


SOURCE = "ops/gated_delta_rule/cuda/scan.cu"
PRODUCT = "HMMA.16816.F32.BF16 R4, R8, R12, R4"
SPILL, FILL = "STL [R1+0x8], R3", "LDL R3, [R1+0x8]"


def code(*body):
    """The instructions with EXIT and the trap after it."""
    end = 16 * (len(body) + 1)
    return [*body, "EXIT", f"BRA {end:#x}"]


class Loops(unittest.TestCase):
    def loops_of(self, instructions):
        found = loops([(16 * i, text) for i, text in enumerate(instructions)])
        return sorted(sorted(address // 16 for address in body) for body in found)

    def test_straight_code_has_none(self):
        self.assertEqual(self.loops_of(code("MOV R1, R2", "@P0 BRA 0x20", "MOV R3, R4")), [])

    def test_the_trap_at_the_end_is_none(self):
        self.assertEqual(self.loops_of(code("MOV R1, R2")), [])

    def test_one_within_another(self):
        instructions = code("MOV R0, RZ", "IADD3 R1, R1, 0x1, RZ", "IADD3 R2, R2, 0x1, RZ", "@P0 BRA 0x20",
                            "@P1 BRA 0x10")
        self.assertEqual(self.loops_of(instructions), [[1, 2, 3, 4], [2, 3]])

    def test_code_moved_behind_the_end_is_no_loop(self):
        # 1 jumps to 4, behind EXIT, which comes back to 2: backwards, but nothing is repeated.
        instructions = ["MOV R0, RZ", "@P0 BRA 0x40", "MOV R1, RZ", "EXIT", "MOV R2, RZ", "BRA 0x20"]
        self.assertEqual(self.loops_of(instructions), [])

    def test_a_part_of_a_loop_moved_behind_the_end_belongs_to_it(self):
        instructions = ["MOV R0, RZ", "@P0 BRA 0x40", "@P1 BRA 0x10", "EXIT", "MOV R2, RZ", "BRA 0x20"]
        self.assertEqual(self.loops_of(instructions), [[1, 2, 4, 5]])

    def test_threads_that_meet_again_go_on(self):
        instructions = code("BSSY B0, 0x40", "@P0 BRA 0x30", "MOV R1, RZ", "BSYNC B0", "@P1 BRA 0x0")
        self.assertEqual(self.loops_of(instructions), [[0, 1, 2, 3, 4]])


class Spills(unittest.TestCase):
    def test_of_a_main_loop_are_complained_of(self):
        row = row_of(code("MOV R0, RZ", FILL, PRODUCT, SPILL, "@P0 BRA 0x10"))
        self.assertEqual((row.mma, row.mma_in_loops, row.local, row.local_in_main_loops), (1, 1, 2, 2))
        self.assertEqual(len(list(sass.complaints(row))), 1)

    def test_before_the_main_loop_are_not(self):
        row = row_of(code(SPILL, FILL, PRODUCT, "@P0 BRA 0x20"))
        self.assertEqual((row.local, row.local_in_main_loops), (2, 0))
        self.assertEqual(list(sass.complaints(row)), [])

    def test_of_a_loop_without_products_count_where_there_are_no_products(self):
        row = row_of(code("MOV R0, RZ", FILL, "@P0 BRA 0x10"), "norm")
        self.assertEqual(row.local_in_main_loops, 1)

    def test_around_the_innermost_loop_do_not_where_there_are_no_products(self):
        row = row_of(code(FILL, "IADD3 R2, R2, 0x1, RZ", "@P0 BRA 0x10", "@P1 BRA 0x0"), "norm")
        self.assertEqual((row.local, row.local_in_main_loops), (1, 0))

    def test_around_the_innermost_loop_count_where_there_are_products(self):
        row = row_of(code(FILL, PRODUCT, "@P0 BRA 0x10", "@P1 BRA 0x0"))
        self.assertEqual((row.local, row.local_in_main_loops), (1, 1))

    def test_of_a_loop_without_products_do_not_beside_a_main_loop(self):
        row = row_of(code(FILL, "@P0 BRA 0x0", PRODUCT, "@P0 BRA 0x20"))
        self.assertEqual((row.local, row.local_in_main_loops), (1, 0))


class Products(unittest.TestCase):
    def test_are_missed_where_a_kernel_is_made_of_them(self):
        self.assertEqual(list(sass.complaints(row_of(code("FFMA R0, R1, R2, R3"), "scan_kernel"))),
                         ["no tensor-core instruction"])
        self.assertEqual(list(sass.complaints(row_of(code("FFMA R0, R1, R2, R3"), "norm"))), [])

    def test_of_a_warp_group_count(self):
        self.assertEqual(row_of(code("HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4], R24")).mma, 1)


class Resources(unittest.TestCase):
    def test_registers_and_stack(self):
        kernels = sass.read_code(listing(("scan_kernel", code(PRODUCT))), SOURCE)
        sass.read_resources(" Function scan_kernel:\n  REG:168 STACK:16 SHARED:0 LOCAL:0 CONSTANT[0]:580\n", kernels)
        self.assertEqual((kernels["scan_kernel"].registers, kernels["scan_kernel"].stack), (168, 16))

    def test_instances_fold_to_the_worst(self):
        rows = [sass.Row("a.cu", "scan<32>", registers=90, mma=8), sass.Row("a.cu", "scan<64>", registers=168, mma=4)]
        (folded,) = sass.fold(rows)
        self.assertEqual((folded.name, folded.instances, folded.registers, folded.mma), ("scan", 2, 168, 4))


class Architectures(unittest.TestCase):
    def test_that_a_source_lacks(self):
        listing = ("ELF file    1: norm.cu.1.sm_80.cubin\nELF file    2: norm.cu.2.sm_90a.cubin\n"
                   "PTX file    1: norm.cu.1.sm_90a.ptx\nELF file    3: scan.sm_90a.cubin\n")
        self.assertEqual(list(sass.missing_code(listing, ["80", "90a"])),
                         ["scan has no machine code for 80", "scan has no PTX for 90a"])
        self.assertEqual(list(sass.missing_code(listing, [])), [])


if __name__ == "__main__":
    unittest.main()
