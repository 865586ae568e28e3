"""What is compared: each case with its arguments, its work and what is asked of it.

Work is counted in FLOP of matrix products, bytes read and written at least once, and exponentials; divided
by the rates that `floors.lua` reaches on the machine, the largest of the three is the floor of a case. Where both
exponentials and bytes count (scans), the driver also prints their sum, which is the time when neither hides the other.
"""
import tempfile
from dataclasses import dataclass


@dataclass
class Case:
    title: str
    name: str  # the function of both workers
    arguments: dict
    aim: float = 0.0  # times faster than Python, at least; 0: none set
    flop: float = 0.0
    byte: float = 0.0
    exp: float = 0.0
    dtype: str = "float32"  # of the products
    aim_floor: float = 0.0  # times the floor, at most; 0: none set
    memory: bool = False  # peak memory of both sides too
    unit: float = 0.0  # tokens of a call, for a column of tokens a second
    ours_only: bool = False
    beside: str = ""  # title of an earlier case: its ratio to that one instead of to Python
    loss_tolerance: float = 0.0  # both sides say a loss, which must agree; 0: they have none


def delta_flop(B, T, H, K, V, chunk=64):
    """Products of the chunked rule: forward 6 K V + 4 chunk (K + V) a token and head; forward and backward, which
    recomputes the forward's, 3.5 times that."""
    return 3.5 * B * T * H * (6 * K * V + 4 * chunk * (K + V))


def delta_cases():
    shapes = [((1, 1024, 6, 48, 96), 4), ((2, 2048, 6, 64, 64), 6), ((1, 8192, 6, 64, 128), 12)]
    for shape, aim in shapes:
        arguments = dict(zip("BTHKV", shape))
        B, T, H, K, V = shape
        yield Case(f"delta rule {shape}", "delta_rule", arguments, aim, delta_flop(*shape), memory=True,
                   byte=4 * B * T * H * 3 * (2 * K + 2 * V + 2), exp=3 * B * T * H, unit=B * T)
    yield Case("delta rule, decode (1,6,48,96)", "delta_rule_decode", dict(B=1, H=6, K=48, V=96), 10,
               byte=2 * 4 * 6 * 48 * 96, unit=1)


def scan_cases():
    for N in (16, 64):
        B, T, E = 2, 1024, 1536
        # Forward reads u, delta, z, writes y; backward reads them and dy and writes three gradients.
        yield Case(f"selective scan (2,1024,1536) N {N}", "selective_scan", dict(B=B, T=T, E=E, N=N),
                   20, byte=4 * B * T * E * 11, exp=2 * B * T * E * N, aim_floor=3, unit=B * T)


def ssd_flop(B, T, H, P, N, chunk=64):
    return 3.5 * B * T * (H * (4 * P * N + 2 * chunk * P) + 2 * chunk * N)


def ssd_cases():
    shape = dict(B=2, T=1024, H=24, P=64, N=128)
    flop = ssd_flop(**shape)
    yield Case("ssd (2,1024,24,64) N 128, forward", "ssd", {**shape, "backward": 0}, 0, flop / 3.5, unit=2048)
    yield Case("ssd (2,1024,24,64) N 128", "ssd", shape, 4, flop, unit=2048)


def elementwise_cases():
    B, T, C = 2, 1024, 1152
    yield Case("causal conv + silu (2,1024,1152)", "causal_conv", dict(B=B, T=T, C=C), 3, byte=4 * B * T * C * 5,
               exp=2 * B * T * C)
    H, D = 6, 96
    yield Case("gated rms norm (2,1024,6,96)", "gated_norm", dict(B=B, T=T, H=H, D=D), 3,
               byte=4 * B * T * H * D * 8, exp=2 * B * T * H * D)


def sdpa_cases():
    """The operator beside F.scaled_dot_product_attention, forward and backward, causal: half of the scores."""
    for dtype in ("float32", "bfloat16"):
        for shape in ((1, 2048, 8, 4, 64), (1, 2048, 8, 4, 56), (2, 1024, 6, 2, 64), (1, 8192, 8, 4, 64)):
            B, T, H, K, D = shape
            yield Case(f"sdpa ({B},{T},{H}/{K},{D}) {dtype}", "sdpa", dict(zip("BTHKD", shape), dtype=dtype), 1.2,
                       3.5 * 4 * B * H * D * T * T / 2, exp=B * H * T * T, dtype=dtype, unit=B * T)


def attention_cases():
    """Products of the projections and of the keys that are seen; backward 2 and 2.5 times the forward's."""
    widths = {"speech": (384, 6, 2, 64), "golf": (448, 8, 4, 56)}

    def flop(model, B, T, seen, training):
        d, heads, kv_heads, width = widths[model]
        projections = 2 * (2 * d * heads + 2 * d * kv_heads) * width
        return B * T * ((3 if training else 1) * projections + (3.5 if training else 1) * 4 * heads * width * seen)

    for dtype in ("float32", "bfloat16"):
        for model, B, T in (("speech", 2, 1024), ("golf", 1, 2048)):
            yield Case(f"attention layer {model} ({B},{T}), {dtype}", "attention",
                       dict(model=model, B=B, T=T, dtype=dtype), 0, flop(model, B, T, T / 2, True), dtype=dtype)
    yield Case("attention layer golf (1,4096) window 256", "attention", dict(model="golf", B=1, T=4096, window=256), 0,
               flop("golf", 1, 4096, 256, True))
    yield Case("attention layer golf (1,4096) documents of 64", "attention",
               dict(model="golf", B=1, T=4096, document=64), 0, flop("golf", 1, 4096, 32, True))
    for T, window in ((1024, 0), (8192, 0), (65536, 256)):
        yield Case(f"attention decode golf after {T}{f' window {window}' if window else ''}", "attention_decode",
                   dict(model="golf", B=1, T=T, window=window), 0, flop("golf", 1, 1, window or T, False),
                   byte=4 * (602120 + 2 * 4 * 56 * (window or T)), unit=1)
    yield Case("attention decode golf after 8192, bfloat16", "attention_decode",
               dict(model="golf", B=1, T=8192, dtype="bfloat16"), 0, flop("golf", 1, 1, 8192, False),
               byte=2 * (602120 + 2 * 4 * 56 * 8192), dtype="bfloat16", unit=1)


def muon_cases():
    # Five iterations of X X^T, (X X^T)^2 and a product with X, the smaller side m of an m x n matrix on the left.
    sides = [(512, 512), (256, 512), (256, 512), (512, 512), (512, 1024), (512, 1024)]
    flop = 9 * sum(5 * (2 * m * m * n + 2 * m**3 + 2 * m * m * n) for m, n in sides)
    yield Case("muon step, 54 matrices", "muon_step", {}, 1.3, flop, dtype="bfloat16")


def growth_cases():
    for T in (1024, 2048, 4096, 8192, 16384, 32768, 65536):
        shape = (1, T, 6, 48, 96)
        yield Case(f"growth: delta rule T {T}", "delta_rule", dict(zip("BTHKV", shape)), flop=delta_flop(*shape),
                   unit=T, ours_only=True)


def speech_flop(tokens=2048, layers=8):
    """Products of the training step: three times the forward's 2 FLOP a weight and token, the delta rule of six layers,
    causal attention of two."""
    embeddings, others = 8 * 1027 * 384, 6_528 + 256 + 6 * (4 * 1152 + 12 + 96)  # norms, convolutions, decays
    weights = 21_904_648 - embeddings - others
    attention = 2 * 3.5 * 2 * 6 * 1024**2 / 2 * 4 * 64
    return 6 * weights * tokens + 6 * delta_flop(2, 1024, 6, 48, 96) + attention


def speech_cases():
    """One exchange file a case: the Gamut side writes weights and codes, the Python side reads them."""
    for dtype, aim in (("float32", 1.5), ("bfloat16", 1.8)):
        for dropout in (0, 1):
            exchange = f"{tempfile.gettempdir()}/gamut_bench_speech.safetensors"
            title = f"speech 21.9M step, {dtype}{', dropout' if dropout else ''}"
            yield Case(title, "speech_step", dict(dtype=dtype, exchange=exchange, dropout=dropout), aim, speech_flop(),
                       dtype=dtype, aim_floor=1.3, unit=2048, loss_tolerance=1e-4 if dtype == "float32" else 2e-2)


def memory_cache_cases():
    """What memory_cache costs around gdn (d_model 384, 6 heads of 64), in units of the bare mixer: segments of 256."""
    variants = {2048: ("residual", "query", "gated", "soup", "sparse", "logarithmic"),
                8192: ("gated", "sparse", "logarithmic")}
    for T, names in variants.items():
        bare = f"gdn bare, T {T}"
        for name in ("bare", *names):
            title = bare if name == "bare" else f"memory_cache {name}, T {T}"
            yield Case(title, "memory_cache", dict(T=T, variant=name), unit=T, memory=True, ours_only=True,
                       beside="" if name == "bare" else bare)


def codec_cases():
    """Layers of DAC at 44.1 kHz for a second of audio, and EnCodec's LSTM for four: transformers composes them of
    LibTorch's operators."""
    convolutions = [(44100, 64, 64, 7, 1, 9), (44100, 64, 64, 1, 1, 1), (22050, 128, 128, 7, 1, 3),
                    (5512, 256, 256, 7, 1, 1), (688, 512, 1024, 16, 8, 1), (86, 1024, 1024, 3, 1, 1),
                    (86, 1024, 1536, 7, 1, 1), (688, 768, 768, 7, 1, 3), (5504, 384, 384, 7, 1, 3),
                    (44100, 96, 96, 7, 1, 9), (44100, 96, 1, 7, 1, 1)]
    for shape in convolutions:
        T, C, N, K, s, d = shape
        yield Case(f"conv {T} x {C} to {N}, kernel {K}, stride {s}, dilation {d}", "codec_conv",
                   dict(zip("TCNKsd", shape)), 1.5, 2 * (T // s) * N * K * C,
                   byte=4 * (T * C + T // s * N + N * C * K), aim_floor=1.3, unit=T)
    for T, C, N, s in ((86, 1536, 768, 8), (5504, 384, 192, 4), (22050, 192, 96, 2)):
        yield Case(f"transposed conv {T} x {C} to {N}, stride {s}", "codec_conv_transpose",
                   dict(T=T, C=C, N=N, s=s), 1.5, 4 * T * C * N * s,
                   byte=4 * (T * C + T * s * N + 2 * s * C * N), aim_floor=1.3, unit=T)
    for B in (1, 4):
        T, H, layers = 300, 512, 2
        yield Case(f"lstm {layers} layers of {H}, ({B},{T})", "lstm", dict(B=B, T=T, H=H, layers=layers), 1.5,
                   B * T * layers * 16 * H * H, unit=B * T)


CASES = {}
for make in (delta_cases, scan_cases, ssd_cases, elementwise_cases, sdpa_cases, attention_cases, muon_cases, growth_cases, speech_cases,
             memory_cache_cases, codec_cases):
    for number, case in enumerate(make(), 1):
        CASES[f"{make.__name__.removesuffix('_cases')}_{number}"] = case
