"""Plays a script of visits: one JSON object per line with `visitor`, `method`, `path` and perhaps `form`.

The reads between two writes are played by all visitors at once, each in its own order; a write waits for
everything before it and runs alone. So the pages are the same in every run, whatever stands in between.
Each page is printed as JSON, in the order of the script.
"""
import json
import sys
from concurrent.futures import ThreadPoolExecutor

WORKERS = 8


def play(fetch):
    """`fetch(visit)` answers with status and content; a visitor's visits all run on one thread."""
    visits = [json.loads(line) for line in open(sys.argv[2])]
    workers = [ThreadPoolExecutor(1) for _ in range(WORKERS)]
    pages, together = [], []

    def submit(visit):
        pages.append(workers[visit["visitor"] % WORKERS].submit(fetch, visit))
        return pages[-1]

    for visit in visits:
        if visit["method"] == "GET":
            together.append(submit(visit))
            continue
        for page in together:
            page.result()
        together.clear()
        submit(visit).result()
    for visit, page in zip(visits, pages):
        status, content = page.result()
        print(json.dumps({"visit": visit, "status": status, "content": content}))
    for worker in workers:
        worker.shutdown()
