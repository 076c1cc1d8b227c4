#!/usr/bin/env python3
"""proto/money.h against exact fractions: what a call costs, the most that it may cost, amounts and prices as text.

    money.py MONEYPROBE [CASES] [SEED]

CASES: of the cost (1,000,000; PROPERTY_CASES says otherwise); the other properties get a tenth each. Every case is made from the
seed, which is shown, so a failure can be repeated. Ends with "N passed, N failed, N skipped".
"""
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import time
from fractions import Fraction
from math import ceil

TOKENS_MAX, PICO_MAX, NANO_MAX, PERCENT_MAX = 10**9, 10**12, 10**18, 1000
INT64_MAX, INT64_MIN, UINT64_MAX = 2**63 - 1, -(2**63), 2**64 - 1
CHUNK = 50_000
SAME_PRICES = 8  # reports in a row that are multiplied with the same prices
THRESHOLD = 5  # its place among the prices
PERCENT, BATCH = 10, 11  # their places in a report

# ---- what is right, in the words of proto/money.h


def or_else(own, other):
    return other if own == -1 else own


def rates(prices, total_in):
    """Prices of the ten classes, in the order of the report's parts; a rest of input and of output among them."""
    (inp, cached, short, long, out, above, t_in, t_cached, t_short, t_long, t_out, audio_in, image_in, audio_out, image_out, reasoning) = prices
    cached, short, long = or_else(cached, inp), or_else(short, inp), or_else(long, inp)
    if above != 0 and total_in > above:
        cached = or_else(t_cached, or_else(t_in, cached))
        short = or_else(t_short, or_else(t_in, short))
        long = or_else(t_long, or_else(t_in, long))
        inp, out = or_else(t_in, inp), or_else(t_out, out)
    return (
        (inp, cached, short, long, or_else(audio_in, inp), or_else(image_in, inp)),
        (out, or_else(reasoning, out), or_else(audio_out, out), or_else(image_out, out)),
    )


def prices_ok(prices):
    for i, p in enumerate(prices):
        if i != THRESHOLD and not (p == -1 and i not in (0, 4)) and not 0 <= p <= PICO_MAX:
            return False
    return True


def split(report):
    whole_in, cached, short, long, audio_in, image_in, whole_out, reasoning, audio_out, image_out, _, _ = report
    cache, modality, special = cached + short + long, audio_in + image_in, reasoning + audio_out + image_out
    rest_in = whole_in if cache > whole_in or modality > whole_in else max(0, whole_in - cache - modality)
    rest_out = whole_out if special > whole_out else whole_out - special
    return (rest_in, cached, short, long, audio_in, image_in), (rest_out, reasoning, audio_out, image_out)


def to_nano(pico):
    return ceil(Fraction(pico, 1000)) if pico <= NANO_MAX * 1000 else "-"


def refused(ok, report):
    ins, outs = split(report)
    return not ok or max(ins) > TOKENS_MAX or max(outs) > TOKENS_MAX or report[PERCENT] > PERCENT_MAX


def asked(report):
    """What decides whether a tier's prices hold: nothing does for a batch."""
    return 0 if report[BATCH] else sum(split(report)[0])


def share(report):
    return Fraction(report[PERCENT], 100) if report[PERCENT] else 1


def cost(prices, ok, report):
    if refused(ok, report):
        return "-"
    ins, outs = split(report)
    rate_in, rate_out = rates(prices, asked(report))
    return to_nano(share(report) * (sum(map(int.__mul__, ins, rate_in)) + sum(map(int.__mul__, outs, rate_out))))


def cost_in_usd(prices, ok, report):
    """The same once more, from USD per token to USD, in fractions all the way."""
    if refused(ok, report):
        return "-"
    usd = Fraction(0)
    for counts, per_token in zip(split(report), rates(prices, asked(report))):
        for n, rate in zip(counts, per_token):
            usd += n * Fraction(rate, 10**12) * share(report)
    return ceil(usd * 10**9) if usd <= 10**9 else "-"


# ---- what is asked


def sizes(rng, most, edges):
    """Numbers of every size up to most, the edges among them."""
    pool = [rng.randrange(most + 1) >> rng.randrange(most.bit_length()) for _ in range(4096)]
    return pool + [e for e in edges for _ in range(48)]


def report_of(rng, counts, kind):
    parts = rng.choices(counts, k=8)
    if kind == 0:  # parts of their wholes, as it should be
        parts = [p >> 3 for p in parts]
        spare = rng.choices(counts, k=2)
        return [sum(parts[:5]) + (spare[0] >> 2), *parts[:5], sum(parts[5:]) + (spare[1] >> 2), *parts[5:]]
    if kind == 1:  # only wholes
        return [parts[0], 0, 0, 0, 0, 0, parts[1], 0, 0, 0]
    if kind == 2:  # all there is is special
        parts = [p >> 3 for p in parts]
        return [sum(parts[:5]), *parts[:5], sum(parts[5:]), *parts[5:]]
    wholes = rng.choices(counts, k=2)  # anything: parts that are more than their wholes
    return [wholes[0], *parts[:5], wholes[1], *parts[5:]]


def cost_cases(rng, n):
    few = sizes(rng, TOKENS_MAX, (0, 0, 1, 2, TOKENS_MAX - 1, TOKENS_MAX))
    wild = few + [TOKENS_MAX + 1, 2**63, UINT64_MAX, UINT64_MAX - 1] * 24
    given = sizes(rng, PICO_MAX, (0, 0, 1, 999, 1000, 1001, PICO_MAX - 1, PICO_MAX))
    optional = given + [-1] * (len(given) // 2)
    broken = optional + [-2, INT64_MAX, INT64_MIN, PICO_MAX + 1] * 100
    lines, wanted = [], []
    while len(lines) < n:
        prices = rng.choices(broken if rng.random() < 0.02 else optional, k=16)
        if rng.random() < 0.98:
            prices[0], prices[4] = rng.choices(given, k=2)
        prices[THRESHOLD] = 0
        with_tier, small = rng.random() < 0.6, rng.random() < 0.5
        ok = prices_ok(prices)
        for _ in range(SAME_PRICES):
            report = report_of(rng, wild if rng.random() < 0.1 else few, rng.randrange(4))
            if small:
                report = [r >> 12 for r in report]
            report.append(0 if rng.random() < 0.7 else rng.choice((1, 50, 50, 99, 100, 101, 200, PERCENT_MAX, PERCENT_MAX + 1)))
            report.append(rng.randrange(2))
            prices[THRESHOLD] = 0
            if with_tier:  # around what decides
                prices[THRESHOLD] = min(max(0, sum(split(report)[0]) + rng.choice((-1, 0, 0, 1, 1000, -1000))), 2**62)
            lines.append("C " + " ".join(map(str, prices)) + " " + " ".join(map(str, report)))
            right = cost(prices, ok, report)
            if len(lines) % 128 == 0 and right != cost_in_usd(prices, ok, report):
                raise AssertionError(f"the test disagrees with itself: {lines[-1]}")
            wanted.append(str(right))
    return lines, wanted


def most_cases(rng, n):
    given = sizes(rng, PICO_MAX, (0, 1, 1000, PICO_MAX))
    optional = given + [-1] * len(given)
    counts = sizes(rng, TOKENS_MAX, (0, 1, TOKENS_MAX, TOKENS_MAX + 1, UINT64_MAX))
    lines, wanted = [], []
    for _ in range(n):
        prices = rng.choices(optional, k=16)
        prices[0], prices[4] = rng.choices(given, k=2)
        n_in, n_out = rng.choices(counts, k=2)
        prices[THRESHOLD] = rng.choice((0, n_in, max(0, n_in - 1))) & INT64_MAX
        lines.append("M " + " ".join(map(str, prices)) + f" {n_in} {n_out}")
        if max(n_in, n_out) > TOKENS_MAX:
            wanted.append("-")
            continue
        rate_in, rate_out = rates(prices, n_in)
        wanted.append(str(to_nano(n_in * max(rate_in) + n_out * max(rate_out))))
    return lines, wanted


NUMBERS = {
    "U": (re.compile(r"-?\d+(\.\d{1,9})?"), 10**9, NANO_MAX),
    "P": (re.compile(r"\d+(\.\d{1,6})?"), 10**6, PICO_MAX),
    "T": (re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"), 10**12, PICO_MAX),
}


REFUSED = Fraction(1, 10**99)


def exact(text):
    """Fraction(text), but not for exponents that would fill the memory: no digits here make up for them."""
    digits, _, exponent = text.lower().partition("e")
    if abs(int(exponent or "0")) > 200:
        return REFUSED if Fraction(digits) else Fraction(0)
    return Fraction(text)


def number_text(rng, what):
    if rng.random() < 0.6:  # as such numbers are: in bounds more often than not
        decimals = {"U": 10, "P": 7, "T": 13}[what]
        digits = str(rng.getrandbits(rng.randrange(1, 40)))
        if what == "T" and rng.random() < 0.5:
            return f"{digits[0]}.{digits[1:] or '0'}e-{rng.randrange(14):02d}"
        return f"{int(digits) >> 8}.{digits[:rng.randrange(1, decimals + 1)]}" if rng.random() < 0.5 else f"0.{digits[-decimals:]}"
    digits = str(rng.getrandbits(rng.randrange(1, 90)))
    if rng.random() < 0.7:
        at = rng.randrange(len(digits) + 1)
        digits = f"{digits[:at] or '0'}.{digits[at:] or '0'}"
    if rng.random() < 0.3:
        digits = f"0.{'0' * rng.randrange(14)}{digits.replace('.', '')[:6]}"
    if rng.random() < 0.4:
        digits += f"{rng.choice('eE')}{rng.choice(('', '+', '-', '-', '-'))}{rng.randrange(30):0{rng.randrange(1, 4)}d}"
    if rng.random() < 0.1:
        digits = "-" + digits
    if rng.random() < 0.1:  # a slip of the hand
        at = rng.randrange(len(digits))
        digits = digits[:at] + rng.choice("-+.eE0 x_,") + digits[at + rng.randrange(2) :]
    return digits


def text_cases(rng, n):
    lines, wanted = [], []
    for _ in range(n):
        what = rng.choice("UPT")
        text = number_text(rng, what)
        pattern, scale, most = NUMBERS[what]
        value = exact(text) * scale if pattern.fullmatch(text) else REFUSED
        least = -most if what == "U" else 0
        lines.append(f"{what} {text}")
        wanted.append(str(value.numerator) if value.denominator == 1 and least <= value <= most else "-")
    return lines, wanted


def format_cases(rng, n):
    """The shortest decimal that is exactly the number."""
    values = sizes(rng, NANO_MAX, (0, 1, NANO_MAX, INT64_MAX, 10**9, 10**6))
    lines, wanted = [], []
    for i in range(n):
        value = rng.choice(values) * (1 if rng.random() < 0.7 else -1)
        what, decimals = ("u", 9) if i % 2 else ("p", 6)
        whole, part = divmod(abs(value), 10**decimals)
        text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".")
        lines.append(f"{what} {value}")
        wanted.append(("-" if value < 0 else "") + text)
    return lines, wanted


PROPERTIES = {
    "a cost is the exact sum, rounded up once": (cost_cases, 1),
    "the worst case is all tokens at the dearest prices": (most_cases, 10),
    "amounts and prices are read exactly, or refused": (text_cases, 10),
    "amounts and prices are written as the shortest exact decimal": (format_cases, 10),
}

# ---- asking


def chunk(probe, name, n, seed):
    """Returns (refused, first difference or None)."""
    lines, wanted = PROPERTIES[name][0](random.Random(seed), n)
    lines, wanted = lines[:n], wanted[:n]
    done = subprocess.run([probe], input="\n".join(lines) + "\n", capture_output=True, text=True)
    got = done.stdout.split("\n")[:-1]
    refused = wanted.count("-")
    if got == wanted and done.returncode == 0:
        return refused, None
    for line, is_, right in zip(lines, got, wanted):
        if is_ != right:
            return refused, f"{line}\n    is {is_}, right is {right}"
    return refused, f"{len(got)} answers to {len(lines)} lines, exit code {done.returncode} {done.stderr[-500:]}"


def main():
    probe = sys.argv[1]
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("PROPERTY_CASES", "1000000"))
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(os.environ.get("PROPERTY_SEED", "0")) or random.SystemRandom().getrandbits(32)
    passed = failed = 0
    began = time.monotonic()
    print(f"seed {seed}")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for number, (name, (_, share)) in enumerate(PROPERTIES.items()):
            n = max(1, cases // share)
            works = [
                pool.submit(chunk, probe, name, min(CHUNK, n - at), f"{seed}.{number}.{at}") for at in range(0, n, CHUNK)
            ]
            results = [w.result() for w in works]
            differences = [d for _, d in results if d]
            passed, failed = passed + (not differences), failed + bool(differences)
            print(f"  {'FAIL' if differences else ' ok '} {name}: {n} cases, {sum(r for r, _ in results)} of them refused")
            for d in differences[:3]:
                print(f"    {d}")
    print(f"{time.monotonic() - began:.1f} s")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
