"""Many small objects: what a run costs that finds nothing new among them.

A server in memory speaks as much of S3's protocol as a source needs (pages of 1,000 keys, ranges, tags); the program is the one named.

    python3 bench/python/objects.py target/release/floodmark [COUNT …]
"""

import http.server
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

PAGE = 1000
IDLE_RUNS = 5


class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer's head and its body go out at once, not a delayed acknowledgement later.
    wbufsize = -1
    keys: list[str] = []
    requests = 0

    def log_message(self, *_):
        pass

    def answer(self, status, body, head=()):
        self.send_response(status)
        for name, value in head:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        Bucket.requests += 1
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if "list-type" in query:
            return self.answer(200, page(int(query.get("continuation-token", ["0"])[0])))
        body = row(int(url.path.rsplit("-", 1)[1].split(".")[0]))
        tag, modified = ("ETag", '"1"'), ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        if wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            first, last = int(first), min(int(last), len(body) - 1)
            span = ("Content-Range", f"bytes {first}-{last}/{len(body)}")
            return self.answer(206, body[first : last + 1], [tag, modified, span])
        return self.answer(200, body, [tag, modified])


def row(number):
    return b"id,at,text\n%d,%d,some text\n" % (number, number)


def page(start):
    keys = Bucket.keys[start : start + PAGE]
    more = start + PAGE < len(Bucket.keys)
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>&quot;1&quot;</ETag>"
        f"<Size>{len(row(start + at))}</Size></Contents>"
        for at, key in enumerate(keys)
    )
    token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated><KeyCount>{len(keys)}</KeyCount>"
        f"{contents}{token}</ListBucketResult>"
    ).encode()


def timed(command, folder):
    began, requests = time.monotonic(), Bucket.requests
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command} failed: {said.decode()}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, Bucket.requests - requests


def measure(program, port, count):
    Bucket.keys = [f"in/part-{number:06}.csv" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        url = f"s3://b?endpoint=http://127.0.0.1:{port}&region=us-east-1&access_key_id=a&secret_access_key=b"
        with open(f"{folder}/floodmark.yaml", "w") as file:
            file.write(
                f"version: 1\nconnections: {{ lake: '{url}' }}\npipelines:\n  t:\n"
                "    source: { connection: lake, files: 'in/*.csv' }\n"
                "    destination: { url: 'sqlite:///out.db', table: t }\n    load: upsert\n    key: id\n    watermark: at\n"
            )
        first = timed([program, "run"], folder)
        idle = [timed([program, "run"], folder) for _ in range(IDLE_RUNS)]
    median = [statistics.median(values) for values in zip(*idle)]
    for job, values in (("first load", first), ("nothing new, median", median)):
        wall, processor, memory, requests = values
        print(f"| {count:,} | {job} | {wall:.3f} s | {processor:.3f} s | {memory:.0f} MiB | {requests:,.0f} |", flush=True)


def main():
    program = os.path.abspath(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("| objects | run | wall | processor | peak memory | requests |\n| --- | --- | --- | --- | --- | --- |")
    for count in [int(text) for text in sys.argv[2:]] or [10_000, 100_000]:
        measure(program, server.server_port, count)


main()
