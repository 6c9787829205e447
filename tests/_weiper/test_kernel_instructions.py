"""How many instructions the compiled kernels take per perturbed logit, read from the code."""

import shutil
import struct
import subprocess

import pytest

from skweiper._weiper.engines.cupy_launches import kernel_source

INSTRUCTION_BYTES = 16
BRANCH, SHARED_ATOMIC = 0x947, 0x18C
"""Opcodes of sm_90: the last 12 bits of a branch, and the last 9 of an atomic on shared memory."""


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory):
    """Instructions of each kernel for sm_90, as integers."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    folder = tmp_path_factory.mktemp("kernels")
    source, cubin = folder / "weiper.cu", folder / "weiper.cubin"
    source.write_text(kernel_source(), encoding="utf-8")
    options = ["-cubin", "-arch=sm_90", "--std=c++17", "-ftz=true"]
    subprocess.run([nvcc, *options, "-o", str(cubin), str(source)], check=True)
    return {
        name.removeprefix(".text."): [
            int.from_bytes(code[i : i + INSTRUCTION_BYTES], "little")
            for i in range(0, len(code), INSTRUCTION_BYTES)
        ]
        for name, code in sections(cubin.read_bytes()).items()
        if name.startswith(".text.")
    }


def sections(elf):
    """Contents of the sections of an ELF file, by name."""
    (offset,) = struct.unpack_from("<Q", elf, 0x28)
    size, n_sections, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(n_sections)]
    named = elf[headers[names][4] :]
    return {
        named[header[0] : named.index(b"\0", header[0])].decode(): elf[
            header[4] : header[4] + header[5]
        ]
        for header in headers
    }


def loops(instructions):
    """The loops of a kernel, as lists of instructions, from the shortest to the longest."""
    found = []
    for i, instruction in enumerate(instructions):
        if instruction & 0xFFF == BRANCH:
            steps = ((instruction >> 34) & (2**48 - 1)) << 8 | (instruction >> 16) & 0xFF
            steps -= (steps >> 55) << 56  # signed, in words of four bytes
            first = i + 1 + 4 * steps // INSTRUCTION_BYTES
            if first < i:
                found.append(instructions[first : i + 1])
    return sorted(found, key=len)


def n_counted(instructions):
    """Values that some instructions count in histograms."""
    return sum(instruction & 0x1FF == SHARED_ATOMIC for instruction in instructions)


@pytest.mark.parametrize(
    "kernel, per_logit",
    [
        ("measure_implicit_both", 20.0),
        ("measure_implicit_counts", 13.5),
        ("measure_stored_both", 25.0),
        ("measure_stored_counts", 18.5),
        ("examine_rows_counts", 19.0),
        ("measure_implicit_gen", 20.0),  # of one digit's pass
        ("measure_stored_gen", 22.0),
    ],
)
def test_the_counting_loop_stays_short(machine_code, kernel, per_logit):
    counting = [loop for loop in loops(machine_code[kernel]) if n_counted(loop)]
    assert len(counting[0]) / n_counted(counting[0]) <= per_logit


@pytest.mark.parametrize(
    "kernel, per_logit", [("measure_implicit_scores", 11.0), ("measure_implicit_entropy", 14.0)]
)
def test_the_loop_over_vectors_of_four_samples_stays_short(machine_code, kernel, per_logit):
    whole = loops(machine_code[kernel])
    # The loop over the repeats is the longest; the longest within it is that over the vectors.
    assert len(whole[-2]) / 16 <= per_logit


def test_a_loop_is_found_by_its_branch(machine_code):
    """The loop that counts plain values loads, places and counts one of them in each turn."""
    (loop,) = [loop for loop in loops(machine_code["examine_rows_counts"]) if n_counted(loop)]
    assert n_counted(loop) == 1 and len(loop) >= 10
