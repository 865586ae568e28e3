#!/usr/bin/env python3
"""gamut data fetch against an HTTP server on loopback: broken transfers, servers without ranges, files that
change, wrong sums, redirects, hostile archives, a full disk, kill and resume."""

import hashlib
import http.server
import io
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import tarfile
import threading
import time
import zipfile

GAMUT = os.environ["GAMUT"]
random.seed(7)
BODY = random.randbytes(3_000_000)
ENV = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`; `plans` say what goes wrong with the next requests of a path."""

    protocol_version = "HTTP/1.1"
    files, plans, seen, etags = {}, {}, [], {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        Handler.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        plan = Handler.plans.get(self.path, [])
        fault = plan.pop(0) if plan else {}
        if "status" in fault:
            self.send_response(fault["status"])
            for name, value in fault.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path not in Handler.files:
            return self.send_error(404)
        self.send_file(Handler.files[self.path], fault)

    def send_file(self, body, fault):
        etag = Handler.etags.get(self.path, '"v1"')
        begin, wanted = 0, self.headers.get("Range")
        fits = self.headers.get("If-Range") in (None, etag)
        if wanted and fits and not fault.get("no_ranges"):
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                return self.end_headers()
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        if etag and not fault.get("no_etag"):
            self.send_header("ETag", etag)
        if fault.get("no_length"):
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        piece = body[begin:]
        if "cut" in fault:
            piece = piece[: fault["cut"]]
            self.close_connection = True
        try:
            for at in range(0, len(piece), 100_000):
                self.wfile.write(piece[at : at + 100_000])
                time.sleep(fault.get("pause", 0))
            if "cut" in fault:
                self.wfile.flush()
                self.connection.shutdown(2)
        except OSError:
            pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.handle_error = lambda *_: None  # clients that go away are part of the test
threading.Thread(target=server.serve_forever, daemon=True).start()
HOME = f"http://127.0.0.1:{server.server_port}"


def command(*words):
    return [GAMUT, "data", "fetch", *words, "wait=0.01"]


# One process for all calls that do not end it: starting the program takes most of a call.
pathlib.Path("driver.lua").write_text("""
local gamut = require "gamut"
local fetch = require "gamut.data.fetch"
for line in io.lines() do
  local ok, message = pcall(fetch, "run", table.unpack(gamut.json.decode(line)))
  if not ok then print("gamut: " .. tostring(message)) end
  io.stdout:flush()
  io.stderr:write("DONE ", ok and 0 or 1, "\\n")
end
""")
driver = subprocess.Popen([GAMUT, "exec", "driver.lua"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=ENV)


def ask_driver(words):
    driver.stdin.write(json.dumps(words) + "\n")
    driver.stdin.flush()
    text = ""
    for line in driver.stdout:
        if line.startswith("DONE "):
            return int(line.split()[1]), text
        text += line
    raise AssertionError("the driver ended: " + text)


def fetch(*words, code=0, says="", fails_at="", process=False, **options):
    Handler.seen.clear()
    if process or fails_at or options:
        env = {**ENV, "GAMUT_FAIL_AT": fails_at} if fails_at else ENV
        done = subprocess.run(command(*words), capture_output=True, text=True, env=env, timeout=60, **options)
        status, text = done.returncode, done.stdout + done.stderr
    else:
        status, text = ask_driver(command(*words)[3:])
    assert status == code, (words, status, text)
    assert says in text, (says, text)
    return text


def serve(name, body=BODY, plan=(), etag='"v1"'):
    path = f"/{name}"
    Handler.files[path], Handler.plans[path], Handler.etags[path] = body, list(plan), etag
    return f"{HOME}/{name}"


def sha256(body=BODY):
    return "digest=sha256:" + hashlib.sha256(body).hexdigest()


def ranges():
    return [wanted for _, wanted, _ in Handler.seen]


def content(name):
    return pathlib.Path("out", name).read_bytes()


def leftovers(folder="out"):
    return sorted(p.name for p in pathlib.Path(folder).iterdir() if ".part" in p.name or p.name.endswith(".unpack") and "cut" not in p.name)


def broken_transfers():
    url = serve("broken.bin", plan=[{"cut": 1_000_000}, {"status": 503}, {"cut": 500_000}])
    text = fetch(url, "out=out", sha256(), says="trying again")
    assert content("broken.bin") == BODY and not leftovers()
    assert ranges() == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"], ranges()
    assert Handler.seen[1][2] == '"v1"' and "503" in text
    # Finished and recorded: nothing is asked for again.
    fetch(url, "out=out", sha256(), says="1 file")
    assert Handler.seen == []
    # No length from the server, and the connection closes early: the publisher's sum finds it out.
    url = serve("short.bin", plan=[{"no_length": True, "cut": 700_000}])
    fetch(url, "out=out", sha256(), code=1, says="short.bin.wrong")
    assert content("short.bin.wrong") == BODY[:700_000] and not leftovers()
    # Never anything new: it gives up, and the same command goes on from there.
    url = serve("stuck.bin", plan=[{"cut": 400_000}] + [{"status": 500}] * 2)
    fetch(url, "out=out", "retries=2", code=1, says="3 times in a row")
    assert leftovers() == ["stuck.bin.part", "stuck.bin.part.json"]
    fetch(url, "out=out")
    assert content("stuck.bin") == BODY and ranges() == ["bytes=400000-"] and not leftovers()


def servers_without_ranges_and_changed_files():
    # A server that ignores ranges sends the whole again.
    fetch(serve("whole.bin", plan=[{"cut": 900_000}, {"no_ranges": True}]), "out=out", says="from its beginning")
    assert content("whole.bin") == BODY
    # No validator and no checksum: nothing could tell that the parts belong together.
    fetch(serve("plain.bin", plan=[{"cut": 900_000, "no_etag": True}, {"no_etag": True}]), "out=out")
    assert content("plain.bin") == BODY and ranges() == [None, None]
    # The file changes between two calls.
    url = serve("changed.bin", plan=[{"cut": 800_000}, {"status": 404}])
    fetch(url, "out=out", code=1, says="404 (there is no such file)")
    new = BODY[::-1]
    serve("changed.bin", new, etag='"v2"')
    fetch(url, "out=out")
    assert content("changed.bin") == new and Handler.seen == [("/changed.bin", "bytes=800000-", '"v1"')]


def sums_and_sizes():
    url = serve("sum.bin")
    fetch(url, "out=out", "digest=md5:" + "0" * 32, code=1, says=hashlib.md5(BODY).hexdigest())
    assert content("sum.bin.wrong") == BODY and not pathlib.Path("out/sum.bin").exists()
    fetch(url, "out=out", "digest=sha1:" + hashlib.sha1(BODY).hexdigest().upper())
    # A file that is there already is right by its sum, or not taken.
    serve("mine.bin")
    pathlib.Path("out/mine.bin").write_bytes(BODY)
    fetch(f"{HOME}/mine.bin", "out=out", code=1, says="nothing says whether")
    fetch(f"{HOME}/mine.bin", "out=out", sha256(b"x"), code=1, says="move it away")
    fetch(f"{HOME}/mine.bin", "out=out", sha256())
    assert Handler.seen == []


def redirects_and_addresses():
    serve("there.bin", b"abc")
    url = serve("here.bin", plan=[{"status": 302, "headers": {"Location": "/there.bin"}}])
    fetch(url, "out=out")
    assert content("here.bin") == b"abc"
    url = serve("round.bin", plan=[{"status": 302, "headers": {"Location": "/round.bin"}}] * 12)
    fetch(url, "out=out", code=1, says="more than 10 redirects")
    url = serve("local.bin", plan=[{"status": 302, "headers": {"Location": "file:///etc/passwd"}}])
    fetch(url, "out=out", code=1, says="only http and https")
    fetch("file:///etc/passwd", "out=out", code=1, says="no source `file:///etc/passwd`")
    empty = serve("empty.bin", b"")
    fetch(empty, "out=out")
    assert content("empty.bin") == b""


def tar_of(*members, mode="w:gz"):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, body, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 1_000_000_000
            if kind == tarfile.SYMTYPE:
                info.linkname = body
                archive.addfile(info)
            else:
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
    return data.getvalue()


def archives():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/a.txt", "a")
        archive.writestr("set/größe/b.txt", "b" * 100_000)
    url = serve("set.zip", data.getvalue())
    fetch(url, "out=out", "unpack=true", "keep_archives=false")
    assert content("set/a.txt") == b"a" and content("set/größe/b.txt") == b"b" * 100_000
    assert not pathlib.Path("out/set.zip").exists() and not leftovers()
    fetch(url, "out=out", "unpack=true")
    assert Handler.seen == []
    file, link = tarfile.REGTYPE, tarfile.SYMTYPE
    fetch(serve("up.tgz", tar_of(("good.txt", b"x", file), ("../up.txt", b"x", file))), "out=out", "unpack=true", code=1, says="outside of the folder")
    fetch(serve("root.tgz", tar_of(("/tmp/gamut_root.txt", b"x", file))), "out=out", "unpack=true", code=1, says="outside")
    fetch(serve("link.tgz", tar_of(("l", "/etc", link), ("l/x", b"x", file))), "out=out", "unpack=true", code=1,
          says="neither a file nor a folder")
    assert not pathlib.Path("up.txt").exists() and not pathlib.Path("/etc/x").exists() and not leftovers()
    fetch(serve("text.zip", b"no archive" * 100), "out=out", "unpack=true", code=1, says="cannot open the archive")
    good = tar_of(("t/one", b"1" * 500_000, file), ("t/two", random.randbytes(500_000), file), mode="w:bz2")
    fetch(serve("cut.tar.bz2", good[: len(good) // 2]), "out=out", "unpack=true", code=1, says="the archive")
    assert not pathlib.Path("out/t").exists()
    # Killed while it unpacks: nothing has its name yet, and the next call goes on.
    url = serve("kill.tar.bz2", good)
    fetch(url, "out=out")
    fetch(url, "out=out", "unpack=true", code=-signal.SIGKILL, fails_at="file.write:3")
    assert not pathlib.Path("out/t").exists() and pathlib.Path("out/.kill.tar.bz2.unpack/t/one").exists()
    fetch(url, "out=out", "unpack=true")
    assert content("t/one") == b"1" * 500_000 and pathlib.Path("out/t/two").stat().st_size == 500_000


def full_disk():
    # A limit on the size of files stands for the disk: the transfer stops there, and goes on once there is room.
    url = serve("large.bin")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    fetch(url, "out=out", code=1, says="large.bin.part", preexec_fn=limit)
    assert pathlib.Path("out/large.bin.part").stat().st_size == 1_000_000
    fetch(url, "out=out", sha256())
    assert content("large.bin") == BODY and ranges() == ["bytes=1000000-"]
    # ENOSPC by a fault point, and a file that no disk has room for.
    fetch(serve("full.bin"), "out=out", code=1, says="free some space", fails_at="file.write:3=ENOSPC")
    fetch(serve("full.bin"), "out=out", sha256())


def kill_and_resume():
    for name, how in ("killed.bin", signal.SIGKILL), ("stopped.bin", signal.SIGINT):
        url = serve(name, plan=[{"pause": 0.02}])
        process = subprocess.Popen(command(url, "out=out", sha256()), stderr=subprocess.PIPE, text=True, env=ENV)
        part = pathlib.Path("out", name + ".part")
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 500_000):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(how)
        text = process.communicate(timeout=30)[1]
        if how == signal.SIGINT:
            assert process.returncode == 130 and "goes on from it" in text, (process.returncode, text)
        there = part.stat().st_size
        assert 500_000 < there < len(BODY)
        fetch(url, "out=out", sha256())
        assert content(name) == BODY and ranges() == [f"bytes={there}-"]


def the_sources():
    """fineweb_sp1024 reads the manifest, then fetches what it names; the others name one archive."""
    manifest = {
        "datasets": [{"name": "fineweb10B_sp1024", "tokenizer_name": "sp", "stats": {"files_train": 3, "files_val": 1}}],
        "tokenizers": [{"name": "sp", "model_path": "tokenizers/fineweb_1024_bpe.model"}],
    }
    serve("hub/manifest.json", json.dumps(manifest).encode())
    serve("hub/tokenizers/fineweb_1024_bpe.model", b"model")
    for name in "val_000000", "train_000000", "train_000001":
        serve(f"hub/datasets/fineweb10B_sp1024/fineweb_{name}.bin", name.encode())
    fetch("fineweb_sp1024", "out=hub", f"mirror={HOME}/hub", "shards=2", says="5 files")
    made = sorted(p.relative_to("hub").as_posix() for p in pathlib.Path("hub").rglob("*") if p.is_file() and p.name[0] != ".")
    assert made == ["datasets/fineweb10B_sp1024/fineweb_train_000000.bin", "datasets/fineweb10B_sp1024/fineweb_train_000001.bin",
                    "datasets/fineweb10B_sp1024/fineweb_val_000000.bin", "manifest.json",
                    "tokenizers/fineweb_1024_bpe.model"], made
    fetch("fineweb_sp1024", "out=hub", f"mirror={HOME}/hub", "shards=4", code=1, says="has 3 training shards")
    # Not the file that the publisher describes: refused by its size, before a byte of it is taken.
    serve("LJSpeech-1.1.tar.bz2", b"something else")
    fetch("ljspeech", "out=lj", f"mirror={HOME}", code=1, says="its publisher says 2748572632")
    fetch("fma", "out=x", code=1, says="fma_large")
    fetch("ljspeech", code=1, says="out=FOLDER", process=True)


broken_transfers()
servers_without_ranges_and_changed_files()
sums_and_sizes()
redirects_and_addresses()
archives()
full_disk()
kill_and_resume()
the_sources()
driver.stdin.close()
assert driver.wait(timeout=30) == 0
print("8 passed, 0 failed")
